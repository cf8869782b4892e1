/**
 * The tables of settings in the documents.
 *
 * @module
 */

import { SETTING_GROUPS } from "../config/groups.ts";
import { shownDefault } from "../config/help.ts";
import { SETTINGS } from "../config/settings.ts";
import type { SettingName } from "../config/settings.ts";
import { table } from "./table.ts";

/** The settings that most setups need, for the README. */
const MAIN: readonly SettingName[] = [
  "BACKENDS",
  "PORT",
  "TLS_CERT",
  "POLICY",
  "HEALTH_PATH",
  "TIMEOUT",
  "MAX_IN_FLIGHT",
  "TRUSTED_PROXIES",
  "ACCESS_LOG",
  "ADMIN_PORT",
];

/** All settings, a table for each group. */
export function settingsTables(): string {
  return SETTING_GROUPS.map(({ title, names }) =>
    `## ${title}\n\n${
      table(
        ["Variable", "Default", "Values", "Meaning"],
        names.map((name) => {
          const { grammar, help } = SETTINGS[name];
          return [
            `\`${name}\``,
            shownDefault(name, "`"),
            grammar.takes,
            help,
          ];
        }),
      )
    }`
  ).join("\n");
}

/** The settings that most setups need. */
export function mainSettings(): string {
  return table(
    ["Variable", "Default", "Meaning"],
    MAIN.map((name) => [
      `\`${name}\``,
      shownDefault(name, "`"),
      SETTINGS[name].help,
    ]),
  );
}

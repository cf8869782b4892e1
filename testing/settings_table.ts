/**
 * The README's table of settings.
 *
 * @module
 */

import { shownDefault } from "../config/help.ts";
import { SETTING_NAMES, SETTINGS } from "../config/settings.ts";

/** The README's table in Markdown, laid out as `deno fmt` would. */
export function settingsTable(): string {
  const rows = SETTING_NAMES.map((name) => {
    const { grammar, help } = SETTINGS[name];
    return [`\`${name}\``, shownDefault(name, "`"), grammar.takes, help];
  });
  const all = [["Variable", "Default", "Values", "Meaning"], ...rows];
  const widths = [0, 1, 2, 3].map((column) =>
    Math.max(...all.map((row) => row[column]!.length))
  );
  const [head, ...body] = all.map((row) =>
    `| ${row.map((cell, i) => cell.padEnd(widths[i]!)).join(" | ")} |`
  );
  const rule = `| ${widths.map((width) => "-".repeat(width)).join(" | ")} |`;
  return [head, rule, ...body].join("\n") + "\n";
}

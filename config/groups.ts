/**
 * The settings in groups, for an overview.
 *
 * A group is named by its first setting, so that a new row of the table of
 * settings is in the group of its neighbours.
 *
 * @module
 */

import { SETTING_NAMES } from "./settings.ts";
import type { SettingName } from "./settings.ts";

/** A group of adjacent settings in the table. */
export interface SettingGroup {
  readonly title: string;
  readonly names: readonly SettingName[];
}

const FIRST: readonly (readonly [title: string, first: SettingName])[] = [
  ["Backends", "BACKENDS"],
  ["Listening", "PORT"],
  ["Picking a backend", "POLICY"],
  ["Health probes", "HEALTH_PATH"],
  ["Ejection", "EJECT_AFTER"],
  ["Retries and timeouts", "RETRIES"],
  ["Limits", "MAX_BODY"],
  ["Header fields", "HOST_HEADER"],
  ["Logs and traces", "REQUEST_ID"],
  ["Admin port", "ADMIN_PORT"],
  ["Draining", "DRAIN_DELAY"],
];

/** All settings, in groups, in the order of the table. */
export const SETTING_GROUPS: readonly SettingGroup[] = FIRST.map(
  ([title, first], i) => {
    const next = FIRST[i + 1]?.[1];
    return {
      title,
      names: SETTING_NAMES.slice(
        SETTING_NAMES.indexOf(first),
        next === undefined ? undefined : SETTING_NAMES.indexOf(next),
      ),
    };
  },
);

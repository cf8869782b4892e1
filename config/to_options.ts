/**
 * Turns values into options: each value goes where its row of the table of
 * settings says.
 *
 * @module
 */

import type { ProxyOptions, ServeOptions } from "./options.ts";
import { SETTING_NAMES, SETTINGS } from "./settings.ts";
import type { SettingName } from "./settings.ts";

/** The values of the settings that were given. */
export type GivenValues = Partial<Readonly<Record<SettingName, unknown>>>;

/** Options under construction. */
type Tree = Record<string, unknown>;

/**
 * The options of a proxy and of its server. Unset settings are absent, so that
 * their defaults apply there.
 */
export function optionsFrom(
  values: GivenValues,
): { proxy: ProxyOptions; serve: ServeOptions } {
  const roots: Tree = { proxy: {}, serve: {} };
  for (const name of SETTING_NAMES) {
    const { field, offField = field } = SETTINGS[name];
    const value = values[name];
    if (value === undefined) continue;
    put(roots, value === false ? offField : field, value);
  }
  for (const name of SETTING_NAMES) {
    // A group that is off by default is not enabled by one of its details.
    const { offField, default: text } = SETTINGS[name];
    if (offField === undefined || text !== "off") continue;
    if (values[name] === undefined) put(roots, offField, undefined);
  }
  return roots as { proxy: ProxyOptions; serve: ServeOptions };
}

/** Sets a value at a path, except below a group that is switched off. */
function put(tree: Tree, path: string, value: unknown): void {
  const [key = "", ...rest] = path.split(".");
  if (rest.length > 0) {
    const inner = tree[key] ??= {};
    if (inner !== false) put(inner as Tree, rest.join("."), value);
  } else if (value === undefined) delete tree[key];
  else tree[key] = value;
}

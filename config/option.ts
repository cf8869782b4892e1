/**
 * Options that correspond to settings: defaults and bounds come from the table
 * of settings, so that each is written once.
 *
 * @module
 */

import { checkedNumber, checkedText } from "./check.ts";
import { SETTINGS } from "./settings.ts";
import type { Setting, SettingName, SettingValues } from "./settings.ts";

/** Parsed defaults: each text is parsed once. */
const defaults = new Map<SettingName, unknown>();

/** The default of a setting, if it has one. */
export function defaultOf<Name extends SettingName>(
  name: Name,
): SettingValues[Name] | undefined {
  if (!defaults.has(name)) {
    const { grammar, default: text }: Setting = SETTINGS[name];
    const result = text === "" ? { value: undefined } : grammar.parse(text);
    // A test of the table checks that each default is a valid value.
    defaults.set(name, "value" in result ? result.value : undefined);
  }
  return defaults.get(name) as SettingValues[Name] | undefined;
}

/**
 * As {@linkcode optionalOption}, with the setting's default for an absent
 * value. Only for settings with a default.
 */
export function checkedOption<Name extends SettingName>(
  name: Name,
  value: SettingValues[Name] | undefined,
): SettingValues[Name] {
  return value === undefined ? defaultOf(name)! : optionalOption(name, value)!;
}

/**
 * An option's value, if it is present, checked by its setting.
 *
 * @throws {RangeError} If it is a number out of bounds.
 * @throws {TypeError} If it is otherwise invalid.
 */
export function optionalOption<Name extends SettingName>(
  name: Name,
  value: SettingValues[Name] | undefined,
): SettingValues[Name] | undefined {
  return value === undefined
    ? undefined
    : read(SETTINGS[name], value) as SettingValues[Name];
}

function read(
  { grammar: { bounds, parse }, field, offField, shown }: Setting,
  value: unknown,
): unknown {
  const [root, ...path] = field.split(".");
  const name = path.join(".");
  const doing = root === "serve" ? "serve" : "make a proxy";
  /** Whether the setting's grammar reads this word as this value. */
  const has = (word: string, value: unknown) => {
    const result = parse(word);
    return "value" in result && result.value === value;
  };
  const isSwitch = bounds === undefined && has("on", true);
  if (value === true && isSwitch) return true;
  // With `offField`, `off` disables a whole group, which has its own `false`.
  if (value === false && offField === undefined && has("off", false)) {
    return false;
  }
  if (bounds !== undefined) {
    return typeof value === "string" && has(value, value)
      ? value
      : checkedNumber(name, value as number, { ...bounds, doing });
  }
  const text = Array.isArray(value) ? value.join(",") : value;
  if (typeof text !== "string" || isSwitch) {
    throw new TypeError(
      `Cannot ${doing}: ${name} is of type ${typeof value}, not ${
        isSwitch ? "true or false" : "a text"
      }`,
    );
  }
  return checkedText(name, text, parse, { shown, doing });
}

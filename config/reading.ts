/**
 * State while the settings are read: what was given, which values are valid,
 * and what is wrong.
 *
 * @module
 */

import { messageOf } from "../base/text.ts";
import { isPem, oneLine } from "./fault.ts";
import type { Flags } from "./flags.ts";
import type { Env } from "./no_proxy.ts";
import type { BackendTlsOptions } from "./options.ts";
import { flagOf, SETTING_NAMES, SETTINGS, shownText } from "./settings.ts";
import type { Setting, SettingName, SettingValues } from "./settings.ts";

/** A setting that was given, and whether as variable or as flag. */
export interface RawSetting {
  readonly text: string;
  readonly label: string;
}

/** State while the settings are read. */
export interface Reading {
  readonly env: Env;
  readonly envNames: readonly string[];
  readonly readFile: (path: string) => string;
  /** Returns the reason why this runtime cannot use certificates, if any. */
  readonly tryTls: (tls: BackendTlsOptions) => string | undefined;
  /** Milliseconds since 1970. */
  readonly now: number;
  readonly given: ReadonlyMap<SettingName, RawSetting>;
  /** The valid values that were given. */
  readonly set: Partial<SettingValues>;
  /** The same with defaults added, for comparing settings. */
  readonly effective: Partial<SettingValues>;
  /** What is wrong, one line each. */
  readonly faults: string[];
  /** Likely mistakes, one line each. */
  readonly warnings: string[];
}

/** The settings that were given; a flag wins over its variable. */
export function givenSettings(
  flags: Flags,
  env: Env,
): Map<SettingName, RawSetting> {
  const given = new Map<SettingName, RawSetting>();
  for (const name of SETTING_NAMES) {
    const flag = flags.values.get(name);
    // Space around a value is accidental: a newline in a file, a YAML block.
    const text = (flag ?? env(name) ?? "").trim();
    if (text === "") continue;
    given.set(name, { text, label: flag === undefined ? name : flagOf(name) });
  }
  return given;
}

/** Parses one setting, or its default. */
export function readValue<Name extends SettingName>(
  reading: Reading,
  name: Name,
): void {
  const given = reading.given.get(name);
  const setting: Setting<SettingValues[Name]> = SETTINGS[name];
  const text = given?.text ?? setting.default;
  if (text === "") return;
  const result = setting.grammar.parse(text);
  if ("wanted" in result) return refuse(reading, name, result.wanted);
  reading.effective[name] = result.value;
  if (given !== undefined) reading.set[name] = result.value;
}

/** Records what is wrong with a given setting. */
export function refuse(
  reading: Reading,
  name: SettingName,
  wanted: string,
): void {
  const { label, text } = reading.given.get(name)!;
  const shown = JSON.stringify(shownText(name, text));
  reading.faults.push(`${label}: ${shown} ${wanted}`);
}

/** The variable or flag by which a setting was given; its name by default. */
export function labelOf(reading: Reading, name: SettingName): string {
  return reading.given.get(name)?.label ?? name;
}

/** The text of the file that a setting names. */
export function readText(
  reading: Reading,
  name: SettingName,
): string | undefined {
  if (reading.set[name] === undefined) return undefined;
  const path = reading.given.get(name)!.text;
  // Opening it as a path would repeat the key in the system's error message.
  if (isPem(path)) {
    refuse(reading, name, "contains PEM: write the path of the file instead");
    return undefined;
  }
  try {
    return reading.readFile(path);
  } catch (error) {
    const reason = messageOf(error);
    refuse(
      reading,
      name,
      `cannot be read (${oneLine(reason)}): check the path and the permissions`,
    );
    return undefined;
  }
}

/** Each setting as text, with defaults; secrets are hidden. */
export function shownValues(
  { given }: Reading,
): Partial<Record<SettingName, string>> {
  const shown: Partial<Record<SettingName, string>> = {};
  for (const name of SETTING_NAMES) {
    const text = given.get(name)?.text ?? SETTINGS[name].default;
    if (text !== "") shown[name] = shownText(name, text);
  }
  return shown;
}

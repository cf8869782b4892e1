/**
 * The program's arguments: `--name=value`, `--name value`, and the commands.
 *
 * @module
 */

import { quote } from "./fault.ts";
import { COMMANDS, flagOf, SETTING_NAMES } from "./settings.ts";
import type { SettingName } from "./settings.ts";
import { nearestFlag } from "./spelling.ts";

/** What the arguments say. */
export interface Flags {
  /** The settings that were given, as text. */
  readonly values: ReadonlyMap<SettingName, string>;
  /** The flags that are no settings, such as `--check`. */
  readonly commands: ReadonlySet<string>;
  /** What is wrong, one line each. */
  readonly faults: readonly string[];
}

const NAMES: ReadonlyMap<string, SettingName> = new Map(
  SETTING_NAMES.map((name) => [flagOf(name), name]),
);

/** Reads the arguments; what the values mean is seen later. */
export function readFlags(args: readonly string[]): Flags {
  const values = new Map<SettingName, string>();
  const commands = new Set<string>();
  const faults: string[] = [];
  const seen = new Set<string>();
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!;
    if (!arg.startsWith("-")) {
      faults.push(`${quote(arg)} belongs to no flag: write --name=value`);
      continue;
    }
    const [, flag = "", inline] = /^([^=]*)(?:=(.*))?$/s.exec(arg) ?? [];
    const name = NAMES.get(flag);
    const isCommand = Object.hasOwn(COMMANDS, flag);
    const next = args[i + 1];
    // What follows an unknown flag is taken for its value, and so not quoted:
    // it may be the token of a misspelt `--admin-token`.
    const isApart = inline === undefined && !isCommand &&
      next !== undefined && !next.startsWith("--");
    if (isApart) i++;

    if (name === undefined && !isCommand) {
      const meant = nearestFlag(flag);
      const hint = meant === undefined ? "--help lists them" : `write ${meant}`;
      faults.push(`${quote(flag)} is no flag: ${hint}`);
    } else if (seen.has(flag)) {
      faults.push(`${flag}: is given twice: write it once`);
    } else if (name === undefined) {
      if (inline !== undefined) {
        faults.push(`${flag}: takes no value: leave it out`);
      }
      commands.add(flag);
    } else {
      const value = isApart ? next : inline ?? "";
      if (value.trim() === "") {
        faults.push(`${flag}: has no value: write ${flag}=value`);
      }
      values.set(name, value);
    }
    seen.add(flag);
  }
  return { values, commands, faults };
}

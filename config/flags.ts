/**
 * The program's arguments: `--name=value`, `--name value`, and the commands.
 *
 * What is no flag may be a secret that slipped out of its place: the token of a
 * misspelt `--admin-token`, or half of one with a space in it. So it is quoted
 * only where it can hardly be one.
 *
 * @module
 */

import { HIDDEN, quote } from "./fault.ts";
import { COMMANDS } from "./commands.ts";
import { flagOf, SETTING_NAMES } from "./settings.ts";
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

const TOKEN_FLAG = flagOf("ADMIN_TOKEN");

/** Reads the arguments; what the values mean is seen later. */
export function readFlags(args: readonly string[]): Flags {
  const values = new Map<SettingName, string>();
  const commands = new Set<string>();
  const faults: string[] = [];
  const seen = new Set<string>();
  let afterToken = false;
  for (let i = 0; i < args.length; i++) {
    const arg = args[i]!;
    if (!arg.startsWith("-")) {
      faults.push(
        `${shown(arg, afterToken)} belongs to no flag: ` +
          "write --name=value",
      );
      // `ADMIN_TOKEN token` and the like.
      afterToken ||= meansToken(arg);
      continue;
    }
    const [flag, inline] = parted(arg);
    const name = NAMES.get(flag);
    const isCommand = Object.hasOwn(COMMANDS, flag);
    afterToken = meansToken(flag);
    const next = args[i + 1];
    // What follows an unknown flag is taken for its value, and so not quoted.
    // A token may begin with dashes itself.
    const isApart = inline === undefined && !isCommand &&
      next !== undefined &&
      (afterToken ? !isKnown(parted(next)[0]) : !next.startsWith("--"));
    if (isApart) i++;

    if (name === undefined && !isCommand) {
      const meant = nearestFlag(flag);
      const hint = meant === undefined ? "--help lists them" : `write ${meant}`;
      faults.push(`${shown(flag, false)} is no flag: ${hint}`);
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

/** A flag, and what stands behind its `=`, if there is one. */
function parted(arg: string): [flag: string, inline: string | undefined] {
  const equals = arg.indexOf("=");
  return equals < 0
    ? [arg, undefined]
    : [arg.slice(0, equals), arg.slice(equals + 1)];
}

function isKnown(flag: string): boolean {
  return NAMES.has(flag) || Object.hasOwn(COMMANDS, flag);
}

/** Whether a word is the flag or the variable of the token, or is near it. */
function meansToken(word: string): boolean {
  const [name] = parted(word);
  return nearestFlag(name.slice(0, 40)) === TOKEN_FLAG ||
    /^-*admin[-_]?token/i.test(name);
}

/** An argument that is no flag, or no flag of ours, as a message shows it. */
function shown(arg: string, isSecret: boolean): string {
  if (isSecret) return quote(HIDDEN);
  const [name, value] = parted(arg);
  // `ADMIN_TOKEN=…`, where a variable was meant.
  if (value !== undefined) return quote(`${name}=${HIDDEN}`);
  const glued = /^-*admin[-_]?token/i.exec(arg)?.[0];
  if (glued !== undefined && arg.length > glued.length) {
    return quote(glued + HIDDEN);
  }
  // A token has at least 16 characters: an argument with as many may be one,
  // unless it is an address, or words as flags are made of.
  const isPlain = arg.length < 16 || arg.includes("://") ||
    /^--[a-z]+(?:[-_][a-z]+)*$/i.test(arg);
  return quote(isPlain ? arg : HIDDEN);
}

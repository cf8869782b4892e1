/**
 * The program's arguments: `--name=value`, `--name value`, and the commands.
 *
 * An argument that is not a flag may be a misplaced secret: the token after a
 * misspelt `--admin-token`, or half of a token with a space in it. So it is
 * quoted only if it is unlikely to be one.
 *
 * @module
 */

import { HIDDEN, quote } from "./fault.ts";
import { COMMANDS } from "./commands.ts";
import { flagOf, SETTING_NAMES } from "./settings.ts";
import type { SettingName } from "./settings.ts";
import { nearestFlag } from "./spelling.ts";

/** The parsed arguments. */
export interface Flags {
  /** The settings that are given, as text. */
  readonly values: ReadonlyMap<SettingName, string>;
  /** The flags that are not settings, such as `--check`. */
  readonly commands: ReadonlySet<string>;
  /** What is wrong, one line each. */
  readonly faults: readonly string[];
}

const NAMES: ReadonlyMap<string, SettingName> = new Map(
  SETTING_NAMES.map((name) => [flagOf(name), name]),
);

const TOKEN_FLAG = flagOf("ADMIN_TOKEN");

/** Parses the arguments; values are checked later. */
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
        `${shown(arg, afterToken)} is not a flag: ` +
          "write --name=value",
      );
      // Covers `ADMIN_TOKEN token`.
      afterToken ||= meansToken(arg);
      continue;
    }
    const [flag, inline] = splitFlag(arg);
    const name = NAMES.get(flag);
    const isCommand = Object.hasOwn(COMMANDS, flag);
    afterToken = meansToken(flag);
    const next = args[i + 1];
    // The argument after an unknown flag is taken as its value, so it is not
    // quoted. A token may begin with dashes.
    const takesNext = inline === undefined && !isCommand &&
      next !== undefined &&
      (afterToken ? !isKnown(splitFlag(next)[0]) : !next.startsWith("--"));
    if (takesNext) i++;

    if (name === undefined && !isCommand) {
      const meant = nearestFlag(flag);
      const hint = meant === undefined ? "--help lists them" : `write ${meant}`;
      faults.push(`${shown(flag, false)} is not a flag: ${hint}`);
    } else if (seen.has(flag)) {
      faults.push(`${flag}: is given twice: write it once`);
    } else if (name === undefined) {
      if (inline !== undefined) {
        faults.push(`${flag}: takes no value: remove it`);
      }
      commands.add(flag);
    } else {
      const value = takesNext ? next : inline ?? "";
      if (value.trim() === "") {
        faults.push(`${flag}: has no value: write ${flag}=value`);
      }
      values.set(name, value);
    }
    seen.add(flag);
  }
  return { values, commands, faults };
}

/** A flag, and the value after its `=`, if there is one. */
function splitFlag(arg: string): [flag: string, inline: string | undefined] {
  const equals = arg.indexOf("=");
  return equals < 0
    ? [arg, undefined]
    : [arg.slice(0, equals), arg.slice(equals + 1)];
}

function isKnown(flag: string): boolean {
  return NAMES.has(flag) || Object.hasOwn(COMMANDS, flag);
}

/** Whether a word is the flag or variable of the token, or similar to it. */
function meansToken(word: string): boolean {
  const [name] = splitFlag(word);
  return nearestFlag(name.slice(0, 40)) === TOKEN_FLAG ||
    /^-*admin[-_]?token/i.test(name);
}

/** An argument that is not a known flag, as a message shows it. */
function shown(arg: string, isSecret: boolean): string {
  if (isSecret) return quote(HIDDEN);
  const [name, value] = splitFlag(arg);
  // `ADMIN_TOKEN=…` as an argument.
  if (value !== undefined) return quote(`${name}=${HIDDEN}`);
  const glued = /^-*admin[-_]?token/i.exec(arg)?.[0];
  if (glued !== undefined && arg.length > glued.length) {
    return quote(glued + HIDDEN);
  }
  // A token has at least 16 characters. An argument that long may be one,
  // unless it is an address or looks like a flag.
  const isPlain = arg.length < 16 || arg.includes("://") ||
    /^--[a-z]+(?:[-_][a-z]+)*$/i.test(arg);
  return quote(isPlain ? arg : HIDDEN);
}

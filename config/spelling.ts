/**
 * Suggestions for unknown names.
 *
 * A misspelt variable is the one mistake that would otherwise stay unnoticed:
 * the program would run with a default.
 *
 * @module
 */

import { COMMANDS } from "./commands.ts";
import { flagOf, SETTING_NAMES, SETTINGS } from "./settings.ts";
import type { SettingName } from "./settings.ts";

/** The flag that was probably meant, if one is similar. */
export function nearestFlag(written: string): string | undefined {
  const flag = written.toLowerCase().replaceAll("_", "-").replace(/^-*/, "--");
  const [best] = [...SETTING_NAMES.map(flagOf), ...Object.keys(COMMANDS)]
    // What is that much longer is too far away in any case.
    .filter((known) => flag.length <= known.length * 1.5)
    .map((known) => ({ known, distance: editDistance(flag, known) }))
    .sort((a, b) => a.distance - b.distance);
  return best && best.distance <= best.known.length / 2
    ? best.known
    : undefined;
}

/**
 * The setting that was probably meant: its name is one edit away, or differs as
 * `RETRY` and `RETRIES` do. `undefined` if there is none, or for an exact name.
 */
export function nearMiss(written: string): SettingName | undefined {
  if (Object.hasOwn(SETTINGS, written)) return undefined;
  const singular = (name: string) => name.replace(/IES$/, "Y");
  const varies = /(?:IES|Y)$/.test(written);
  return SETTING_NAMES.find((name) =>
    // Shorter names are one letter away from others' names: `POST`, `HOSTS`.
    name.length >= 6 &&
    (isOneEdit(written, name) ||
      (varies && singular(written) === singular(name)))
  );
}

/**
 * Whether two different words are one letter to add, drop, change or swap apart.
 * Each start compares every variable with every setting, so this takes no matrix.
 */
function isOneEdit(a: string, b: string): boolean {
  if (a.length < b.length) [a, b] = [b, a];
  if (a.length - b.length > 1) return false;
  let at = 0;
  while (at < b.length && a[at] === b[at]) at++;
  if (a.length > b.length) return a.slice(at + 1) === b.slice(at);
  return a.slice(at + 1) === b.slice(at + 1) ||
    (a[at] === b[at + 1] && a[at + 1] === b[at] &&
      a.slice(at + 2) === b.slice(at + 2));
}

/** Letters to add, drop, change or swap to turn one word into another. */
function editDistance(a: string, b: string): number {
  const rows = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  const at = (i: number, j: number) => rows[i]![j]!;
  for (let i = 1; i <= a.length; i++) {
    rows.push([i]);
    for (let j = 1; j <= b.length; j++) {
      const change = at(i - 1, j - 1) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] &&
        a[i - 2] === b[j - 1];
      rows[i]!.push(Math.min(
        at(i - 1, j) + 1,
        at(i, j - 1) + 1,
        change,
        swapped ? at(i - 2, j - 2) + 1 : Infinity,
      ));
    }
  }
  return at(a.length, b.length);
}

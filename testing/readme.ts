/**
 * The parts of the README that are made from code. They stand between two
 * comments, `<!-- name -->` and `<!-- /name -->`.
 *
 * ```sh
 * deno run -A testing/readme.ts # writes them anew
 * ```
 *
 * @module
 */

import { limits } from "../e2e/wire/exceptions.ts";
import { settingsTable } from "./settings_table.ts";
import { ROOT } from "./tools.ts";

/** What belongs between the comments of each name. */
export const SECTIONS: Readonly<Record<string, () => string>> = {
  settings: settingsTable,
  limits,
};

/** Where a section's own text begins and ends. */
function bounds(text: string, name: string): [start: number, end: number] {
  const [open, close] = [`<!-- ${name} -->\n`, `<!-- /${name} -->`];
  const [start, end] = [text.indexOf(open), text.indexOf(close)];
  if (start < 0 || end < start) {
    throw new Error(`Cannot find the section "${name}" in the README`);
  }
  return [start + open.length, end];
}

/** A section as it stands in a text. */
export function sectionOf(text: string, name: string): string {
  return text.slice(...bounds(text, name)).trim();
}

/** A text with every section written anew. */
export function rewritten(text: string): string {
  for (const [name, make] of Object.entries(SECTIONS)) {
    const [start, end] = bounds(text, name);
    const made = `\n${make().trim()}\n\n`;
    text = text.slice(0, start) + made + text.slice(end);
  }
  return text;
}

if (import.meta.main) {
  const path = `${ROOT}/README.md`;
  await Deno.writeTextFile(path, rewritten(await Deno.readTextFile(path)));
}

/**
 * The parts of the documents that are generated from code, between two
 * comments: `<!-- name -->` and `<!-- /name -->`.
 *
 * ```sh
 * deno run -A testing/readme.ts # generates them
 * ```
 *
 * @module
 */

import { limits } from "../e2e/wire/exceptions.ts";
import { metricsTable } from "./metrics_table.ts";
import { mainSettings, settingsTables } from "./settings_table.ts";
import { speedTable } from "./speed_table.ts";
import { ROOT } from "./tools.ts";

/** A generated part of a document. */
export interface Section {
  /** The document, as a path from the root. */
  readonly path: string;
  /** The name in the two comments. */
  readonly name: string;
  readonly make: () => string;
}

/** All of them. */
export const SECTIONS: readonly Section[] = [
  { path: "README.md", name: "main settings", make: mainSettings },
  { path: "docs/settings.md", name: "settings", make: settingsTables },
  { path: "docs/observability.md", name: "metrics", make: metricsTable },
  { path: "docs/limits.md", name: "limits", make: limits },
  { path: "README.md", name: "speed", make: speedTable },
  { path: "docs/performance.md", name: "speed", make: speedTable },
  ...["hosts", "prefixes", "maintenance", "headers", "zones"].map(example),
];

/** An example as shown in the recipes, without the comment at its beginning. */
function example(file: string): Section {
  const name = `examples/${file}.ts`;
  return {
    path: "docs/recipes.md",
    name,
    make() {
      const text = Deno.readTextFileSync(`${ROOT}/${name}`);
      const program = text.replace(/^\/\*\*[\s\S]*?\*\/\n+/, "");
      // It does not end by itself; another test runs it.
      return `\`\`\`ts ignore\n${program}\`\`\`\n`;
    },
  };
}

/** Where the text of a section begins and ends. */
function bounds(
  text: string,
  { path, name }: Section,
): [start: number, end: number] {
  const [open, close] = [`<!-- ${name} -->\n`, `<!-- /${name} -->`];
  const [start, end] = [text.indexOf(open), text.indexOf(close)];
  if (start < 0 || end < start) {
    throw new Error(`Cannot find the section "${name}" in ${path}`);
  }
  return [start + open.length, end];
}

/** The text of a section. */
export function sectionOf(text: string, section: Section): string {
  return text.slice(...bounds(text, section)).trim();
}

/** A text with a section written anew. */
export function rewritten(text: string, section: Section): string {
  const [start, end] = bounds(text, section);
  const made = `\n${section.make().trim()}\n\n`;
  return text.slice(0, start) + made + text.slice(end);
}

if (import.meta.main) {
  for (const section of SECTIONS) {
    const path = `${ROOT}/${section.path}`;
    const text = await Deno.readTextFile(path);
    await Deno.writeTextFile(path, rewritten(text, section));
  }
}

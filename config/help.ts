/**
 * The table of settings as text: `--help`.
 *
 * @module
 */

import { COMMANDS } from "./commands.ts";
import { SETTING_GROUPS } from "./groups.ts";
import { flagOf, SETTINGS } from "./settings.ts";
import type { SettingName } from "./settings.ts";

/** Columns of the left side: a flag, and under it its variable. */
const LEFT = 19;
/** Columns of the right side; with the left one 100 at most. */
const RIGHT = 77;

/**
 * What `--help` prints, at most 100 columns wide. `bold` may emphasize a heading
 * without changing how wide it looks.
 */
export function helpText(
  version: string,
  bold: (heading: string) => string = (heading) => heading,
): string {
  const groups = SETTING_GROUPS.map(({ title, names }) =>
    `${bold(`${title}:`)}\n${names.map(settingHelp).join("\n")}\n`
  );
  const flags = Object.entries(COMMANDS).map(([flag, help]) =>
    columns([flag], wrap(help))
  );
  return `Sluice ${version}: a load-balancing reverse proxy

${bold("Usage:")}
  deno run --allow-net --allow-env mod.ts [FLAG…]
  bun run mod.ts [FLAG…]

${bold("Examples:")}
  BACKENDS=http://10.0.0.5:3000,http://10.0.0.6:3000 bun run mod.ts
  bun run mod.ts --backends http://10.0.0.5:3000 --port 80 --policy least_conn

Each setting is a flag (--port 80 or --port=80) and an environment variable (PORT=80). The flag
wins. If a setting names a file, Deno also needs --allow-read: --check prints what it needs.

${groups.join("\n")}
${bold("Other flags:")}
${flags.join("\n")}
`;
}

/** One setting: its flag and variable on the left, its meaning on the right. */
function settingHelp(name: SettingName): string {
  const { grammar, help } = SETTINGS[name];
  const facts = `Takes ${grammar.takes}; ${shownDefault(name, "")}.`;
  return columns(
    [flagOf(name), name],
    [...wrap(`${plain(help)}.`), ...wrap(plain(facts))],
  );
}

/** Prints two columns side by side. */
function columns(left: readonly string[], right: readonly string[]): string {
  const count = Math.max(left.length, right.length);
  return Array.from(
    { length: count },
    (_, i) => `  ${(left[i] ?? "").padEnd(LEFT)}  ${right[i] ?? ""}`.trimEnd(),
  ).join("\n");
}

/** The default of a setting as shown to people. */
export function shownDefault(name: SettingName, quote: string): string {
  const text = SETTINGS[name].default;
  const prefix = quote === "" ? "default " : "";
  if (text !== "") return `${prefix}${quote}${text}${quote}`;
  return name === "BACKENDS" ? "required" : `${prefix}none`;
}

function plain(markdown: string): string {
  return markdown.replaceAll("`", "");
}

/** Breaks a text at spaces into lines of the right column. */
function wrap(text: string): string[] {
  const lines = [""];
  for (const word of text.split(" ")) {
    const line = lines.at(-1)!;
    if (line !== "" && line.length + 1 + word.length > RIGHT) lines.push(word);
    else lines[lines.length - 1] = line === "" ? word : `${line} ${word}`;
  }
  return lines;
}

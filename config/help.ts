/**
 * The table of settings as text: `--help`.
 *
 * @module
 */

import { COMMANDS } from "./commands.ts";
import { flagOf, SETTING_NAMES, SETTINGS } from "./settings.ts";
import type { SettingName } from "./settings.ts";

/** What `--help` prints, at most 100 columns wide. */
export function helpText(version: string): string {
  const item = (left: string, right: string) =>
    wrap(right, 71).map((line, i) =>
      `  ${(i === 0 ? left : "").padEnd(25)}  ${line}`.trimEnd()
    ).join("\n");
  const settings = SETTING_NAMES.map((name) => {
    const { grammar, help } = SETTINGS[name];
    const facts = `Takes ${grammar.takes}; ${shownDefault(name, "")}`;
    return item(flagOf(name), plain(`${help}. ${facts}.`));
  });
  return `Sluice ${version}: a load-balancing reverse proxy

Usage:
  deno run --allow-net --allow-env mod.ts [FLAG…]
  bun run mod.ts [FLAG…]

For example:
  BACKENDS=http://10.0.0.5:3000,http://10.0.0.6:3000 bun run mod.ts
  bun run mod.ts --backends http://10.0.0.5:3000 --port 80 --policy least_conn

Each setting is a flag, written --port 80 or --port=80, and an environment variable: --health-path
is HEALTH_PATH. The flag wins. With files among the settings, Deno needs --allow-read in addition;
--check prints what it needs.

Settings:
${settings.join("\n")}

Other flags:
${Object.entries(COMMANDS).map(([flag, help]) => item(flag, help)).join("\n")}
`;
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

/** Breaks a text at spaces into lines of at most `width`. */
function wrap(text: string, width: number): string[] {
  const lines = [""];
  for (const word of text.split(" ")) {
    const line = lines.at(-1)!;
    if (line !== "" && line.length + 1 + word.length > width) lines.push(word);
    else lines[lines.length - 1] = line === "" ? word : `${line} ${word}`;
  }
  return lines;
}

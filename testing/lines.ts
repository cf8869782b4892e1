/**
 * Counts the published lines: `deno run -A testing/lines.ts [REVISION]`.
 *
 * Two counts: all lines of the modules, and lines with code, which depend
 * little on comments and layout.
 *
 * @module
 */

import { isShipped } from "./shipped.ts";
import { ROOT } from "./tools.ts";

async function git(...args: string[]): Promise<string> {
  const { stdout } = await new Deno.Command("git", { args, cwd: ROOT })
    .output();
  return new TextDecoder().decode(stdout);
}

/** All lines of a text, and those that are neither empty nor comments. */
export function linesIn(text: string): { all: number; code: number } {
  const lines = text.trimEnd().split("\n");
  const code = lines.filter((line) => !/^\s*(?:\/\/.*|\/?\*.*)?$/.test(line));
  return { all: lines.length, code: code.length };
}

if (import.meta.main) {
  const [revision = "HEAD"] = Deno.args;
  const names = await git("ls-tree", "-r", "--name-only", revision);
  const byPlace = new Map<string, { all: number; code: number }>();
  for (const path of names.trimEnd().split("\n").filter(isShipped)) {
    const { all, code } = linesIn(await git("show", `${revision}:${path}`));
    const place = path.replace(/\/.*|\.ts$/g, "");
    const sum = byPlace.get(place) ?? { all: 0, code: 0 };
    byPlace.set(place, { all: sum.all + all, code: sum.code + code });
  }
  const total = { all: 0, code: 0 };
  for (const [place, { all, code }] of [...byPlace].sort()) {
    console.log(`${place.padEnd(12)} ${all} lines, ${code} of code`);
    total.all += all;
    total.code += code;
  }
  console.log(`${"all".padEnd(12)} ${total.all} lines, ${total.code} of code`);
}

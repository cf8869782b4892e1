/**
 * Prints the table of wire cases: each promise, and what Deno and Bun make of
 * it with each transport, found out right now on real sockets. On Deno `auto` is
 * `socket`. `deno task wire target` runs only the groups that are named.
 *
 * @module
 */

import { closeAll } from "./harness/cleanup.ts";
import type { Runtime, SentBy } from "./harness/proxy.ts";
import { Ground, type Group } from "./wire/case.ts";
import { GROUPS } from "./wire/groups.ts";
import { judge, type Verdict } from "./wire/verdict.ts";

/** The columns. */
const COLUMNS: readonly (readonly [Runtime, SentBy])[] = [
  ["deno", "socket"],
  ["deno", "fetch"],
  ["bun", "auto"],
  ["bun", "socket"],
  ["bun", "fetch"],
];
const WIDTH = 13;
const TITLES = COLUMNS.map((column) => column.join(" "));

/** The symbol in the table for each kind of verdict. */
const SHOWN: Readonly<Record<Verdict["kind"], string>> = {
  holds: "yes",
  exception: "no",
  fails: "FAILS",
  mended: "MENDED",
};

async function verdicts(
  group: Group,
  [runtime, by]: readonly [Runtime, SentBy],
): Promise<Verdict[]> {
  await using ground = await Ground.open(group, runtime, by);
  if (group.together === true) {
    return await Promise.all(group.cases.map((each) => judge(ground, each)));
  }
  const found: Verdict[] = [];
  for (const each of group.cases) found.push(await judge(ground, each));
  return found;
}

async function main(names: readonly string[]): Promise<number> {
  const unknown = names.find((name) =>
    GROUPS.every((group) => group.name !== name)
  );
  if (unknown !== undefined) {
    console.error(
      `No group "${unknown}": there are ${
        GROUPS.map(({ name }) => `"${name}"`).join(", ")
      }`,
    );
    return 2;
  }
  const wanted = GROUPS.filter(({ name }) =>
    names.length === 0 || names.includes(name)
  );
  const counts = new Map<string, number>();
  const notes: string[] = [];
  let cases = 0;
  console.log(`${TITLES.map((t) => t.padEnd(WIDTH)).join("")}case`);
  for (const group of wanted) {
    // All at the same time, each with its own proxy and backend.
    const columns = await Promise.all(
      COLUMNS.map((column) => verdicts(group, column)),
    );
    group.cases.forEach(({ name }, i) => {
      cases++;
      const row = columns.map((verdicts, which) => {
        const verdict = verdicts[i]!;
        const shown = SHOWN[verdict.kind];
        const key = `${TITLES[which]}: ${shown}`;
        counts.set(key, (counts.get(key) ?? 0) + 1);
        if (verdict.kind !== "holds") {
          const why = "message" in verdict ? verdict.message : verdict.instead;
          notes.push(`${key}: ${name}: ${why}`);
        }
        return shown.padEnd(WIDTH);
      });
      console.log(`${row.join("")}${name}`);
    });
  }
  console.log(`\n${notes.join("\n")}\n`);
  for (const title of TITLES) {
    const of = (shown: string) => counts.get(`${title}: ${shown}`) ?? 0;
    console.log(
      `${title}: ${of("yes")} of ${cases} hold, ${
        of("no")
      } are listed exceptions, ${of("FAILS") + of("MENDED")} are unexpected`,
    );
  }
  const unexpected = [...counts].some(([key]) => /FAILS|MENDED/.test(key));
  return unexpected ? 1 : 0;
}

if (import.meta.main) {
  let code = 1;
  try {
    code = await main(Deno.args);
  } finally {
    await closeAll();
  }
  Deno.exit(code);
}

/**
 * The table of the last benchmark that was kept, for the README: taken from
 * `bench/RESULTS.md`, so that the two cannot differ.
 *
 * @module
 */

import { table } from "./table.ts";
import { ROOT } from "./tools.ts";

/** The rows of a table under a heading, as cells by column. */
function rowsUnder(text: string, heading: string): Map<string, string>[] {
  const start = text.indexOf(`\n### ${heading}\n`);
  if (start < 0) throw new Error(`No "${heading}" in bench/RESULTS.md`);
  const end = text.indexOf("\n### ", start + 1);
  const lines = text.slice(start, end < 0 ? undefined : end).split("\n")
    .filter((line) => line.startsWith("|"));
  const [head = [], , ...rows] = lines.map((line) =>
    line.split("|").slice(1, -1).map((cell) => cell.trim())
  );
  return rows.map((row) => new Map(row.map((cell, i) => [head[i]!, cell])));
}

/** The value of a row and a column, without where its middle half lies. */
function valueOf(
  rows: readonly Map<string, string>[],
  row: string,
  column: string,
): string {
  const value = rows.find((cells) => cells.get("") === row)?.get(column);
  if (value === undefined) {
    throw new Error(`No "${row}", "${column}" in bench/RESULTS.md`);
  }
  return value.split(" ")[0]!;
}

const REQUESTS = [
  "GET 13 B",
  "POST 1 KB",
  "GET 64 KB",
  "GET 1 MB",
  "POST 64 KB",
  "POST 1 MB",
];

/** The table, and what it was measured on. */
export function speedTable(): string {
  const text = Deno.readTextFileSync(`${ROOT}/bench/RESULTS.md`);
  const rows = REQUESTS.map((request) => {
    const rows = rowsUnder(text, request);
    return [
      request,
      ...["Sluice, deno", "Sluice, bun"].flatMap((name) => [
        valueOf(rows, name, "of its five-liner"),
        valueOf(rows, name, "p99 ratio"),
      ]),
    ];
  });
  const head = ["Request", "Deno: requests/s", "Deno: p99"]
    .concat("Bun: requests/s", "Bun: p99");
  const [, when, machine] = /Measured (\d{4}-\d\d-\d\d), (\d+ cores)/
    .exec(text) ?? [];
  if (when === undefined) throw new Error("No date in bench/RESULTS.md");
  return `${table(head, rows)}
Measured on ${when} by \`deno task bench\`, on a shared machine with ${machine}.
`;
}

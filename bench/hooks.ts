// What do hooks cost, both set and unset? A whole request in this process, to a
// `fetch` that responds at once.
//
// `deno run -A bench/hooks.ts` and `bun run bench/hooks.ts`. With
// `BASE=path/to/another/mod.ts` the rows without hooks also measure that
// version, in turn: this shows that an unset hook costs nothing.

import process from "node:process";
import { createProxy, type ProxyOptions } from "../mod.ts";

const HOOKS: readonly [name: string, options: Partial<ProxyOptions>][] = [
  ["no hook", {}],
  ["onRequest", { onRequest: (headers) => headers.set("x-a", "b") }],
  ["onResponse", { onResponse: ({ headers }) => headers.set("x-a", "b") }],
  ["onError", { onError: () => new Response() }],
  ["onSettled", { onSettled() {} }],
  ["policy", { policy: ([first]) => first }],
];

/** One request after the other through a proxy with these options. */
function asking(
  make: typeof createProxy,
  options: Partial<ProxyOptions>,
): () => Promise<void> {
  const answer = new Uint8Array(128);
  const proxy = make({
    backends: ["http://10.0.0.1:3000"],
    health: false,
    fetch: () =>
      Promise.resolve(
        new Response(answer, { headers: { "content-length": "128" } }),
      ),
    ...options,
  });
  const headers = { host: "sluice.test", accept: "*/*" };
  return async () => {
    const request = new Request("http://sluice.test/a", { headers });
    const response = await proxy.fetch(request, { clientAddress: "192.0.2.1" });
    await response.arrayBuffer();
  };
}

/** Microseconds of a request: the fastest of several rounds, in turn. */
async function timed(
  rows: readonly [name: string, step: () => Promise<void>][],
): Promise<void> {
  const found = rows.map((): number[] => []);
  for (let round = 0; round <= 60; round++) {
    for (let row = 0; row < rows.length; row++) {
      const step = rows[row]![1];
      const began = performance.now();
      for (let i = 0; i < 1_000; i++) await step();
      // The first one is for the compiler.
      if (round > 0) found[row]!.push(performance.now() - began);
    }
  }
  rows.forEach(([name], row) => {
    const best = Math.min(...found[row]!);
    console.log(`${best.toFixed(2).padStart(8)} µs  ${name}`);
  });
}

const base = process.env.BASE;
const rows = HOOKS.map(([name, options]) =>
  [name, asking(createProxy, options)] as [string, () => Promise<void>]
);
if (base !== undefined) {
  const other = await import(base);
  rows.unshift(["no hook, BASE", asking(other.createProxy, {})]);
}
await timed(rows);
process.exit(0);

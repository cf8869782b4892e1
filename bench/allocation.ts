// How many bytes does a request allocate here, fields and answer made in memory?
//
//   deno run -A --v8-flags=--expose-gc,--max-semi-space-size=512,--min-semi-space-size=512 bench/allocation.ts
//
// With a young generation that takes all of it nothing is collected meanwhile, so
// the growth of the heap is what was allocated. Bun has no such count: its heap
// is measured after collections only.

import process from "node:process";
import { createProxy } from "../mod.ts";

const REQUESTS = 5_000;

const { gc } = globalThis as { gc?: () => void };
if (gc === undefined) {
  throw new Error("Cannot count: start it with the flags in its first lines");
}

const headers: [string, string][] = [
  ["host", "sluice.test"],
  ["user-agent", "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101"],
  ["accept", "text/html"],
  ["accept-encoding", "gzip, deflate, br"],
  ["cookie", "a=1; b=2"],
];

/** Bytes a call, all else left out. */
async function bytesOf(
  call: () => Response | Promise<Response>,
): Promise<number> {
  for (let i = 0; i < REQUESTS; i++) await call();
  gc!();
  const before = process.memoryUsage().heapUsed;
  for (let i = 0; i < REQUESTS; i++) await call();
  return (process.memoryUsage().heapUsed - before) / REQUESTS;
}

const ask = () => new Request("http://sluice.test/a?b", { headers });
const respond = () =>
  new Response("Hello, world!", { headers: { "content-type": "text/plain" } });
await using proxy = createProxy({
  backends: ["http://127.0.0.1:3000"],
  health: false,
  fetch: () => Promise.resolve(respond()),
});
const connection = { clientAddress: "192.0.2.1" };
const bare = await bytesOf(async () => {
  ask();
  return await Promise.resolve(respond());
});
const all = await bytesOf(() => proxy.fetch(ask(), connection));
console.log(`request and answer alone: ${bare.toFixed(0)} bytes`);
console.log(`through the proxy: ${all.toFixed(0)} bytes`);
console.log(`the proxy's own: ${(all - bare).toFixed(0)} bytes`);

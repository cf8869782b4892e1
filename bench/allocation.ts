// How many bytes does a request allocate on the heap, on both runtimes?
//
//   deno run -A bench/allocation.ts
//
// The garbage collector does not run meanwhile, so the growth of the heap is
// what was allocated: V8 gets a large young generation, and the collector of
// Bun's engine is off. Fields and responses are made in memory; what a runtime
// keeps outside the heap is not counted. `fetch` is passed in, so Deno's and
// Bun's faster ways to send are not measured either.

import process from "node:process";
import { createProxy } from "../mod.ts";
import { bunPath, denoPath } from "../testing/tools.ts";

const REQUESTS = 5_000;

const FLAGS = {
  deno: [
    "-A",
    "--v8-flags=--expose-gc,--max-semi-space-size=512,--min-semi-space-size=512",
  ],
  bun: [],
};

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
  (globalThis as { gc?: () => void }).gc?.();
  const before = process.memoryUsage().heapUsed;
  for (let i = 0; i < REQUESTS; i++) await call();
  return (process.memoryUsage().heapUsed - before) / REQUESTS;
}

const ask = () => new Request("http://sluice.test/a?b", { headers });
const respond = () =>
  new Response("Hello, world!", { headers: { "content-type": "text/plain" } });

/** A row: what a request costs without the proxy, with it, and the rest. */
async function row(label: string): Promise<void> {
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
  const figures = [bare, all, all - bare].map((bytes) => bytes.toFixed(0));
  console.log(`| ${[label, ...figures].join(" | ")} |`);
}

const inside = process.argv[2];
if (inside !== undefined) {
  await row(inside);
} else {
  console.log("| bytes a request | alone | through Sluice | Sluice's own |");
  console.log("| --- | --: | --: | --: |");
  for (const runtime of ["deno", "bun"] as const) {
    await new Deno.Command(
      runtime === "deno" ? await denoPath() : await bunPath(),
      {
        args: ["run", ...FLAGS[runtime], import.meta.filename!, runtime],
        env: { BUN_JSC_useGC: "0" },
        stdin: "null",
        stdout: "inherit",
        stderr: "inherit",
      },
    ).output();
  }
}

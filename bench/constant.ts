// The limit of any proxy on a runtime: a `serve` whose handler answers at once.
// Usage: constant.ts PORT

// deno-lint-ignore-file no-explicit-any -- one file for two runtimes' globals
import process from "node:process";

const { Bun, Deno } = globalThis as any;
const bodies = new Map([
  ["/64k", new Uint8Array(64 * 1024)],
  ["/1m", new Uint8Array(1024 ** 2)],
]);
const answer = async (request: Request) => {
  if (request.method === "POST") {
    // As a proxy has to. `arrayBuffer()` would be the runtime's own loop.
    for await (const _ of request.body!);
  }
  const { url } = request;
  return new Response(
    bodies.get(url.slice(url.indexOf("/", 8))) ?? "Hello, world!",
  );
};
const options = { port: Number(process.argv[2]), hostname: "127.0.0.1" };
if (Bun) Bun.serve({ ...options, fetch: answer });
else Deno.serve({ ...options, onListen() {} }, answer);

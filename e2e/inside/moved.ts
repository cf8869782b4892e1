/**
 * The proxy on a Deno whose internals are not where they are expected, as may
 * happen in a later version: no object has a symbol. `e2e/inside_test.ts` runs
 * it.
 *
 * @module
 */

import process from "node:process";

// Before any module of the proxy is loaded. Deno's code has its own copy.
Object.getOwnPropertySymbols = () => [];
const { createProxy, serve } = await import("../../mod.ts");

const { BACKENDS = "", TRANSPORT } = process.env;
const proxy = createProxy({
  backends: [BACKENDS],
  transport: TRANSPORT as "auto" | "fetch" | "socket" | undefined,
});
const server = serve(proxy, { host: "127.0.0.1", port: 0 });
console.error(`listening on ${server.url}`);
process.on("SIGTERM", () => server.stop());
await server.finished;
process.exit(0);

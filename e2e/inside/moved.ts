/**
 * The proxy on a Deno whose insides are not where they are looked for, as a later
 * version's may be: nothing has a symbol. `e2e/inside_test.ts` runs it.
 *
 * @module
 */

import process from "node:process";

// Before anything of the proxy is loaded. Deno's own code keeps its own copy.
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

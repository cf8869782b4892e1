/**
 * A user's program in which each callback fails: it throws, or rejects, by
 * `HOW`. One listener of the pool works, and prints its events.
 *
 * @module
 */

import process from "node:process";
import { createProxy, serve } from "../../mod.ts";

const { BACKENDS = "", HOW } = process.env;

function fail(): never {
  const error = new Error("a callback's fault");
  if (HOW === "rejects") return Promise.reject(error) as never;
  throw error;
}

const proxy = createProxy({
  backends: BACKENDS.split(","),
  policy: "p2c",
  health: { path: "/health", intervalMs: 300, timeoutMs: 290 },
  eject: { after: 2, timeMs: 500 },
  slowStartMs: 100,
  accessLog: "json",
  log: fail,
  logAccess: fail,
  random: fail,
});
proxy.pool.subscribe(fail);
proxy.pool.subscribe(({ type }) => console.log(type));
await proxy.ready;
const server = serve(proxy, { port: 0, host: "127.0.0.1" });
console.error(`listening on ${server.url}`);
process.on("SIGTERM", () =>
  server.stop().then(() => {
    console.log("stopped");
    process.exit(0);
  }));

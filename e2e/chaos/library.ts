/**
 * A program that uses Sluice as a library: its own handler, which also reports
 * the pool's counters, in front of `proxy.fetch`.
 *
 * @module
 */

import process from "node:process";
import { createProxy, type ReverseProxy, serve } from "../../mod.ts";

/** Requests that the pool counts as in flight, and resident bytes. */
export interface Counters {
  /** Of all backends together. */
  inFlight: number;
}

if (import.meta.main) {
  const proxy: ReverseProxy = createProxy({
    backends: process.env["BACKENDS"]!.split(","),
    timeoutMs: 120_000,
    transport: process.env["TRANSPORT"] as
      | "auto"
      | "fetch"
      | "socket"
      | undefined,
    health: { intervalMs: 1_000, timeoutMs: 900 },
  });
  await proxy.ready;
  const server = serve(proxy, { port: 0, host: "127.0.0.1" });
  // On a second port, so that the counters are not read through the proxy.
  const counters = createProxy({
    backends: [() =>
      Response.json({
        inFlight: proxy.pool.backends.reduce((n, b) => n + b.inFlight, 0),
      })],
  });
  const beside = serve(counters, { port: 0, host: "127.0.0.1" });
  console.error(`counters on ${beside.port}`);
  console.error(`listening on ${server.url}`);
}

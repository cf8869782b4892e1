/**
 * The proxy as a handler of `Bun.serve`.
 *
 * ```sh
 * BACKENDS=http://127.0.0.1:3000 bun run examples/bun.ts
 * ```
 *
 * @module
 */

import process from "node:process";
import { createProxy } from "../mod.ts";

/** The part of Bun that is used here; not needed with Bun's own types. */
declare const Bun: {
  serve(options: {
    port: number;
    hostname: string;
    idleTimeout: number;
    development: boolean;
    fetch: (request: Request, server: unknown) => unknown;
  }): { port: number };
};

const proxy = createProxy({
  backends: (process.env.BACKENDS ?? "http://127.0.0.1:3000").split(","),
  health: { path: "/health", intervalMs: 2_000, timeoutMs: 1_000 },
});

const server = Bun.serve({
  port: Number(process.env.PORT ?? 8080),
  hostname: "127.0.0.1",
  // Bun's 10 s would end connections that are quiet between two requests.
  idleTimeout: 255,
  // Otherwise a fault is answered with a page that shows this program.
  development: false,
  fetch: proxy.fetch,
});

console.error(`listening on http://127.0.0.1:${server.port}`);

/**
 * WebSocket on a server of one's own on Bun: hand the proxy's `websocket` to
 * `Bun.serve` beside its `fetch`, and Bun's `server` to the proxy.
 *
 * ```sh
 * BACKEND=http://127.0.0.1:3000 bun run examples/bun_websocket.ts
 * ```
 *
 * On Deno there is nothing to hand over: `Deno.serve(proxy.fetch)` does it.
 *
 * @module
 */

import process from "node:process";
import { createProxy } from "../mod.ts";

/** The part of Bun that is used here; with Bun's own types it is not needed. */
declare const Bun: {
  serve(options: {
    port: number;
    hostname: string;
    fetch: (request: Request, server: unknown) => unknown;
    websocket: unknown;
  }): { port: number };
};

const proxy = createProxy({
  backends: [process.env.BACKEND ?? "http://127.0.0.1:3000"],
});

const server = Bun.serve({
  port: Number(process.env.PORT ?? 8080),
  hostname: "127.0.0.1",
  fetch(request, server) {
    if (new URL(request.url).pathname === "/about") {
      return new Response("answered here\n");
    }
    return proxy.fetch(request, server);
  },
  websocket: proxy.websocket,
});

console.error(`listening on http://127.0.0.1:${server.port}`);

/**
 * WebSocket on your own server on Bun: pass the proxy's `websocket` to
 * `Bun.serve` together with `fetch`, and Bun's `server` to `proxy.fetch`.
 *
 * ```sh
 * BACKEND=http://127.0.0.1:3000 bun run examples/bun_websocket.ts
 * ```
 *
 * On Deno nothing has to be passed: use `Deno.serve(proxy.fetch)`.
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

/**
 * A user's server with a proxy that was given a `fetch`.
 */

import process from "node:process";
import { createProxy } from "../../mod.ts";

const proxy = createProxy({
  backends: [process.env.BACKEND!],
  health: false,
  maxMessageBytes: Number(process.env.MAX_MESSAGE_BYTES ?? 16 * 1024 * 1024),
  fetch: () => Promise.resolve(new Response("by the given fetch")),
});

interface BunServe {
  serve(options: unknown): { port: number };
}

const { Bun } = globalThis as { Bun?: BunServe };
const options = { port: 0, hostname: "127.0.0.1" };
const port = Bun === undefined
  ? Deno.serve({ ...options, onListen() {} }, proxy.fetch).addr.port
  : Bun.serve({ ...options, fetch: proxy.fetch, websocket: proxy.websocket })
    .port;
console.error(`listening on http://127.0.0.1:${port}`);

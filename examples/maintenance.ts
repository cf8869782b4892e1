/**
 * A maintenance page: a function as a backup backend, which responds while no
 * other backend is available, behind the program's own `serve`.
 *
 * ```sh
 * BACKENDS=http://127.0.0.1:3000 deno run --allow-net --allow-env examples/maintenance.ts
 * BACKENDS=http://127.0.0.1:3000 bun run examples/maintenance.ts
 * ```
 *
 * @module
 */

import process from "node:process";
import { createProxy, serve } from "../mod.ts";

function maintenance(): Response {
  return new Response("<!doctype html><h1>Back soon</h1>\n", {
    status: 503,
    headers: { "content-type": "text/html", "retry-after": "30" },
  });
}

const proxy = createProxy({
  backends: [
    ...(process.env.BACKENDS ?? "http://127.0.0.1:3000").split(","),
    { answer: maintenance, backup: true },
  ],
  health: {
    path: "/health",
    intervalMs: 1_000,
    timeoutMs: 500,
    rise: 1,
    fall: 2,
  },
});
const server = serve(proxy, {
  host: "127.0.0.1",
  port: Number(process.env.PORT ?? 8080),
});
console.error(`listening on ${server.url}`);

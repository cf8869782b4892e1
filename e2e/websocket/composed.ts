/**
 * A user's server with the proxy in it. On Bun it forgets to pass
 * `proxy.websocket`; on Deno nothing has to be passed.
 */

import process from "node:process";
import { createProxy } from "../../mod.ts";

const proxy = createProxy({
  backends: [process.env.BACKEND!],
  health: false,
});

const wrapped = async (request: Request, connection?: unknown) => {
  const answer = await proxy.fetch(request, connection);
  // As a wrapper does that adds a field, or counts by status.
  console.error(`answered ${answer.status}`);
  return answer;
};

interface BunServe {
  serve(options: unknown): { port: number };
}

const { Bun } = globalThis as { Bun?: BunServe };
const options = { port: 0, hostname: "127.0.0.1" };
const port = Bun === undefined
  ? Deno.serve({ ...options, onListen() {} }, (request) => wrapped(request))
    .addr.port
  : Bun.serve({ ...options, fetch: wrapped }).port;
console.error(`listening on http://127.0.0.1:${port}`);

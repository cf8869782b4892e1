// Sluice as a worker of Cloudflare's runtime. `deno task bundle` makes the file
// that it imports; config.capnp says where both are.

// @ts-ignore: `deno task bundle` makes it, and config.capnp names it.
import { createProxy } from "sluice.js";

let proxy;

export default {
  fetch(request, env, ctx) {
    proxy ??= createProxy({
      backends: env.BACKENDS.split(","),
      health: { path: "/health", intervalMs: 5_000 },
      // The platform ends what a client has left behind after 30 s.
      timeoutMs: 20_000,
    });
    return proxy.fetch(request, {
      // Cloudflare sets this field; anywhere else, a client could.
      clientAddress: request.headers.get("cf-connecting-ip") ?? undefined,
      waitUntil: (promise) => ctx.waitUntil(promise),
    });
  },
};

// A proxy at module scope, where nothing asynchronous and nothing random is to be
// had, with the options that a test gives it.

import { env } from "cloudflare:workers";
// @ts-ignore: `deno task bundle` makes it, and config.capnp names it.
import { createProxy } from "sluice.js";

const refused = {};
let proxy;
try {
  proxy = createProxy(JSON.parse(env.OPTIONS));
} catch (error) {
  refused.message = error.message;
}

export default {
  fetch(request, _env, ctx) {
    if (proxy === undefined) return new Response(refused.message);
    // The context itself, without an address.
    return proxy.fetch(request, ctx);
  },
};

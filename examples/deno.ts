/**
 * The proxy as a handler of `Deno.serve`, with another answer before it and a
 * field added behind it.
 *
 * ```sh
 * BACKENDS=http://127.0.0.1:3000 deno run --allow-net --allow-env examples/deno.ts
 * ```
 *
 * @module
 */

import { createProxy } from "../mod.ts";

const proxy = createProxy({
  backends: (Deno.env.get("BACKENDS") ?? "http://127.0.0.1:3000").split(","),
  policy: "round_robin",
  health: { path: "/health", intervalMs: 2_000, timeoutMs: 1_000 },
});

Deno.serve(
  { hostname: "127.0.0.1", port: Number(Deno.env.get("PORT") ?? 8080) },
  async (request, info) => {
    if (new URL(request.url).pathname === "/about") {
      return new Response("answered here\n");
    }
    const response = await proxy.fetch(request, info);
    const headers = new Headers(response.headers);
    headers.set("x-served-by", "sluice");
    return new Response(response.body, { status: response.status, headers });
  },
);

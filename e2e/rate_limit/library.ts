/**
 * A user's program that limits by its own key: requests with the same
 * `X-Api-Key` together, and those without one not at all.
 *
 * @module
 */

import process from "node:process";
import { createProxy, serve } from "../../mod.ts";

if (import.meta.main) {
  const { BACKENDS = "", WORKERS } = process.env;
  const proxy = createProxy({
    backends: BACKENDS.split(","),
    rateLimit: {
      requests: 5,
      perMs: 60_000,
      key: (request) => {
        const key = request.headers.get("x-api-key");
        if (key === "throw") throw new Error("no such key");
        return key ?? undefined;
      },
    },
  });
  try {
    const server = serve(proxy, {
      port: 0,
      host: "127.0.0.1",
      workers: Number(WORKERS ?? 1),
    });
    await server.ready;
    console.error(`listening on ${server.url}`);
  } catch (error) {
    console.log(String(error));
    await proxy.stop();
  }
}

/**
 * A user's program with two workers. `ODD` is an option that cannot be passed
 * to a worker; the program prints the result. `early` stops the server before
 * its workers can have listened.
 *
 * @module
 */

import process from "node:process";
import { createProxy, type ProxyOptions, serve } from "../../mod.ts";

/** Each option that is a function which a worker would have to call. */
const HOOKS: readonly [string, Partial<ProxyOptions>][] = [
  ["onRequest", { onRequest() {} }],
  ["onResponse", { onResponse() {} }],
  ["onError", { onError() {} }],
  ["onSettled", { onSettled() {} }],
  ["key", { key: () => "" }],
  ["policy", { policy: ([first]) => first }],
];

if (import.meta.main) {
  const { BACKENDS = "", ODD } = process.env;
  const urls = BACKENDS.split(",").filter((url) => url !== "");
  const proxy = createProxy({
    backends: ODD === "backends" ? [() => new Response("mine")] : urls,
    ...(ODD === "fetch" ? { fetch: globalThis.fetch } : {}),
    // Not an option of ours, but present.
    ...(ODD === "unknown" ? { unknown: () => {} } : {}),
    ...(ODD === "check"
      ? { health: { check: ({ url }) => url === urls[0] || "not the first" } }
      : {}),
  });
  await proxy.ready;
  for (const [name, options] of ODD === "hooks" ? HOOKS : []) {
    const { policy } = options;
    const hooked = createProxy({
      backends: urls,
      health: false,
      ...options,
      policy: policy ?? "uri_hash",
    });
    try {
      serve(hooked, { port: 0, host: "127.0.0.1", workers: 2 });
    } catch (error) {
      console.log(`${name}: ${error}`);
    }
    await hooked.stop();
  }
  try {
    const server = serve(proxy, {
      port: 0,
      host: "127.0.0.1",
      workers: 2,
      admin: { port: 0, host: "127.0.0.1" },
      ...(ODD === "hooks" ? { fetch: proxy.fetch } : {}),
    });
    process.on("SIGTERM", () => void server.stop());
    server.finished.then(() => {
      console.log("stopped");
      process.exit(0);
    });
    if (ODD === "early") {
      // They have been started, and are loading the program.
      await new Promise((resolve) => setTimeout(resolve));
      await server.stop();
    }
    await server.ready;
    console.log(`admin ${server.adminUrl}`);
    console.error(`listening on ${server.url}`);
  } catch (error) {
    console.log(String(error));
    await proxy.stop();
  }
}

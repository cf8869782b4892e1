/**
 * A program of somebody's own with two workers. `ODD` is an option of which a
 * worker could not be told, and says what comes of it; `early` stops the server
 * before its workers can have listened.
 *
 * @module
 */

import process from "node:process";
import { createProxy, serve } from "../../mod.ts";

if (import.meta.main) {
  const { BACKENDS = "", ODD } = process.env;
  const urls = BACKENDS.split(",").filter((url) => url !== "");
  const proxy = createProxy({
    backends: ODD === "backends" ? [() => new Response("mine")] : urls,
    ...(ODD === "fetch" ? { fetch: globalThis.fetch } : {}),
    // No option of ours, but one that is there.
    ...(ODD === "unknown" ? { unknown: () => {} } : {}),
  });
  await proxy.ready;
  try {
    const server = serve(proxy, {
      port: 0,
      host: "127.0.0.1",
      workers: 2,
      admin: { port: 0, host: "127.0.0.1" },
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

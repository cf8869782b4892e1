/**
 * A program that uses Sluice for a moment and then stops it. Nothing of it may
 * keep the process alive.
 *
 * @module
 */

import process from "node:process";
import { createProxy, serve } from "../../mod.ts";

if (import.meta.main) {
  const proxy = createProxy({
    backends: process.env["BACKENDS"]!.split(","),
    resume: true,
    idleTimeoutMs: 60_000,
  });
  await proxy.ready;
  const server = serve(proxy, { port: 0, host: "127.0.0.1" });
  const answers = await Promise.all(
    Array.from({ length: 20 }, async (_, i) => {
      const response = await fetch(server.url, {
        method: i % 2 === 0 ? "GET" : "POST",
        headers: { connection: "close" },
        body: i % 2 === 0 ? null : "body",
      });
      return await response.text();
    }),
  );
  await server.stop();
  await server.stop();
  console.log(`answered ${answers.length}`);
}

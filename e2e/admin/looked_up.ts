/**
 * A proxy with a backend whose name resolves to the proxy's own admin port, by
 * its own `lookup`; the machine's resolver is not used.
 *
 * @module
 */

import process from "node:process";
import { createProxy, serve } from "../../mod.ts";

const { GOOD = "", ADMIN = "", FIRST } = process.env;

const proxy = createProxy({
  backends: [GOOD, { url: `http://app.test:${ADMIN}`, resolve: true }],
  health: false,
  lookup: () => Promise.resolve({ addresses: ["127.0.0.1"] }),
  log: (line) => console.error(line),
});
// The name has been resolved before it listens, or just afterwards.
if (FIRST === "lookup") await proxy.ready;
try {
  const server = serve(proxy, {
    port: 0,
    host: "127.0.0.1",
    admin: { port: Number(ADMIN) },
  });
  await proxy.ready;
  console.error(`listening on ${server.url} (${proxy.pool.size} backends)`);
  process.on("SIGTERM", () => server.stop().then(() => process.exit(0)));
} catch (error) {
  console.error(String(error));
  process.exit(3);
}

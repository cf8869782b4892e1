/**
 * A program of one's own with workers; `e2e/workers_test.ts` runs it.
 *
 * @module
 */

import process from "node:process";
import { createProxy, serve } from "../../mod.ts";

const proxy = createProxy({
  backends: [process.env.BACKEND!],
  log: (line) => console.error(`own log: ${line}`),
});
try {
  const answer = () => new Response("ok");
  serve(createProxy({ backends: [answer] }), { port: 0, workers: 2 });
} catch (error) {
  console.error(`refused: ${error}`);
}
const server = serve(proxy, { port: 0, host: "127.0.0.1", workers: 2 });
await server.ready;
proxy.metrics();
console.error(`listening on ${server.url}`);
process.on("SIGHUP", () => console.error(proxy.metrics().replace(/\n/g, ";")));
process.on("SIGTERM", () => server.stop());
await server.finished;
process.exit(0);

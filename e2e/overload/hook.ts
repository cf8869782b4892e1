/**
 * A program whose `onRequest` waits until 300 requests are in it, and then lets
 * them go on one after the other.
 *
 * @module
 */

import process from "node:process";
import { createProxy, serve } from "../../mod.ts";

const WAITED_FOR = 300;

if (import.meta.main) {
  const { promise: gate, resolve: open } = Promise.withResolvers<void>();
  let [inside, turn] = [0, gate];
  const proxy = createProxy({
    backends: [process.env.BACKENDS ?? ""],
    maxInFlight: "auto",
    onRequest() {
      if (++inside === WAITED_FOR) open();
      // A breath for each, in which the one before gets its answer.
      return turn = turn.then(() => new Promise((go) => setTimeout(go, 2)));
    },
  });
  const server = serve(proxy, { port: 0, host: "127.0.0.1" });
  await server.ready;
  console.error(`listening on ${server.url}`);
}

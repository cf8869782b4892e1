import assert from "node:assert/strict";
import { Backend } from "../../balancer.ts";
import { Abort } from "../../http/signal.ts";
import { DenoFetch } from "./fetch.ts";

// A POST that arrives on a connection which its server is closing is lost, and
// Node's server closes after 5 s. To Unix domain sockets it was 5 s here too.
Deno.test("DenoFetch keeps idle connections for less than 5 s, also to Unix domain sockets", async () => {
  const { createHttpClient } = Deno;
  const kept: unknown[] = [];
  Deno.createHttpClient = (options) => {
    kept.push(options.poolIdleTimeout);
    throw new TypeError("not connected");
  };
  try {
    for (const url of ["http://10.0.0.1:3000", "unix:/tmp/nowhere.sock"]) {
      const transport = new DenoFetch();
      const backend = new Backend({ url });
      const { signal } = new AbortController();
      assert.throws(() =>
        transport.send({
          backend,
          url: `${backend.origin}/`,
          method: "GET",
          fields: [["host", "a"]],
          payload: undefined,
          once: false,
          abort: new Abort(),
        }), /not connected/);
      assert.ok("error" in await transport.probe(backend, "/", signal));
      transport.close();
    }
  } finally {
    Deno.createHttpClient = createHttpClient;
  }
  assert.deepEqual(kept, [4_000, 4_000, 4_000, 4_000]);
});

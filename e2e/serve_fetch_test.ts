/**
 * `serve(proxy, { fetch })`: a handler of one's own in front of the proxy, with
 * all that `serve` does without one.
 *
 * @module
 */

import assert from "node:assert/strict";
import { adminUrl } from "./harness/admin.ts";
import { rawBackend } from "./harness/backend.ts";
import { RawConnection, rawRequest, requestText } from "./harness/client.ts";
import { get, hooked } from "./harness/hooked.ts";
import { forBoth } from "./harness/suite.ts";
import { until } from "./harness/wait.ts";
import { ask, grant } from "./websocket/raw.ts";

forBoth(
  "serve({ fetch }) responds, forwards, and turns an error into a 500",
  async (runtime) => {
    await using backend = await rawBackend((conn, request) =>
      conn.reply({ body: request.target })
    );
    await using proxy = await hooked(runtime, [backend], { HANDLER: "on" });
    assert.equal((await get(proxy, "/handler/own")).text, "own\n");
    assert.equal((await get(proxy, "/handler/throws")).status, 500);
    assert.equal((await get(proxy, "/handler/nothing")).status, 500);
    assert.equal((await get(proxy, "/x")).text, "/x");
    assert.equal((await get(proxy, "/handler/remade")).text, "/remade");
    for (const request of backend.requests) {
      assert.equal(request.header("x-forwarded-for"), "127.0.0.1");
      assert.equal(request.header("x-forwarded-proto"), "http");
    }
    // What a client writes in its target does not make its connection secure.
    await rawRequest(
      proxy.port,
      "GET https://sluice.test/y HTTP/1.1\r\nHost: sluice.test\r\n\r\n",
    );
    const { headers } = backend.requests.at(-1)!;
    assert.ok(
      headers.every(([name, value]) =>
        name.toLowerCase() !== "x-forwarded-proto" || value === "http"
      ),
    );
  },
);

forBoth(
  "serve({ fetch }) drains: responses close their connections, and requests in flight are answered",
  async (runtime) => {
    const gate = Promise.withResolvers<void>();
    await using backend = await rawBackend(async (conn) => {
      await gate.promise;
      await conn.reply({ body: "late" });
    });
    await using proxy = await hooked(runtime, [backend], { HANDLER: "on" });
    const late = get(proxy, "/late");
    await backend.waitForRequests(1);
    await using kept = await RawConnection.connect(proxy.port);
    const before = await kept.request(requestText("GET", "/handler/own"));
    assert.doesNotMatch(before.header("connection") ?? "", /close/);
    proxy.signal("SIGTERM");
    const admin = await adminUrl(proxy);
    await until(async () => {
      const answer = await fetch(`${admin}/readyz`);
      await answer.body?.cancel();
      return answer.status === 503;
    });
    const during = await kept.request(requestText("GET", "/handler/own"));
    assert.equal(during.text, "own\n");
    assert.match(during.header("connection") ?? "", /close/);
    gate.resolve();
    assert.equal((await late).text, "late");
    assert.deepEqual(await proxy.waitForExit(20_000), {
      code: 0,
      signal: null,
    });
  },
);

forBoth(
  "serve({ fetch }) lets WebSockets through, and closes them with 1001",
  async (runtime) => {
    await using backend = await rawBackend(async (conn, request) => {
      const frames = await grant(conn, request);
      await frames.text(await frames.shown());
      await conn.closed;
    });
    await using proxy = await hooked(runtime, [backend], { HANDLER: "on" });
    await using asked = await ask(proxy.port);
    await asked.frames.text("hello");
    assert.equal(await asked.frames.shown(), "text text hello");
    proxy.signal("SIGTERM");
    assert.match(await asked.frames.shown(), /^close 1001/);
  },
);

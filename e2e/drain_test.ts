/**
 * How the real program stops: requests in flight are completed, no client loses
 * a request, and the process exits.
 *
 * @module
 */

import assert from "node:assert/strict";
import { type Handler, hang, rawBackend } from "./harness/backend.ts";
import { RawConnection, rawRequest, requestText } from "./harness/client.ts";
import { type ProxyProcess, startProxy } from "./harness/proxy.ts";
import { forBoth } from "./harness/suite.ts";
import { until } from "./harness/wait.ts";
import { PeerGone } from "./harness/wire.ts";

/** Waits until the proxy accepts no more connections. */
async function closedToNew(proxy: ProxyProcess): Promise<void> {
  await until(async () => {
    try {
      await using _ = await RawConnection.connect(proxy.port);
      return false;
    } catch {
      return true;
    }
  });
}

/** A download whose second half is held back until it is released. */
function halves(): { handler: Handler; release: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return {
    release: resolve,
    handler: async (conn) => {
      await conn.send("HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n");
      await conn.send("a".repeat(100_000));
      await Promise.race([promise, conn.closed]);
      await conn.send("b".repeat(100_000));
    },
  };
}

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  forBoth(`${signal} lets a running download finish`, async (runtime) => {
    const { handler, release } = halves();
    await using backend = await rawBackend(handler);
    await using proxy = await startProxy(runtime, {
      env: { BACKENDS: backend.url },
    });
    await using client = await RawConnection.connect(proxy.port);
    await client.write(requestText("GET", "/"));
    await client.readHead();
    await client.readChunkOrBytes();
    proxy.signal(signal);
    await closedToNew(proxy);
    assert.equal(proxy.exited, undefined);
    release();
    let bytes = 0;
    for (let piece; (piece = await client.readChunkOrBytes()) !== null;) {
      bytes += piece.data.length;
      if (bytes >= 200_000) break;
    }
    assert.deepEqual(await proxy.waitForExit(), { code: 0, signal: null });
    // The harness's reader throws if the body was cut.
    assert.ok(bytes > 90_000);
  });
}

forBoth("an upload in progress finishes, and its answer arrives", async (
  runtime,
) => {
  await using backend = await rawBackend(async (conn, request) => {
    const body = await request.body();
    await conn.reply({ body: `got ${body.length}` });
  });
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: backend.url },
  });
  await using client = await RawConnection.connect(proxy.port);
  await client.write(
    "POST / HTTP/1.1\r\nHost: sluice.test\r\nContent-Length: 200000\r\n\r\n" +
      "a".repeat(100_000),
  );
  await backend.waitForRequests(1);
  proxy.signal("SIGTERM");
  await proxy.waitForLine(/draining/);
  await client.write("b".repeat(100_000));
  const response = await client.readResponse({ method: "POST" });
  assert.equal(response.status, 200, proxy.log);
  assert.equal(response.text, "got 200000");
  assert.equal(response.complete, true);
  await client.close();
  assert.equal((await proxy.waitForExit()).code, 0);
});

forBoth("a request that waits for its backend is still answered", async (
  runtime,
) => {
  const { promise, resolve } = Promise.withResolvers<void>();
  await using backend = await rawBackend(async (conn) => {
    await promise;
    await conn.reply({ body: "late" });
  });
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: backend.url },
  });
  const answer = rawRequest(proxy.port, requestText("GET", "/"));
  await backend.waitForRequests(1);
  proxy.signal("SIGTERM");
  await closedToNew(proxy);
  resolve();
  const response = await answer;
  assert.equal(response.text, "late");
  assert.equal(response.complete, true);
  assert.equal((await proxy.waitForExit()).code, 0);
});

forBoth(
  "what is still running after DRAIN_TIMEOUT is cut, with exit code 0",
  async (runtime) => {
    const { handler } = halves();
    await using backend = await rawBackend((conn, request) =>
      (request.path === "/half" ? handler : hang)(conn, request)
    );
    await using proxy = await startProxy(runtime, {
      env: { BACKENDS: backend.url, DRAIN_TIMEOUT: "500ms" },
    });
    await using client = await RawConnection.connect(proxy.port);
    await client.write(requestText("GET", "/"));
    await backend.waitForRequests(1);
    await using download = await RawConnection.connect(proxy.port);
    await download.write(requestText("GET", "/half"));
    await backend.waitForRequests(2);
    await download.readHead();
    const began = performance.now();
    proxy.signal("SIGTERM");
    assert.deepEqual(await proxy.waitForExit(), { code: 0, signal: null });
    assert.ok(performance.now() - began >= 400);
    const response = await client.readResponse();
    assert.equal(response.status, 503, proxy.log);
    assert.equal(response.complete, true);
    await assert.rejects(async () => {
      while (await download.readChunkOrBytes() !== null);
    }, PeerGone);
  },
);

for (const length of [20_000, 200_000]) {
  forBoth(
    `an upload of ${length} bytes that is still stalled at DRAIN_TIMEOUT gets a 503`,
    async (runtime) => {
      await using backend = await rawBackend(hang);
      await using proxy = await startProxy(runtime, {
        env: { BACKENDS: backend.url, DRAIN_TIMEOUT: "600ms" },
      });
      await using client = await RawConnection.connect(proxy.port);
      const head = `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${length}`;
      await client.write(`${head}\r\n\r\nbegin`);
      // Answered later than the upload came.
      await rawRequest(proxy.port, requestText("TRACE", "/"));
      proxy.signal("SIGTERM");
      const answer = await client.readResponse({ method: "POST" });
      assert.equal(answer.status, 503);
      assert.equal((await proxy.waitForExit()).code, 0);
    },
  );
}

forBoth("a second signal ends it at once with 1", async (runtime) => {
  await using backend = await rawBackend(hang);
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: backend.url, DRAIN_TIMEOUT: "1m" },
  });
  await using client = await RawConnection.connect(proxy.port);
  await client.write(requestText("GET", "/"));
  await backend.waitForRequests(1);
  proxy.signal("SIGTERM");
  await proxy.waitForLine(/a second signal ends it at once/);
  proxy.signal("SIGINT");
  assert.deepEqual(await proxy.waitForExit(), { code: 1, signal: null });
});

forBoth("during DRAIN_DELAY it still serves, and closes connections", async (
  runtime,
) => {
  await using backend = await rawBackend();
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: backend.url, DRAIN_DELAY: "3s" },
  });
  await using kept = await RawConnection.connect(proxy.port);
  const before = await kept.request(requestText("GET", "/"));
  assert.equal(before.header("connection")?.includes("close") ?? false, false);
  proxy.signal("SIGTERM");
  await proxy.waitForLine(/draining/);
  const during = await kept.request(requestText("GET", "/"));
  assert.equal(during.status, 200);
  assert.match(during.header("connection") ?? "", /close/i);
  const fresh = await rawRequest(proxy.port, requestText("GET", "/"));
  assert.equal(fresh.status, 200);
  await kept.close();
  assert.equal((await proxy.waitForExit()).code, 0);
});

forBoth("clients on kept connections lose no request to a stop", async (
  runtime,
) => {
  await using backend = await rawBackend();
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: backend.url },
  });
  let answered = 0;
  const client = async () => {
    await using connection = await RawConnection.connect(proxy.port);
    while (true) {
      const response = await connection.request(requestText("GET", "/"));
      assert.equal(response.status, 200, response.problem);
      assert.equal(response.complete, true);
      answered++;
      // With `Connection: close`: a client that continues opens another one,
      // which is refused by then or soon.
      if (/close/i.test(response.header("connection") ?? "")) return;
    }
  };
  const clients = Array.from({ length: 4 }, client);
  await until(() => answered > 50);
  proxy.signal("SIGTERM");
  await Promise.all(clients);
  assert.equal((await proxy.waitForExit()).code, 0);
});

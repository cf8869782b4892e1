/**
 * How requests are distributed, counted at the backends of the real program.
 *
 * @module
 */

import assert from "node:assert/strict";
import { rawBackend } from "./harness/backend.ts";
import { RawConnection, requestText } from "./harness/client.ts";
import { startProxy } from "./harness/proxy.ts";
import { forBoth } from "./harness/suite.ts";

/** Sends `count` requests over several kept connections; all must be 200. */
async function send(port: number, count: number): Promise<void> {
  const CONNECTIONS = 6;
  const each = count / CONNECTIONS;
  assert.ok(Number.isInteger(each));
  await Promise.all(Array.from({ length: CONNECTIONS }, async () => {
    await using connection = await RawConnection.connect(port);
    for (let i = 0; i < each; i++) {
      const { status } = await connection.request(requestText("GET", "/"));
      assert.equal(status, 200);
    }
  }));
}

const long = { timeoutMs: 120_000 };

forBoth("3,000 requests over 3 backends are 1000 each", long, async (
  runtime,
) => {
  await using a = await rawBackend();
  await using b = await rawBackend();
  await using c = await rawBackend();
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: [a, b, c].map(({ url }) => url).join() },
  });
  await send(proxy.port, 3_000);
  assert.deepEqual(
    [a, b, c].map(({ requests }) => requests.length),
    [1_000, 1_000, 1_000],
  );
});

forBoth("3,000 requests with one of 3 down are 1500 each", long, async (
  runtime,
) => {
  await using a = await rawBackend();
  await using b = await rawBackend();
  await using c = await rawBackend();
  await b.kill();
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: [a, b, c].map(({ url }) => url).join() },
  });
  await send(proxy.port, 3_000);
  assert.deepEqual(
    [a, b, c].map(({ requests }) => requests.length),
    [1_500, 0, 1_500],
  );
});

forBoth("weights are shares, to the request", long, async (runtime) => {
  await using a = await rawBackend();
  await using b = await rawBackend();
  await using none = await rawBackend();
  await using spare = await rawBackend();
  await using proxy = await startProxy(runtime, {
    env: {
      BACKENDS:
        `${a.url} weight=3,${b.url},${none.url} weight=0,${spare.url} backup`,
    },
  });
  await send(proxy.port, 600);
  assert.deepEqual(
    [a, b, none, spare].map(({ requests }) => requests.length),
    [450, 150, 0, 0],
  );
});

/**
 * Limits: what exceeds one is refused at once, in the same way, and what does
 * not is forwarded unchanged.
 *
 * @module
 */

import assert from "node:assert/strict";
import {
  type Handler,
  type RawBackend,
  rawBackend,
} from "./harness/backend.ts";
import {
  RawConnection,
  rawRequest,
  type RawResponse,
  requestText,
} from "./harness/client.ts";
import { startProxy } from "./harness/proxy.ts";
import { forBoth } from "./harness/suite.ts";
import { until } from "./harness/wait.ts";

const GET = requestText("GET", "/");

/** A backend that responds when it is released. */
function held(): { handler: Handler; release: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return {
    release: resolve,
    handler: async (conn, request) => {
      await request.body();
      await Promise.race([promise, conn.closed]);
      await conn.reply({ body: "ok" });
    },
  };
}

/** Requests whose responses come later. */
function sendMany(port: number, count: number): Promise<RawResponse>[] {
  return Array.from({ length: count }, () => rawRequest(port, GET));
}

/** Waits until the backends have so many in total. */
async function given(count: number, ...all: RawBackend[]): Promise<void> {
  await until(() =>
    all.reduce((n, { requests }) => n + requests.length, 0) === count
  );
}

function assertFull(answer: RawResponse, error: string): void {
  assert.equal(answer.status, 503);
  assert.equal(answer.header("retry-after"), "1");
  assert.equal(answer.header("proxy-status"), `sluice; error=${error}`);
}

forBoth("MAX_IN_FLIGHT refuses the next one at once with Retry-After", async (
  runtime,
) => {
  const { handler, release } = held();
  await using backend = await rawBackend(handler);
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: backend.url, MAX_IN_FLIGHT: "5" },
  });
  const answers = sendMany(proxy.port, 5);
  await given(5, backend);
  for (let i = 0; i < 3; i++) {
    assertFull(await rawRequest(proxy.port, GET), "connection_limit_reached");
  }
  assert.equal(backend.requests.length, 5);
  release();
  for (const answer of answers) assert.equal((await answer).status, 200);
  // All of the room is there again, and not one place more.
  for (let i = 0; i < 20; i++) {
    assert.equal((await rawRequest(proxy.port, GET)).status, 200);
  }
});

forBoth(
  "max_conns full everywhere is 503 at once, and one place is enough",
  async (
    runtime,
  ) => {
    const { handler, release } = held();
    await using a = await rawBackend(handler);
    await using b = await rawBackend(handler);
    await using proxy = await startProxy(runtime, {
      env: { BACKENDS: `${a.url} max_conns=2,${b.url} max_conns=1` },
    });
    const answers = sendMany(proxy.port, 3);
    await given(3, a, b);
    assert.deepEqual([a.requests.length, b.requests.length], [2, 1]);
    assertFull(await rawRequest(proxy.port, GET), "destination_unavailable");
    release();
    for (const answer of answers) assert.equal((await answer).status, 200);
    assert.equal((await rawRequest(proxy.port, GET)).status, 200);
  },
);

forBoth(
  "a backup gets requests only while no other backend is available",
  async (
    runtime,
  ) => {
    await using main = await rawBackend();
    await using spare = await rawBackend();
    await using proxy = await startProxy(runtime, {
      env: {
        BACKENDS: `${main.url},${spare.url} backup`,
        HEALTH_INTERVAL: "200ms",
        HEALTH_TIMEOUT: "190ms",
        EJECT_TIME: "200ms",
      },
    });
    for (let i = 0; i < 5; i++) {
      assert.equal((await rawRequest(proxy.port, GET)).status, 200);
    }
    assert.equal(spare.requests.length, 0);
    // Also before the probes have seen it: the refused one is tried there.
    await main.kill();
    for (let i = 0; i < 5; i++) {
      assert.equal((await rawRequest(proxy.port, GET)).status, 200);
    }
    assert.equal(spare.requests.length, 5);
    await main.restart();
    await until(async () => {
      const before = main.requests.length;
      assert.equal((await rawRequest(proxy.port, GET)).status, 200);
      return main.requests.length > before;
    }, { timeoutMs: 20_000 });
  },
);

forBoth("MAX_BODY lets through what is exactly as long", async (runtime) => {
  await using backend = await rawBackend(async (conn, request) => {
    await conn.reply({ body: String((await request.body()).length) });
  });
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: backend.url, MAX_BODY: "1KB" },
  });
  for (const chunked of [false, true]) {
    const body = "x".repeat(1024);
    const data = chunked
      ? requestText("POST", "/", {
        headers: [["Transfer-Encoding", "chunked"]],
        body: `400\r\n${body}\r\n0\r\n\r\n`,
      })
      : requestText("POST", "/", { body });
    const answer = await rawRequest(proxy.port, data);
    assert.equal(answer.status, 200, answer.text);
    assert.equal(answer.text, "1024");
  }
});

forBoth("MAX_BODY refuses a declared length before a backend is picked", async (
  runtime,
) => {
  await using backend = await rawBackend();
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: backend.url, MAX_BODY: "1KB" },
  });
  const answer = await rawRequest(
    proxy.port,
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1025\r\n\r\n",
  );
  assert.equal(answer.status, 413);
  assert.equal(
    answer.header("proxy-status"),
    "sluice; error=http_request_denied",
  );
  assert.equal(backend.requests.length, 0);
});

forBoth("MAX_BODY ends a chunked upload that grows past it", async (
  runtime,
) => {
  await using backend = await rawBackend(async (conn, request) => {
    await request.body();
    await conn.reply({ body: "whole" });
  });
  await using other = await rawBackend(backend.handler);
  await using proxy = await startProxy(runtime, {
    env: {
      BACKENDS: `${backend.url},${other.url}`,
      MAX_BODY: "64KB",
      EJECT_AFTER: "1",
    },
  });
  const chunk = `4000\r\n${"x".repeat(0x4000)}\r\n`;
  const answer = await rawRequest(
    proxy.port,
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" +
      chunk.repeat(10) + "0\r\n\r\n",
  );
  assert.equal(answer.status, 413, answer.text);
  // A client that got a part of it must see that it is incomplete.
  const asked = [...backend.requests, ...other.requests];
  assert.ok(asked.length <= 1);
  await until(() => asked.every(({ conn }) => conn.ending !== undefined));
  assert.ok(asked.every(({ complete }) => !complete));
  assert.doesNotMatch(proxy.log, /ejected/);
});

forBoth(
  "IDLE_TIMEOUT ends an answer that stops, and not one that is slow",
  async (
    runtime,
  ) => {
    await using backend = await rawBackend(async (conn, request) => {
      await conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
      for (let i = 0; i < 8; i++) {
        await conn.chunk("piece");
        await new Promise((resolve) => setTimeout(resolve, 150));
      }
      if (request.path === "/slow") await conn.lastChunk();
      else await conn.closed;
    });
    await using proxy = await startProxy(runtime, {
      env: { BACKENDS: backend.url, IDLE_TIMEOUT: "700ms" },
    });
    const slow = await rawRequest(proxy.port, requestText("GET", "/slow"));
    assert.equal(slow.complete, true);
    assert.equal(slow.text, "piece".repeat(8));
    const stopped = await rawRequest(proxy.port, requestText("GET", "/stops"));
    assert.equal(stopped.complete, false);
    await until(() => backend.requests[1]!.conn.ending !== undefined);
  },
);

forBoth("CLIENT_TIMEOUT ends an upload that stops", async (runtime) => {
  await using backend = await rawBackend(async (conn, request) => {
    await request.body();
    await conn.reply();
  });
  await using other = await rawBackend(backend.handler);
  await using proxy = await startProxy(runtime, {
    env: {
      BACKENDS: `${backend.url},${other.url}`,
      CLIENT_TIMEOUT: "300ms",
      EJECT_AFTER: "1",
    },
  });
  await using client = await RawConnection.connect(proxy.port);
  await client.write(
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nbegin",
  );
  const answer = await client.readResponse({ method: "POST" });
  assert.equal(answer.status, 408, answer.statusLine);
  const asked = [...backend.requests, ...other.requests];
  await until(() => asked.every(({ conn }) => conn.ending !== undefined));
  assert.ok(asked.every(({ complete }) => !complete));
  assert.doesNotMatch(proxy.log, /ejected/);
});

/**
 * What becomes of a request whose backend fails: tried elsewhere where that is
 * safe, answered with an error where it is not, and which backend is blamed.
 *
 * @module
 */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { deadPort, type Handler, rawBackend } from "./harness/backend.ts";
import { RawConnection, rawRequest, requestText } from "./harness/client.ts";
import { startProxy } from "./harness/proxy.ts";
import { forBoth } from "./harness/suite.ts";
import { until } from "./harness/wait.ts";

const MB = 1024 * 1024;
/** Nobody is taken out: each request meets the backends as they are. */
const PLAIN = { HEALTH_PATH: "off", EJECT_AFTER: "off" };

/** Reads a request to its end and answers with its size. */
const echoSize: Handler = async (conn, request) => {
  await conn.reply({ body: String((await request.body()).length) });
};

/** Reads a request to its end and closes the connection. */
const drop: Handler = async (conn, request) => {
  await request.body();
  await conn.close();
};

/** Bytes of which no two pieces are equal. */
function bytesOf(size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  for (let i = 0; i < size; i++) bytes[i] = i * 31 + (i >> 8) * 17 + (i >> 16);
  return bytes;
}

/** A body as chunks of `size` bytes. */
function chunksOf(body: Uint8Array, size: number): Uint8Array {
  const parts: Uint8Array[] = [];
  for (let at = 0; at < body.length; at += size) {
    const piece = body.subarray(at, at + size);
    parts.push(Buffer.from(`${piece.length.toString(16)}\r\n`), piece);
    parts.push(Buffer.from("\r\n"));
  }
  return Buffer.concat([...parts, Buffer.from("0\r\n\r\n")]);
}

const UPLOADS: readonly [string, Uint8Array | undefined, boolean][] = [
  ["a GET", undefined, false],
  ["an empty POST", new Uint8Array(), false],
  ["a small POST", bytesOf(100), false],
  ["a small chunked POST", bytesOf(100), true],
  ["a POST of 10 MB", bytesOf(10 * MB), false],
  ["a chunked POST of 10 MB", bytesOf(10 * MB), true],
];

for (const [what, body, chunked] of UPLOADS) {
  forBoth(`a refused connection costs ${what} nothing`, async (runtime) => {
    await using good = await rawBackend(echoSize);
    const dead = `http://127.0.0.1:${await deadPort()}`;
    await using proxy = await startProxy(runtime, {
      env: { ...PLAIN, BACKENDS: `${dead},${good.url}` },
    });
    const head = (fields: string) =>
      `POST / HTTP/1.1\r\nHost: sluice.test\r\n${fields}\r\n\r\n`;
    const text = body === undefined
      ? requestText("GET", "/")
      : chunked
      ? Buffer.concat([
        Buffer.from(head("Transfer-Encoding: chunked")),
        chunksOf(body, 60_000),
      ])
      : requestText("POST", "/", { body });
    const count = 4;
    for (let i = 0; i < count; i++) {
      const answer = await rawRequest(proxy.port, text);
      assert.equal(answer.status, 200, `${answer.text} ${proxy.log}`);
      assert.equal(answer.text, String(body?.length ?? 0));
    }
    // Round robin: every other one was to go to the dead one first.
    assert.equal(good.requests.length, count);
    for (const request of good.requests) {
      const got = await request.body();
      assert.equal(Buffer.compare(got, body ?? new Uint8Array()), 0);
      // What is declared stays declared. The other way round Bun declares what
      // had come whole before it was sent on.
      if (body !== undefined && body.length > 0 && !chunked) {
        assert.equal(request.framing, "length");
      }
    }
  });
}

const LOST: readonly [string, string, Uint8Array | undefined, boolean][] = [
  ["GET", "a GET", undefined, true],
  ["DELETE", "a DELETE", undefined, true],
  ["PUT", "a PUT of 64 KB", bytesOf(64 * 1024), true],
  ["PUT", "a PUT of 1 MB", bytesOf(MB), false],
  ["POST", "a POST", bytesOf(10), false],
  ["PATCH", "a PATCH", bytesOf(10), false],
  ["PROPFIND", "a PROPFIND", undefined, false],
];

for (const [method, what, body, again] of LOST) {
  forBoth(
    `${what} that is dropped is ${again ? "" : "not "}tried elsewhere`,
    async (runtime) => {
      await using bad = await rawBackend(drop);
      await using good = await rawBackend(echoSize);
      await using proxy = await startProxy(runtime, {
        env: { ...PLAIN, BACKENDS: `${bad.url},${good.url}` },
      });
      const statuses: number[] = [];
      for (let i = 0; i < 4; i++) {
        const text = requestText(
          method,
          "/",
          body === undefined ? {} : { body },
        );
        const { status } = await rawRequest(proxy.port, text);
        statuses.push(status);
      }
      assert.equal(bad.requests.length, 2);
      assert.equal(good.requests.length, again ? 4 : 2);
      const failed = statuses.filter((status) => status === 502).length;
      assert.equal(failed, again ? 0 : 2, statuses.join());
    },
  );
}

/** Sends half of what it promises. */
const truncate: Handler = async (conn) => {
  await conn.send("HTTP/1.1 200 OK\r\nContent-Length: 600000\r\n\r\n");
  await conn.send("x".repeat(300_000));
  await conn.close();
};

forBoth("three truncated bodies eject a backend", async (runtime) => {
  await using bad = await rawBackend(truncate);
  await using good = await rawBackend();
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: `${bad.url},${good.url}` },
  });
  for (let i = 0; i < 12; i++) {
    await rawRequest(proxy.port, requestText("GET", "/"));
  }
  await proxy.waitForLine(
    /is ejected for .* \(3 bad outcomes in a row, the last: a truncated body\)/,
  );
  assert.equal(bad.requests.length, 3);
  assert.equal(good.requests.length, 9);
});

forBoth("aborting clients and 4xx responses eject no backend", async (
  runtime,
) => {
  await using teapot = await rawBackend(async (conn, request) => {
    if (request.path === "/hang") await conn.closed;
    else await conn.reply({ status: 418, body: "no" });
  });
  await using other = await rawBackend(teapot.handler);
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: `${teapot.url},${other.url}`, EJECT_AFTER: "1" },
  });
  for (let i = 0; i < 10; i++) {
    const response = await rawRequest(proxy.port, requestText("GET", "/"));
    assert.equal(response.status, 418);
    const client = await RawConnection.connect(proxy.port);
    await client.write(requestText("GET", "/hang"));
    await (i % 2 === 0 ? other : teapot).waitForRequests(1);
    await client.reset();
    // A client that leaves in its own upload.
    const upload = await RawConnection.connect(proxy.port);
    await upload.write(
      "POST /hang HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n" +
        "x".repeat(100_000),
    );
    await upload.reset();
  }
  // Each attempt is ended on the backend's side too.
  await until(() =>
    [...teapot.requests, ...other.requests].every(({ conn, path }) =>
      path !== "/hang" || conn.ending !== undefined
    )
  );
  assert.doesNotMatch(proxy.log, /ejected/);
});

forBoth("requests that fail together make one ejection and one line", async (
  runtime,
) => {
  const all = Promise.withResolvers<void>();
  await using bad = await rawBackend(async (conn) => {
    await Promise.race([all.promise, conn.closed]);
    await conn.reset();
  });
  await using good = await rawBackend();
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: `${bad.url},${good.url}` },
  });
  const answers = Array.from(
    { length: 40 },
    () => rawRequest(proxy.port, requestText("GET", "/")),
  );
  await bad.waitForRequests(20);
  all.resolve();
  for (const answer of answers) assert.equal((await answer).status, 200);
  await proxy.waitForLine(/is ejected for (9|10|11)\.\d s/);
  const lines = proxy.stderr.filter((line) => line.includes("ejected"));
  assert.equal(lines.length, 1, proxy.log);
});

forBoth("a backend that was ejected is back after its time", async (
  runtime,
) => {
  await using flaky = await rawBackend(async (conn) => await conn.reset());
  await using good = await rawBackend();
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: `${flaky.url},${good.url}`, EJECT_TIME: "300ms" },
  });
  const ask = async () => {
    const { status } = await rawRequest(proxy.port, requestText("GET", "/"));
    assert.equal(status, 200);
  };
  for (let i = 0; i < 6; i++) await ask();
  await proxy.waitForLine(/is ejected for 0\.\d s/);
  flaky.handler = (conn) => conn.reply({ body: "ok" });
  await proxy.waitForLine(/is back after its ejection/);
  const before = flaky.requests.length;
  for (let i = 0; i < 4; i++) await ask();
  assert.equal(flaky.requests.length, before + 2);
});

forBoth("no answer within TIMEOUT is 504, counts, and is not repeated", async (
  runtime,
) => {
  await using slow = await rawBackend(async (conn) => {
    await conn.closed;
  });
  await using other = await rawBackend(slow.handler);
  await using proxy = await startProxy(runtime, {
    env: {
      BACKENDS: `${slow.url},${other.url}`,
      TIMEOUT: "200ms",
      EJECT_AFTER: "2",
    },
  });
  for (let i = 0; i < 4; i++) {
    const began = performance.now();
    const answer = await rawRequest(proxy.port, requestText("GET", "/"));
    assert.equal(answer.status, 504);
    assert.equal(
      answer.header("proxy-status"),
      "sluice; error=http_response_timeout",
    );
    assert.ok(performance.now() - began >= 195);
  }
  assert.equal(slow.requests.length + other.requests.length, 4);
  await proxy.waitForLine(/ejected .* the last: no answer within/);
});

// There, small bodies are read completely before a backend is picked.

forBoth(
  "a small upload that does not arrive occupies no backend",
  async (runtime) => {
    await using backend = await rawBackend(echoSize);
    await using proxy = await startProxy(runtime, {
      env: {
        BACKENDS: backend.url,
        HEALTH_PATH: "off",
        CLIENT_TIMEOUT: "300ms",
        EJECT_AFTER: "1",
        ACCESS_LOG: "json",
      },
    });
    const head = "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n";
    await using slow = await RawConnection.connect(proxy.port);
    await slow.write(`${head}begin`);
    const answer = await slow.readResponse({ method: "PUT" });
    assert.equal(answer.status, 408, answer.text);
    {
      await using leaving = await RawConnection.connect(proxy.port);
      await leaving.write(`${head}begin`);
    }
    await proxy.waitForLine(/"status":499/);
    assert.equal(backend.requests.length, 0);
    assert.doesNotMatch(proxy.log, /ejected/);
  },
);

forBoth("a small upload that comes in chunks arrives complete", async (
  runtime,
) => {
  await using backend = await rawBackend(async (conn, request) => {
    const body = await request.body();
    await conn.reply({
      headers: [["content-type", "a/b"]],
      body: `${request.header("content-length")} ${Buffer.from(body)}`,
    });
  });
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: backend.url, ...PLAIN },
  });
  await using client = await RawConnection.connect(proxy.port);
  for (const method of ["POST", "PUT", "PATCH", "PROPFIND"]) {
    await client.write(
      `${method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\none`,
    );
    for (const piece of ["two", "six"]) {
      await new Promise((resolve) => setTimeout(resolve, 30));
      await client.write(piece);
    }
    const answer = await client.readResponse({ method });
    assert.equal(answer.text, "9 onetwosix", method);
  }
});

forBoth(
  "a small upload is sent once when a kept connection dies under it",
  async (runtime) => {
    let dying = false;
    const seen: string[] = [];
    await using backend = await rawBackend(async (conn, request) => {
      await request.body();
      seen.push(request.method);
      if (dying) await conn.close();
      else await conn.reply({ body: "ok" });
    });
    await using proxy = await startProxy(runtime, {
      env: { BACKENDS: backend.url, ...PLAIN },
    });
    const ask = (method: string) =>
      rawRequest(
        proxy.port,
        `${method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\none`,
      );
    for (const method of ["POST", "PATCH", "PROPFIND", "QUERY"]) {
      dying = false;
      // So that there is a kept connection.
      for (let i = 0; i < 3; i++) await ask("POST");
      seen.length = 0;
      dying = true;
      assert.equal((await ask(method)).status, 502, method);
      assert.deepEqual(seen, [method]);
    }
  },
);

forBoth("a slow client gets 408, which is no backend's failure", async (
  runtime,
) => {
  await using backend = await rawBackend(echoSize);
  await using other = await rawBackend(echoSize);
  await using proxy = await startProxy(runtime, {
    env: {
      BACKENDS: `${backend.url},${other.url}`,
      CLIENT_TIMEOUT: "300ms",
      EJECT_AFTER: "1",
    },
  });
  await using client = await RawConnection.connect(proxy.port);
  await client.write(
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nbegin",
  );
  const answer = await client.readResponse({ method: "POST" });
  assert.equal(answer.status, 408, answer.text);
  assert.doesNotMatch(proxy.log, /ejected/);
});

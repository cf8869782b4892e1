/**
 * Failed requests: the client leaves, the backend does not respond, or the
 * request is refused; and what is logged then.
 *
 * @module
 */

import assert from "node:assert/strict";
import { deadPort, hang, rawBackend } from "./harness/backend.ts";
import {
  RawConnection,
  rawRequest,
  type RawResponse,
  requestText,
} from "./harness/client.ts";
import { startProxy } from "./harness/proxy.ts";
import { forBoth } from "./harness/suite.ts";
import { until, within } from "./harness/wait.ts";

/** Checks what each of the proxy's own responses has. */
function own(response: RawResponse, status: number, error: string): void {
  assert.equal(response.status, status, response.text);
  assert.equal(response.header("proxy-status"), `sluice; error=${error}`);
  assert.match(response.header("content-type") ?? "", /^text\/plain/);
  assert.equal(response.header("cache-control"), "no-store");
  assert.equal(response.complete, true);
  // No address, no file, no stack.
  assert.ok(response.text.length < 120, response.text);
  assert.doesNotMatch(response.text, /127\.0|\.ts|\bat \w/);
}

forBoth("a client that leaves before the answer ends its attempt", async (
  runtime,
) => {
  await using backend = await rawBackend(hang);
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: backend.url, EJECT_AFTER: "1" },
  });
  for (const leave of ["close", "reset"] as const) {
    const client = await RawConnection.connect(proxy.port);
    await client.write(requestText("GET", "/"));
    const seen = backend.requests.length;
    const request = await backend.waitForRequests(seen + 1);
    await client[leave]();
    await within(request.conn.closed, 5_000, "the attempt's end");
  }
  // No other backend was tried, and no failure was counted.
  assert.equal(backend.requests.length, 2);
  assert.doesNotMatch(proxy.log, /eject/);
});

forBoth("a client that leaves amid the answer ends its attempt", async (
  runtime,
) => {
  let sending = true;
  await using backend = await rawBackend(async (conn) => {
    await conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    try {
      while (conn.ending === undefined) await conn.chunk("x".repeat(10_000));
    } finally {
      sending = false;
    }
  });
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: backend.url },
  });
  const client = await RawConnection.connect(proxy.port);
  await client.write(requestText("GET", "/"));
  await client.readHead();
  await client.readChunkOrBytes();
  await client.close();
  await until(() => !sending);
});

forBoth("a client that cuts its upload ends its attempt", async (runtime) => {
  await using backend = await rawBackend(async (_, request) => {
    await request.body();
  });
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: backend.url, EJECT_AFTER: "1" },
  });
  const client = await RawConnection.connect(proxy.port);
  await client.write(
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n" +
      "a".repeat(100_000),
  );
  const request = await backend.waitForRequests(1);
  await client.reset();
  await within(request.conn.closed, 5_000, "the attempt's end");
  assert.equal(request.complete, false);
  assert.doesNotMatch(proxy.log, /eject/);
});

forBoth("TIMEOUT is 504, and covers the header alone", async (runtime) => {
  const { promise, resolve } = Promise.withResolvers<void>();
  await using backend = await rawBackend(async (conn, { path }) => {
    if (path === "/hang") return await hang(conn, null as never);
    await conn.send("HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n");
    await conn.send("a".repeat(100_000));
    await promise;
    await conn.send("b".repeat(100_000));
  });
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: backend.url, TIMEOUT: "400ms" },
  });
  await using slow = await RawConnection.connect(proxy.port);
  await slow.write(requestText("GET", "/slow"));
  const body = slow.readResponse();
  await backend.waitForRequests(1);
  const began = performance.now();
  const response = await rawRequest(proxy.port, requestText("GET", "/hang"));
  assert.ok(performance.now() - began >= 350);
  own(response, 504, "http_response_timeout");
  // Not tried again, and ended at the backend too.
  assert.equal(backend.requests.length, 2);
  await within(backend.requests[1]!.conn.closed, 5_000, "the attempt's end");
  // The download has lasted longer than the limit by now.
  resolve();
  const { body: bytes, complete } = await body;
  assert.equal(complete, true);
  assert.equal(bytes.length, 200_000);
});

forBoth("a backend that cannot be reached is 502", async (runtime) => {
  const dead = await deadPort();
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: `http://127.0.0.1:${dead}`, HEALTH_PATH: "off" },
  });
  own(
    await rawRequest(proxy.port, requestText("GET", "/")),
    502,
    "connection_refused",
  );
});

forBoth("a backend that breaks off before its answer is 502", async (
  runtime,
) => {
  await using backend = await rawBackend((conn) => conn.reset());
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: backend.url },
  });
  own(
    await rawRequest(proxy.port, requestText("POST", "/", { body: "x" })),
    502,
    "connection_terminated",
  );
  assert.equal(backend.requests.length, 1);
});

forBoth("a backend that does not speak HTTP is 502", async (runtime) => {
  await using backend = await rawBackend(async (conn) => {
    await conn.send("220 mail.test ESMTP\r\n\r\n");
    await conn.end();
  });
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: backend.url },
  });
  own(
    await rawRequest(proxy.port, requestText("POST", "/", { body: "x" })),
    502,
    "http_protocol_error",
  );
});

forBoth(
  "a backend's error responses are forwarded unchanged",
  async (runtime) => {
    await using backend = await rawBackend((conn) =>
      conn.reply({ status: 503, headers: { "X-Own": "1" }, body: "its own" })
    );
    await using proxy = await startProxy(runtime, {
      env: { BACKENDS: backend.url },
    });
    const response = await rawRequest(proxy.port, requestText("GET", "/"));
    assert.equal(response.status, 503);
    assert.equal(response.text, "its own");
    assert.equal(response.header("x-own"), "1");
    assert.equal(response.header("proxy-status"), undefined);
  },
);

forBoth("a body over MAX_BODY is 413, declared or not", async (runtime) => {
  await using backend = await rawBackend(async (conn, request) => {
    await request.body();
    await conn.reply();
  });
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: backend.url, MAX_BODY: "10KB", EJECT_AFTER: "1" },
  });
  const declared = await rawRequest(
    proxy.port,
    requestText("POST", "/", { body: "x".repeat(10_241) }),
  );
  own(declared, 413, "http_request_denied");
  assert.equal(backend.requests.length, 0);
  const chunk = `1000\r\n${"x".repeat(4096)}\r\n`;
  const chunked = await rawRequest(
    proxy.port,
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" +
      `${chunk}${chunk}${chunk}0\r\n\r\n`,
  );
  own(chunked, 413, "http_request_denied");
  const fits = await rawRequest(
    proxy.port,
    requestText("POST", "/", { body: "x".repeat(10_240) }),
  );
  assert.equal(fits.status, 200);
  assert.doesNotMatch(proxy.log, /eject/);
});

forBoth("past MAX_IN_FLIGHT is 503 at once", async (runtime) => {
  await using backend = await rawBackend(hang);
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: backend.url, MAX_IN_FLIGHT: "1" },
  });
  await using first = await RawConnection.connect(proxy.port);
  await first.write(requestText("GET", "/"));
  await backend.waitForRequests(1);
  const response = await rawRequest(proxy.port, requestText("GET", "/"));
  own(response, 503, "connection_limit_reached");
  assert.equal(response.header("retry-after"), "1");
  assert.equal(backend.requests.length, 1);
});

forBoth("TRACE is 405, and a loop is 508", async (runtime) => {
  await using backend = await rawBackend();
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: backend.url },
  });
  own(
    await rawRequest(proxy.port, requestText("TRACE", "/")),
    405,
    "http_request_denied",
  );
  await rawRequest(proxy.port, requestText("GET", "/"));
  const via = backend.requests[0]!.header("via")!;
  own(
    await rawRequest(
      proxy.port,
      requestText("GET", "/", { headers: { Via: via } }),
    ),
    508,
    "proxy_loop_detected",
  );
  assert.equal(backend.requests.length, 1);
});

forBoth("a truncated body never looks complete", async (runtime) => {
  await using backend = await rawBackend(async (conn, { path }) => {
    await conn.send(
      path === "/length"
        ? "HTTP/1.1 200 OK\r\nContent-Length: 900000\r\n\r\n"
        : "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nDBBA0\r\n",
    );
    await conn.send("a".repeat(300_000));
    await conn.close();
  });
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: backend.url, EJECT_AFTER: "off" },
  });
  for (const path of ["/length", "/chunked"]) {
    // Too long to be buffered.
    const response = await rawRequest(proxy.port, requestText("GET", path));
    assert.equal(response.status, 200);
    assert.equal(response.complete, false, path);
  }
});

/**
 * The authority and the scheme of HTTP/2, and of an absolute form over TLS:
 * they are the client's to write, and have to fit what is known otherwise.
 *
 * @module
 */

import assert from "node:assert/strict";
import http2 from "node:http2";
import { rawBackend } from "./harness/backend.ts";
import { rawRequest, requestText } from "./harness/client.ts";
import { startProxy } from "./harness/proxy.ts";
import { forBoth, skippedWithout } from "./harness/suite.ts";
import { within } from "./harness/wait.ts";
import { Authority, HERE } from "./tls/certificates.ts";

/** The status of one request over HTTP/2, without TLS. */
async function statusOf(
  port: number,
  headers: Record<string, string>,
): Promise<number> {
  const session = http2.connect(`http://127.0.0.1:${port}`);
  try {
    return await within(
      new Promise<number>((resolve, reject) => {
        session.once("error", reject);
        const stream = session.request({ ":path": "/x", ...headers });
        stream.once("error", reject);
        stream.once("response", (head) => resolve(Number(head[":status"])));
        stream.resume();
        stream.end();
      }),
      10_000,
      "an answer over HTTP/2",
    );
  } finally {
    await new Promise<void>((resolve) => session.close(() => resolve()));
  }
}

const AGREE: Record<string, string>[] = [
  { ":authority": "a.test" },
  { ":authority": "a.test", "host": "a.test" },
  { ":authority": "A.test:80", "host": "a.test" },
  { ":authority": "a.test", "host": "a.test:80" },
];

const DISAGREE: Record<string, string>[] = [
  { ":authority": "a.test", "host": "evil.test" },
  { ":authority": "a.test", "host": "a.test:81" },
  { ":authority": "evil@a.test", "host": "a.test" },
  { ":authority": "evil@a.test" },
];

// A proxy in front may have used the one that was ignored here. Bun has no
// HTTP/2.
forBoth("HTTP/2: :authority and Host have to agree (RFC 9113 §8.3.1)", {
  runtimes: ["deno"],
}, async (runtime) => {
  await using backend = await rawBackend();
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: backend.url, HEALTH_PATH: "off" },
  });
  for (const headers of AGREE) {
    const before = backend.requests.length;
    assert.equal(await statusOf(proxy.port, headers), 200);
    const { [":authority"]: authority, host = authority } = headers;
    assert.equal(backend.requests[before]!.header("host"), host);
  }
  const count = backend.requests.length;
  for (const headers of DISAGREE) {
    const status = await statusOf(proxy.port, headers);
    assert.equal(status, 400, JSON.stringify(headers));
  }
  assert.equal(backend.requests.length, count);
});

// X-Forwarded-Proto, redirects and the cookie's Secure were what a client wrote.
forBoth("HTTP/2: :scheme makes no connection secure", {
  runtimes: ["deno"],
}, async (runtime) => {
  await using backend = await rawBackend();
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: backend.url, HEALTH_PATH: "off" },
  });
  const headers = { ":authority": "a.test", ":scheme": "https" };
  assert.equal(await statusOf(proxy.port, headers), 200);
  assert.equal(backend.requests[0]!.header("x-forwarded-proto"), "http");
});

forBoth("TLS in front: an absolute form of http is still secure", {
  ...skippedWithout("openssl"),
}, async (runtime) => {
  await using ca = await Authority.make();
  const { cert, key } = await ca.sign(HERE);
  await using backend = await rawBackend();
  await using proxy = await startProxy(runtime, {
    env: {
      BACKENDS: backend.url,
      HEALTH_PATH: "off",
      TLS_CERT: await ca.write("front.pem", cert),
      TLS_KEY: await ca.write("front.key", key),
    },
    permissions: [`--allow-read=${ca.folder}`],
  });
  const targets = ["/x", "http://sluice.test/x", "https://sluice.test/x"];
  for (const target of targets) {
    const { status } = await rawRequest(
      proxy.port,
      requestText("GET", target, { headers: { "Connection": "close" } }),
      { tls: { ca: ca.cert, servername: "localhost" } },
    );
    assert.equal(status, 200, target);
    const request = backend.requests.at(-1)!;
    assert.equal(request.target, "/x");
    assert.equal(request.header("x-forwarded-proto"), "https");
  }
});

/**
 * What uses Deno's internals must be the same on the wire without them: if they
 * are not as expected, the public API is used.
 *
 * @module
 */

import assert from "node:assert/strict";
import { gzipSync } from "node:zlib";
import { rawBackend } from "./harness/backend.ts";
import { rawRequest, requestText } from "./harness/client.ts";
import { type ProxyProcess, startProxy } from "./harness/proxy.ts";
import { forBoth } from "./harness/suite.ts";
import { toLatin1 } from "./harness/wire.ts";

/**
 * A received request, without what is random for each proxy, and with its
 * fields sorted: the public API sorts them, and the order of fields with
 * different names has no meaning (RFC 9110 §5.3).
 */
function plain(raw: Uint8Array): string[] {
  const [head = "", body = ""] = toLatin1(raw)
    .replace(/sluice-[0-9a-f]{8}/g, "sluice-x").split(/\r\n\r\n(.*)/s);
  const [line = "", ...fields] = head.split("\r\n");
  return [line, ...fields.sort(), body];
}

const REQUESTS: readonly Uint8Array[] = [
  requestText("GET", "/a/../b%2e/'c?d='e&f=%zz#g".split("#")[0]!),
  requestText("GET", "/", {
    headers: [
      ["Accept-Encoding", "gzip, br"],
      ["X-Two", "1"],
      ["Cookie", "a=1"],
      ["X-Two", "2"],
      ["Cookie", "b=2"],
      ["X-Empty", ""],
      ["Connection", "keep-alive, X-Named"],
      ["X-Named", "gone"],
      ["X_Forwarded_For", "forged"],
    ],
  }),
  requestText("GET", "/", { headers: [["Range", "bytes=0-3"]] }),
  requestText("HEAD", "/head"),
  requestText("DELETE", "/none"),
  requestText("POST", "/small", { body: "x".repeat(1_000) }),
  requestText("PUT", "/large", { body: "y".repeat(200_000) }),
  requestText("POST", "/chunked", {
    headers: [["Transfer-Encoding", "chunked"]],
    body: "5\r\nhello\r\n0\r\n\r\n",
  }),
  requestText("PROPFIND", "/other"),
];

// These internals are Deno's; Bun has none of them.
forBoth("Deno's internals: requests and responses are the same without them", {
  runtimes: ["deno"],
}, async (runtime) => {
  await using backend = await rawBackend(async (conn, request) => {
    await request.body();
    const body = gzipSync("an answer that is packed");
    await conn.reply({
      headers: [
        ["Content-Type", "text/plain"],
        ["Content-Encoding", "gzip"],
        ["Keep-Alive", "timeout=5"],
        ["Set-Cookie", "a=1"],
        ["Set-Cookie", "b=2"],
        ["X-Up", "Yes"],
      ],
      body: request.method === "HEAD" ? "" : body,
    });
  });
  const seen = async (proxy: ProxyProcess) => {
    const all: unknown[] = [];
    for (const request of REQUESTS) {
      const before = backend.requests.length;
      const answer = await rawRequest(proxy.port, request);
      assert.equal(answer.status, 200);
      assert.equal(backend.requests.length, before + 1);
      all.push(
        plain(backend.requests.at(-1)!.raw),
        answer.headers.filter(([name]) => name !== "date"),
        toLatin1(answer.body),
      );
    }
    return all;
  };
  await using usual = await startProxy(runtime, {
    env: { BACKENDS: backend.url },
  });
  const wanted = await seen(usual);
  await using moved = await startProxy(runtime, {
    env: { BACKENDS: backend.url },
    entry: "e2e/inside/moved.ts",
  });
  assert.deepEqual(await seen(moved), wanted);
});

/**
 * HTTP/2, which Deno speaks on every port and Bun on none: what has no framing
 * there gets none here, in both directions.
 *
 * @module
 */

import assert from "node:assert/strict";
import { rawBackend, type Reply } from "./harness/backend.ts";
import { curl } from "./harness/curl.ts";
import { startProxy } from "./harness/proxy.ts";
import { forBoth, skippedWithout } from "./harness/suite.ts";

// Bun has an option for it, which also enables HTTP/3 and more.
const DENO = { runtimes: ["deno"] as const, ...skippedWithout("curl") };

const H2 = "--http2-prior-knowledge";

const METHODS = [
  ...["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "MKCOL", "PROPFIND"],
  ...["COPY", "MOVE", "LOCK", "UNLOCK", "REPORT", "SEARCH", "PURGE", "QUERY"],
];

// An HTTP/2 request does not say whether it has a body. Requests without one
// arrived as chunked, which nginx and Apache answer with 415 for MKCOL.
forBoth(
  "a request over HTTP/2 that has no body arrives without one",
  DENO,
  async (runtime) => {
    await using backend = await rawBackend(async (conn, request) =>
      conn.reply({ body: `${(await request.body()).length}` })
    );
    await using proxy = await startProxy(runtime, {
      env: { BACKENDS: backend.url },
    });
    const framed: string[] = [];
    for (const method of METHODS) {
      const { length } = backend.requests;
      assert.equal(await curl(H2, "-X", method, `${proxy.url}/a`), "0");
      const request = backend.requests[length]!;
      assert.equal(request.method, method);
      // A POST or PUT without a body may say so (RFC 9110 §8.6).
      const may = ["POST", "PUT"].includes(method)
        ? request.length === 0
        : false;
      if (request.framing !== "none" && !may) framed.push(request.head);
    }
    assert.deepEqual(framed, []);
  },
);

/** Sends a body with nghttp, which can leave its length away. */
async function nghttp(...args: string[]): Promise<string> {
  const { stdout } = await new Deno.Command("nghttp", {
    args: ["-t", "10", ...args],
    stdin: "null",
    stdout: "piped",
    stderr: "null",
  }).output();
  return new TextDecoder().decode(stdout);
}

// The same check must not lose a body: HAProxy sends a `host` field in addition
// to the authority, and a body of unknown length was then taken for none.
forBoth(
  "a request over HTTP/2 with a body arrives with it, with any host and length fields",
  { runtimes: ["deno"], ...skippedWithout("nghttp") },
  async (runtime) => {
    await using backend = await rawBackend(async (conn, request) =>
      conn.reply({ body: await request.text() })
    );
    await using proxy = await startProxy(runtime, {
      env: { BACKENDS: backend.url },
    });
    const file = await Deno.makeTempFile();
    try {
      for (const body of ["hello there", "x".repeat(100_000)]) {
        await Deno.writeTextFile(file, body);
        for (const method of METHODS) {
          for (const length of [[], ["--no-content-length"]]) {
            for (const host of [[], ["-H", `host: ${proxy.url.slice(7)}`]]) {
              const options = ["-H", `:method: ${method}`, ...length, ...host];
              const text = await nghttp(...options, "-d", file, proxy.url);
              assert.ok(text === body, `${text.length} for ${options}`);
            }
          }
        }
      }
    } finally {
      await Deno.remove(file);
    }
  },
);

const REPLIES: [status: number, reply: Reply][] = [200, 204, 205, 206, 304, 404]
  .flatMap((status) =>
    [
      {},
      { "Content-Length": "0" },
      { "Content-Length": "5" },
      { "Transfer-Encoding": "chunked" },
    ].map((headers): [number, Reply] => [
      status,
      { status, headers: headers as Record<string, string>, framing: "none" },
    ])
  );

// The response of a backend that declares a length on a 204, which RFC 9110
// §8.6 forbids, was reset: Deno sent the length on, and clients refuse it.
forBoth(
  "a response over HTTP/2 without a body ends, with any length field",
  DENO,
  async (runtime) => {
    await using backend = await rawBackend();
    for (const env of [{}, { REQUEST_ID: "on" }]) {
      await using proxy = await startProxy(runtime, {
        env: { BACKENDS: backend.url, ...env },
      });
      for (const [status, reply] of REPLIES) {
        backend.handler = (conn) => conn.reply(reply);
        for (const options of [["-I"], []]) {
          const head = options.length > 0;
          // These two have no body by themselves; all others would have.
          if (!head && status !== 204 && status !== 304) continue;
          const text = await curl(H2, "-i", ...options, proxy.url);
          const what = `${options} ${JSON.stringify(reply)}: ${text}`;
          assert.match(text, new RegExp(`^HTTP/2 ${status} `), what);
          const said = (reply.headers as Record<string, string>)[
            "Content-Length"
          ];
          const length = /^content-length: (\d+)/mi.exec(text)?.[1];
          assert.equal(length, status === 204 ? undefined : said, what);
        }
      }
    }
  },
);

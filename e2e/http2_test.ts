/**
 * HTTP/2 from clients, which Deno's server speaks on every port, with TLS and
 * without: cancelled streams, and bodies without a length.
 *
 * @module
 */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import http2 from "node:http2";
import { type Handler, hang, rawBackend } from "./harness/backend.ts";
import { type ProxyProcess, startProxy } from "./harness/proxy.ts";
import { forBoth } from "./harness/suite.ts";
import { delay, until } from "./harness/wait.ts";
import { Authority } from "./tls/certificates.ts";

/** Bun's server speaks HTTP/2 only with an option. */
const DENO_ONLY = { runtimes: ["deno"] } as const;

const { NGHTTP2_CANCEL, NGHTTP2_NO_ERROR } = http2.constants;

/** Connects; `close` is part of each test. */
function connect(url: string): http2.ClientHttp2Session {
  const session = http2.connect(url, { rejectUnauthorized: false });
  session.on("error", () => {});
  return session;
}

/** The proxy on its runtime, with TLS if the scheme says so. */
async function start(
  scheme: "http" | "https",
  backend: string,
): Promise<{ proxy: ProxyProcess } & AsyncDisposable> {
  const env = { BACKENDS: backend };
  if (scheme === "http") {
    const proxy = await startProxy("deno", { env });
    return { proxy, [Symbol.asyncDispose]: () => proxy[Symbol.asyncDispose]() };
  }
  const ca = await Authority.make();
  const { cert, key } = await ca.sign("IP:127.0.0.1");
  const proxy = await startProxy("deno", {
    env: {
      ...env,
      TLS_CERT: await ca.write("front.pem", cert),
      TLS_KEY: await ca.write("front.key", key),
    },
    permissions: ["--allow-read"],
  });
  return {
    proxy,
    async [Symbol.asyncDispose]() {
      await proxy[Symbol.asyncDispose]();
      await ca[Symbol.asyncDispose]();
    },
  };
}

/** One request and its response. */
function ask(
  session: http2.ClientHttp2Session,
  headers: http2.OutgoingHttpHeaders,
  body: string | undefined,
): Promise<{ status: number; text: string }> {
  return new Promise((resolve, reject) => {
    const stream = session.request(headers, { endStream: body === undefined });
    let status = 0;
    const pieces: Uint8Array[] = [];
    stream.on("response", (fields) => status = Number(fields[":status"]));
    stream.on("data", (piece: Uint8Array) => pieces.push(piece));
    stream.on("end", () => {
      resolve({ status, text: Buffer.concat(pieces).toString() });
    });
    stream.on("error", reject);
    if (body !== undefined) stream.end(body);
  });
}

/** Responds with the framing and the content of the request's body. */
const echo: Handler = async (conn, request) => {
  const length = request.header("content-length");
  const coding = request.header("transfer-encoding");
  const body = new TextDecoder().decode(await request.body());
  await conn.reply({ body: `${length ?? "-"} ${coding ?? "-"} ${body}` });
};

for (const scheme of ["http", "https"] as const) {
  for (const host of [false, true]) {
    const named = host ? "with" : "without";
    forBoth(
      `HTTP/2 streams that are given up leave no backend waiting, over ${scheme} ${named} Host`,
      DENO_ONLY,
      async () => {
        // Six hundred streams on one connection, never more than twenty open,
        // left 380 requests at the backend until their time limit.
        await using backend = await rawBackend(hang);
        await using started = await start(scheme, backend.url);
        const { proxy } = started;
        const url = `${scheme}://127.0.0.1:${proxy.port}`;
        const session = connect(url);
        const headers = {
          ":path": "/",
          ...(host ? { host: `127.0.0.1:${proxy.port}` } : {}),
        };
        // A server that is still being compiled is slower than the streams
        // live, and closes the connection over streams that it never processed.
        const first = session.request(headers);
        first.on("error", () => {});
        await until(() => backend.requests.length > 0);
        first.close(NGHTTP2_CANCEL);
        for (let i = 0; i < 600; i++) {
          const stream = session.request(headers);
          stream.on("error", () => {});
          setTimeout(() => stream.close(NGHTTP2_CANCEL), 70);
          if (i % 20 === 19) await delay(75);
        }
        await until(() => backend.requests.length >= 500, {
          timeoutMs: 10_000,
          what: () => `500 requests; ${backend.requests.length} came`,
        });
        // Without TLS and with a Host it looks like HTTP/1.1, and an early
        // reset is not reported: at most as many as a connection may have open.
        const most = scheme === "http" && host ? 200 : 20;
        const waiting = () =>
          backend.requests.filter(({ conn }) => conn.ending === undefined)
            .length;
        await until(() => waiting() <= most, {
          timeoutMs: 10_000,
          what: () => `${most} requests at most; ${waiting()} wait`,
        });
        await new Promise<void>((resolve) => session.close(() => resolve()));
        session.destroy();
      },
    );
  }
}

// A browser closed in the middle of an upload cancels its stream. Deno ends the
// body as if it were complete, and the backend took 100 bytes for a file.
for (const scheme of ["http", "https"] as const) {
  forBoth(
    `a cancelled HTTP/2 upload over ${scheme} never looks complete`,
    DENO_ONLY,
    async () => {
      const ends: string[] = [];
      await using backend = await rawBackend(async (conn, request) => {
        const { length } = ends;
        ends[length] = "waits";
        ends[length] = await request.body().then(() => "whole", () => "cut");
        if (ends[length] === "whole") await conn.reply({});
      });
      await using started = await start(scheme, backend.url);
      const { proxy } = started;
      const session = connect(`${scheme}://127.0.0.1:${proxy.port}`);
      for (let i = 0; i < 40; i++) {
        const stream = session.request(
          { ":method": "POST", ":path": "/" },
          { endStream: false },
        );
        stream.on("error", () => {});
        stream.write(new Uint8Array(i % 2 === 0 ? 100 : 100_000));
        await until(() => ends.length === i + 1);
        stream.close(i % 4 < 2 ? NGHTTP2_CANCEL : NGHTTP2_NO_ERROR);
      }
      await until(() => !ends.includes("waits"), {
        what: () => `an end of each upload: ${ends}`,
      });
      assert.deepEqual(new Set(ends), new Set(["cut"]), String(ends));
      const whole = await ask(
        session,
        { ":method": "POST", ":path": "/" },
        "hello",
      );
      assert.equal(whole.status, 200);
      session.destroy();
    },
  );
}

for (const scheme of ["http", "https"] as const) {
  forBoth(
    `HTTP/2 requests over ${scheme} arrive with their body, or without one`,
    DENO_ONLY,
    async () => {
      // DELETE, OPTIONS, MKCOL and PATCH without a body arrived as chunked,
      // which nginx and Apache answer with 415; and the body of an upload with
      // a Host and without a length, as HAProxy sends it, was lost.
      await using backend = await rawBackend(echo);
      await using started = await start(scheme, backend.url);
      const { proxy } = started;
      const session = connect(`${scheme}://127.0.0.1:${proxy.port}`);
      const authority = `127.0.0.1:${proxy.port}`;
      for (
        const method of ["POST", "PUT", "PATCH", "DELETE", "OPTIONS", "MKCOL"]
      ) {
        for (const host of [{}, { host: authority }]) {
          const headers = { ":method": method, ":path": "/", ...host };
          const what = `${method} ${JSON.stringify(host)}`;
          const none = await ask(session, headers, undefined);
          assert.equal(none.status, 200, what);
          assert.match(none.text, /^(?:-|0) - $/, what);
          const some = await ask(session, headers, "hello");
          assert.equal(some.text, "- chunked hello", what);
          const known = await ask(
            session,
            { ...headers, "content-length": 5 },
            "hello",
          );
          assert.equal(known.text, "5 - hello", what);
        }
      }
      await new Promise<void>((resolve) => session.close(() => resolve()));
      session.destroy();
    },
  );
}

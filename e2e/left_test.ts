/**
 * Requests whose client address the runtime's server does not know: the client
 * has left, or a Unix domain socket has no addresses.
 *
 * @module
 */

import assert from "node:assert/strict";
import { type RawBackend, rawBackend } from "./harness/backend.ts";
import { RawConnection, rawRequest, requestText } from "./harness/client.ts";
import {
  type ProxyProcess,
  type Runtime,
  startProxy,
} from "./harness/proxy.ts";
import { forBoth } from "./harness/suite.ts";

/** Clients that send all of a request and leave. */
const CLIENTS = 60;

// Bun forwarded such a request without X-Forwarded-For, which some backends
// take for a local request, and Deno with 0.0.0.0.
forBoth(
  "a client that resets behind its request reaches no backend without its address",
  async (runtime) => {
    await using backend = await rawBackend(async (conn, request) => {
      await request.body();
      await conn.reply({ body: "ok" });
    }, { allowProblems: true });
    await using proxy = await startProxy(runtime, {
      env: {
        BACKENDS: backend.url,
        HEALTH_PATH: "off",
        ACCESS_LOG: "json",
        // With 0.0.0.0 a client's own field would be trusted.
        TRUSTED_PROXIES: "0.0.0.0, 10.0.0.0/8",
      },
    });
    for (let i = 0; i < CLIENTS; i++) {
      const client = await RawConnection.connect(proxy.port);
      await client.write(requestText("POST", `/left/${i}`, {
        headers: { "X-Forwarded-For": "10.1.1.1" },
        body: "body",
      }));
      await client.reset();
    }
    const lines = await proxy.waitForLines(
      /"target":"[^"]*\/left\//,
      CLIENTS,
      20_000,
    );
    const gone = lines.map((line) => JSON.parse(line)).filter(({ client }) =>
      client === "-"
    );
    // How many are detected too late depends on the kernel; of 60 it was all or
    // nearly all.
    assert.ok(gone.length > 0, "no client left before its request was seen");
    for (const { status, backend, attempts } of gone) {
      assert.equal(status, 499);
      assert.equal(backend, null);
      assert.deepEqual(attempts, []);
    }
    assert.ok(backend.requests.length <= CLIENTS - gone.length);
    for (const request of backend.requests) {
      assert.deepEqual(request.headerAll("x-forwarded-for"), ["127.0.0.1"]);
    }
    // A client that stays is served.
    const answer = await rawRequest(proxy.port, requestText("GET", "/stays"));
    assert.equal(answer.status, 200);
  },
);

/** Runs a user's handler in front of a backend, on a port and on a socket. */
async function withHandler(
  runtime: Runtime,
  test: (
    parts: { backend: RawBackend; program: ProxyProcess; socket: string },
  ) => Promise<void>,
): Promise<void> {
  const dir = await Deno.makeTempDir({ prefix: "sluice-" });
  const socket = `${dir}/s.sock`;
  try {
    await using backend = await rawBackend();
    await using program = await startProxy(runtime, {
      entry: "e2e/left/library.ts",
      env: { BACKENDS: backend.url, SOCKET: socket },
      permissions: [`--allow-read=${dir}`, `--allow-write=${dir}`],
    });
    await test({ backend, program, socket });
  } finally {
    await Deno.remove(dir, { recursive: true });
  }
}

forBoth(
  "a user's handler on a Unix domain socket is served, without an address",
  (runtime) =>
    withHandler(runtime, async ({ backend, program, socket }) => {
      const ask = (target: string) =>
        rawRequest(0, requestText("GET", target), { unix: socket });
      const { status, text } = await ask("/a//b?c");
      assert.equal(status, 200, text);
      const [request] = backend.requests;
      assert.equal(request!.target, "/a//b?c");
      assert.equal(request!.header("host"), "sluice.test");
      assert.equal(request!.header("x-forwarded-host"), "sluice.test");
      assert.equal(request!.header("x-forwarded-proto"), "http");
      assert.equal(request!.header("x-forwarded-for"), undefined);
      // HTTP/1.0 without a Host, too.
      const old = await rawRequest(0, "GET /old HTTP/1.0\r\n\r\n", {
        unix: socket,
      });
      assert.equal(old.status, 200);
      assert.equal(backend.requests[1]!.header("host"), backend.authority);
      assert.equal(program.exited, undefined);
    }),
);

forBoth(
  "a user's handler may pass on a request that it made, with the address",
  (runtime) =>
    withHandler(runtime, async ({ backend, program }) => {
      const ask = (target: string) =>
        rawRequest(program.port, requestText("GET", target));
      assert.equal((await ask("/told")).status, 200);
      assert.equal(
        backend.requests.at(-1)!.header("x-forwarded-for"),
        "203.0.113.7",
      );
      // Deno finds the address by the connection, Bun by the request: Bun does
      // not know that of another request, and must not forward it without one.
      const made = await ask("/made");
      if (runtime === "deno") {
        assert.equal(made.status, 200);
        assert.equal(
          backend.requests.at(-1)!.header("x-forwarded-for"),
          "127.0.0.1",
        );
      } else {
        assert.equal(made.status, 499);
        assert.match(made.text, /clientAddress/);
      }
      const count = backend.requests.length;
      assert.equal((await ask("/unknown")).status, 499);
      assert.equal(backend.requests.length, count);
    }),
);

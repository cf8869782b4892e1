/**
 * Clients on the internet: upgrades that are declined, half closes, HTTP/1.0,
 * and connections without a request.
 *
 * @module
 */

import assert from "node:assert/strict";
import net from "node:net";
import { rawBackend } from "../harness/backend.ts";
import { RawConnection, requestText } from "../harness/client.ts";
import { startProxy } from "../harness/proxy.ts";
import { Relay } from "../harness/relay.ts";
import { delay, within } from "../harness/wait.ts";
import { PeerGone } from "../harness/wire.ts";
import { Authority, HERE } from "../tls/certificates.ts";
import type { Group, WireCase } from "./case.ts";

/** Offers of another protocol in an otherwise normal request. */
const UPGRADES: [what: string, fields: string][] = [
  [
    "HTTP/2 (h2c)",
    "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n",
  ],
  ["TLS (RFC 2817)", "Connection: Upgrade\r\nUpgrade: TLS/1.2\r\n"],
];

const BODIES: [what: string, method: string, rest: string, body: string][] = [
  ["no body", "GET", "\r\n", ""],
  ["a declared body", "POST", "Content-Length: 3\r\n\r\nabc", "abc"],
  ["a length of 0", "POST", "Content-Length: 0\r\n\r\n", ""],
  [
    "a chunked body",
    "POST",
    "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "abc",
  ],
];

/**
 * Every request of Java's HttpClient offers HTTP/2 in this way, and
 * `curl --http2`. A server that does not want to upgrade answers the request.
 */
function declines(
  [to, fields]: typeof UPGRADES[number],
  [what, method, rest, body]: typeof BODIES[number],
): WireCase {
  return {
    name:
      `edge: an upgrade to ${to} beside ${what} is declined, and the request answered (RFC 9110 §7.8)`,
    async run(round) {
      const { status } = await round.ask(
        `${method} /up HTTP/1.1\r\nHost: a.test\r\n${fields}${rest}`,
        async (conn, request) => {
          await request.body();
          await conn.reply({ body: "answered" });
        },
      );
      assert.equal(status, 200);
      assert.equal(await round.request.text(), body);
      assert.equal(round.request.header("upgrade"), undefined);
    },
  };
}

/** A response with `Connection: close`, and whether the connection closes. */
function closes(what: string, head: string, status: number): WireCase {
  return {
    name:
      `edge: ${what} is answered ${status} and its connection closed (RFC 9112 §9.6)`,
    on: "fresh",
    async run({ connection }) {
      await connection.write(head);
      const answer = await connection.readResponse({ method: "POST" });
      assert.equal(answer.status, status);
      assert.match(answer.headerAll("connection").join(), /close/);
      await connection.waitForClose(3_000);
    },
  };
}

/** A port that drops SYNs, like a host that is down. */
async function blackHole(): Promise<{ url: string } & AsyncDisposable> {
  const listener = Deno.listen({
    hostname: "127.0.0.1",
    port: 0,
    tcpBacklog: 1,
  });
  const { port } = listener.addr as Deno.NetAddr;
  // They are not accepted, so that they fill its queue.
  const clients = [1, 2].map(() => net.connect(port, "127.0.0.1"));
  await Promise.all(clients.map((client) =>
    new Promise((resolve, reject) => {
      client.once("connect", resolve);
      client.once("error", reject);
    })
  ));
  return {
    url: `http://127.0.0.1:${port}`,
    [Symbol.asyncDispose]() {
      for (const client of clients) client.destroy();
      listener.close();
      return Promise.resolve();
    },
  };
}

/** The cases that are quick. */
export const edge: Group = {
  name: "edge",
  env: () => ({ MAX_BODY: "1KB" }),
  cases: [
    ...UPGRADES.flatMap((upgrade) =>
      BODIES.map((body) => declines(upgrade, body))
    ),
    {
      name:
        "edge: an HTTP/1.0 client that is promised keep-alive can use it (RFC 9112 §9.3)",
      on: "proven",
      async run(round) {
        const data =
          "GET / HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\n\r\n";
        const large = "x".repeat(100_000);
        const answer = await round.ask(
          data,
          (conn) =>
            conn.reply({ headers: { "Content-Type": "a/b" }, body: large }),
        );
        assert.equal(answer.text, large);
        if (!/keep-alive/i.test(answer.header("connection") ?? "")) return;
        // A close in progress must not be overtaken.
        await delay(50);
        const { connection } = round;
        assert.equal(connection.wire.ending, undefined, "kept, as promised");
        const next = await round.ask(
          data,
          (conn) => conn.reply({ body: "ok" }),
        );
        assert.equal(next.text, "ok");
      },
    },
    ...(["GET", "POST"] as const).map((method): WireCase => ({
      name:
        `edge: a client that half-closes after its ${method} gets its answer (RFC 9112 §9.6)`,
      on: "fresh",
      async run(round) {
        const { connection } = round;
        const body = method === "POST" ? { body: "abc" } : {};
        await connection.write(requestText(method, "/", body));
        await connection.end();
        const { status } = await connection.readResponse({ method });
        assert.equal(status, 200);
      },
    })),
    closes(
      "a request that is not understood",
      "GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
      400,
    ),
    closes(
      "an upload over the limit that stops being sent",
      "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5000\r\n\r\nabc",
      413,
    ),
    {
      name:
        "edge: a backend that drops connection attempts costs no request more than CONNECT_TIMEOUT",
      on: "fresh",
      async run({ backend, runtime }) {
        await using hole = await blackHole();
        await using proxy = await startProxy(runtime, {
          env: {
            BACKENDS: `${backend.url},${hole.url}`,
            HEALTH_PATH: "off",
            EJECT_AFTER: "off",
            CONNECT_TIMEOUT: "300ms",
            TIMEOUT: "3s",
          },
        });
        backend.handler = (conn) => conn.reply({ body: "ok" });
        const statuses = await Promise.all([1, 2, 3, 4].map(async () => {
          const answer = await fetch(proxy.url);
          await answer.text();
          return answer.status;
        }));
        assert.deepEqual(statuses, [200, 200, 200, 200]);
      },
    },
    {
      name:
        "edge: a body that ends with its TLS connection is visibly cut if there was no close_notify (RFC 9112 §9.8)",
      on: "fresh",
      async run({ runtime }) {
        await using ca = await Authority.make();
        await using backend = await rawBackend(async (conn) => {
          await conn.send("HTTP/1.1 200 OK\r\nContent-Type: a/b\r\n\r\nand so");
          await conn.closed;
        }, { tls: await ca.sign(HERE) });
        await using relay = await Relay.to(backend.port);
        await using proxy = await startProxy(runtime, {
          env: {
            BACKENDS: `https://127.0.0.1:${relay.port}`,
            BACKEND_CA: `${ca.folder}/ca.pem`,
            HEALTH_PATH: "off",
          },
          permissions: [`--allow-read=${ca.folder}`],
        });
        await using client = await RawConnection.connect(proxy.port);
        await client.write(requestText("GET", "/"));
        await client.readHead();
        await client.readChunkOrBytes();
        relay.cut("fin");
        await assert.rejects(async () => {
          while (await client.readChunkOrBytes() !== null);
        }, PeerGone);
      },
    },
  ],
};

/** Longer than Bun allows, which is 12 s. */
const PATIENCE_MS = 20_000;

function silent(
  what: string,
  act: (connection: RawConnection) => Promise<unknown>,
): WireCase {
  return {
    name: `edge: a connection that sends ${what} is closed within ${
      PATIENCE_MS / 1_000
    } s (CWE-400, Slowloris)`,
    on: "fresh",
    async run({ connection }) {
      const acting = act(connection);
      try {
        assert.notEqual(
          (await connection.waitForClose(PATIENCE_MS)).how,
          "local",
        );
      } finally {
        await acting;
      }
    },
  };
}

/** Connections that hold a descriptor and send nothing, all at once. */
export const edgeQuiet: Group = {
  name: "edge quiet",
  together: true,
  cases: [
    silent("nothing", () => Promise.resolve()),
    silent(
      "half a head",
      (connection) => connection.write("GET / HTTP/1.1\r\nHost: a.test\r\nX-"),
    ),
    silent("a line of a head each second", async (connection) => {
      await connection.write("GET / HTTP/1.1\r\nHost: a.test\r\n");
      for (let i = 1; i < PATIENCE_MS / 1_000; i++) {
        await within(connection.closed, 1_000, "its end").catch(() => {});
        if (connection.wire.ending !== undefined) return;
        await connection.write(`X-${i}: a\r\n`).catch(() => {});
      }
    }),
  ],
};

/**
 * The same `createProxy()` on a platform with a `fetch` and nothing else:
 * Cloudflare's `workerd`, the real program, with the bundle.
 *
 * @module
 */

import assert from "node:assert/strict";
import { rawBackend } from "./harness/backend.ts";
import { RawConnection, rawRequest, requestText } from "./harness/client.ts";
import { forOnce } from "./harness/suite.ts";
import { delay, until } from "./harness/wait.ts";
import { startWorkerd, type Workerd } from "./harness/workerd.ts";

/** The bundler and workerd itself come from npm the first time. */
const SLOW = { timeoutMs: 120_000 };

/** A worker whose proxy has these options. */
function withOptions(options: object): Promise<Workerd> {
  return startWorkerd({ OPTIONS: JSON.stringify(options) });
}

const get = (
  { port }: Workerd,
  path = "/",
  headers: Record<string, string> = {},
) => rawRequest(port, requestText("GET", path, { headers }));

forOnce(
  "workerd: the example balances, and rewrites the header fields",
  SLOW,
  async () => {
    await using a = await rawBackend((conn) => conn.reply({ body: "a" }));
    await using b = await rawBackend((conn) => conn.reply({ body: "b" }));
    await using workerd = await startWorkerd({
      BACKENDS: `${a.url},${b.url}`,
    });
    const texts: string[] = [];
    for (let i = 0; i < 6; i++) {
      const { text } = await get(workerd, "/path?q=%27", {
        "cf-connecting-ip": "192.0.2.7",
        connection: "x-hop",
        "x-hop": "1",
        "x-forwarded-for": "203.0.113.1",
        "proxy-authorization": "secret",
      });
      texts.push(text);
    }
    assert.deepEqual(texts.toSorted(), ["a", "a", "a", "b", "b", "b"]);
    const [request] = a.requests;
    assert.equal(request!.target, "/path?q=%27");
    assert.deepEqual(request!.headerAll("x-forwarded-for"), ["192.0.2.7"]);
    assert.deepEqual(request!.headerAll("x-hop"), []);
    assert.deepEqual(request!.headerAll("proxy-authorization"), []);
    assert.match(request!.headerAll("via")[0] ?? "", /^1\.1 sluice-/);
  },
);

forOnce(
  "workerd: no address is believed that the caller did not pass",
  SLOW,
  async () => {
    await using backend = await rawBackend();
    await using workerd = await withOptions({ backends: [backend.url] });
    const { status } = await get(workerd, "/", {
      "cf-connecting-ip": "192.0.2.7",
    });
    assert.equal(status, 200, workerd.log);
    assert.deepEqual(backend.requests[0]!.headerAll("x-forwarded-for"), []);
  },
);

forOnce(
  "workerd: a GET whose backend fails is answered by another, a POST is not sent twice",
  SLOW,
  async () => {
    await using bad = await rawBackend((conn) => conn.reset());
    await using good = await rawBackend();
    await using workerd = await withOptions({
      backends: [bad.url, good.url],
      eject: false,
    });
    for (let i = 0; i < 4; i++) {
      assert.equal((await get(workerd)).status, 200, workerd.log);
    }
    assert.ok(bad.requests.length > 0);
    const before = bad.requests.length + good.requests.length;
    const statuses: number[] = [];
    for (let i = 0; i < 4; i++) {
      const { status } = await rawRequest(
        workerd.port,
        requestText("POST", "/", { body: "x".repeat(1_000) }),
      );
      statuses.push(status);
    }
    assert.deepEqual(statuses.toSorted(), [200, 200, 502, 502]);
    assert.equal(bad.requests.length + good.requests.length, before + 4);
  },
);

forOnce(
  "workerd: a dead backend goes down by probes that requests cause, and comes back",
  SLOW,
  async () => {
    await using sick = await rawBackend((conn) => conn.reply({ body: "sick" }));
    await using well = await rawBackend((conn) => conn.reply({ body: "well" }));
    await using workerd = await withOptions({
      backends: [sick.url, well.url],
      health: { path: "/health", intervalMs: 100, timeoutMs: 90 },
    });
    await until(async () => (await get(workerd)).text === "sick");
    // Nothing is asked while nothing is requested.
    const asked = sick.probes.length;
    sick.health = 500;
    await until(async () => {
      await get(workerd);
      return /is down \(probe of \/health: status 500\)/.test(workerd.log);
    }, { timeoutMs: 20_000 });
    assert.ok(sick.probes.length > asked);
    for (let i = 0; i < 4; i++) assert.equal((await get(workerd)).text, "well");
    sick.health = 200;
    await until(async () => (await get(workerd)).text === "sick", {
      timeoutMs: 20_000,
    });
    assert.match(workerd.log, /is up \(status 200\)/);
  },
);

forOnce(
  "workerd: an ejected backend comes back with a request after its time",
  SLOW,
  async () => {
    await using bad = await rawBackend((conn) =>
      conn.reply({ status: failing ? 503 : 200 })
    );
    await using good = await rawBackend();
    let failing = true;
    await using workerd = await withOptions({
      backends: [bad.url, good.url],
      health: false,
      eject: { after: 3, timeMs: 1_000 },
    });
    await until(async () => {
      await get(workerd);
      return /is ejected for/.test(workerd.log);
    });
    failing = false;
    const had = bad.requests.length;
    await until(async () => {
      await get(workerd);
      return bad.requests.length > had;
    }, { timeoutMs: 20_000 });
    assert.match(workerd.log, /is back after its ejection/);
  },
);

forOnce(
  "workerd: bodies stream both ways, with their length or in chunks",
  SLOW,
  async () => {
    const gate = Promise.withResolvers<void>();
    const large = "0123456789abcdef".repeat(128 * 1024);
    await using backend = await rawBackend(async (conn, request) => {
      if (request.path === "/events") {
        await conn.send(
          "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n" +
            "Transfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n",
        );
        await gate.promise;
        await conn.send("4\r\nlast\r\n0\r\n\r\n");
        return;
      }
      const body = await request.body();
      await conn.reply({ body });
    });
    await using workerd = await withOptions({ backends: [backend.url] });
    await using client = await RawConnection.connect(workerd.port);
    await client.write(requestText("GET", "/events"));
    assert.equal((await client.readHead()).status, 200);
    const first = await client.readChunkOrBytes();
    assert.equal(new TextDecoder().decode(first!.data), "first");
    gate.resolve();
    const answer = await rawRequest(
      workerd.port,
      requestText("POST", "/echo", { body: large }),
    );
    assert.equal(answer.status, 200, workerd.log);
    assert.equal(answer.text, large);
    assert.equal(backend.requests.at(-1)!.length, large.length);
    assert.deepEqual(answer.headerAll("content-length"), [`${large.length}`]);
  },
);

forOnce(
  "workerd: HEAD, 304, cookies and compressed bodies arrive as they should",
  SLOW,
  async () => {
    const packed = await new Response(
      new Blob(["hello"]).stream().pipeThrough(new CompressionStream("gzip")),
    ).bytes();
    await using backend = await rawBackend(async (conn, { path, method }) => {
      if (method === "HEAD") {
        await conn.reply({ headers: { "Content-Length": "12345" } });
      } else if (path === "/304") {
        await conn.reply({ status: 304, headers: { ETag: '"a"' } });
      } else if (path === "/gzip") {
        await conn.reply({
          headers: { "Content-Encoding": "gzip" },
          body: packed,
        });
      } else {
        await conn.reply({
          headers: [["Set-Cookie", "a=1"], ["Set-Cookie", "b=2"]],
          body: "ok",
        });
      }
    });
    await using workerd = await withOptions({ backends: [backend.url] });
    const head = await rawRequest(workerd.port, requestText("HEAD", "/"));
    assert.equal(head.status, 200);
    assert.deepEqual(head.headerAll("content-length"), ["12345"]);
    const unchanged = await get(workerd, "/304");
    assert.equal(unchanged.status, 304, workerd.log);
    assert.deepEqual(unchanged.headerAll("etag"), ['"a"']);
    // It was not asked for; it is passed on decoded.
    const decoded = await get(workerd, "/gzip");
    assert.deepEqual(decoded.headerAll("content-encoding"), []);
    assert.equal(decoded.text, "hello");
    const cookies = await get(workerd, "/");
    assert.deepEqual(cookies.headerAll("set-cookie"), ["a=1", "b=2"]);
  },
);

forOnce(
  "workerd: limits, time limits and a client that leaves",
  SLOW,
  async () => {
    await using backend = await rawBackend(async (conn, { path }) => {
      if (path === "/hang") {
        await conn.closed;
        return;
      }
      await conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
      await conn.send("3\r\nabc\r\n");
      // workerd notices that its client has left when it has something to send.
      while (path === "/endless" && conn.ending === undefined) {
        await delay(20);
        await conn.send("3\r\nabc\r\n").catch(() => {});
      }
      if (path !== "/endless") await conn.send("0\r\n\r\n");
    });
    await using workerd = await withOptions({
      backends: [{ url: backend.url, maxConns: 1 }],
      health: false,
      timeoutMs: 500,
      maxBodyBytes: 1024,
    });
    assert.equal((await get(workerd, "/hang")).status, 504, workerd.log);
    const large = await rawRequest(
      workerd.port,
      requestText("POST", "/", { body: "x".repeat(2_000) }),
    );
    assert.equal(large.status, 413);
    {
      await using client = await RawConnection.connect(workerd.port);
      await client.write(requestText("GET", "/endless"));
      await client.readHead();
      await client.readChunkOrBytes();
      // The one place is taken.
      assert.equal((await get(workerd)).status, 503);
    }
    // Its client has left, and is noticed.
    await until(async () => (await get(workerd)).status === 200);
  },
);

forOnce(
  "workerd: what the platform cannot do is refused, and says why",
  SLOW,
  async () => {
    await using backend = await rawBackend();
    {
      await using workerd = await withOptions({ backends: [backend.url] });
      const { status } = await get(workerd, "/", {
        connection: "Upgrade",
        upgrade: "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
      });
      assert.equal(status, 501, workerd.log);
    }
    for (
      const [options, why] of [
        [{ backends: ["unix:/tmp/app.sock"] }, /Unix domain socket/],
        [
          { backends: [{ url: "http://app:3000", resolve: true }] },
          /looks up no names/,
        ],
        [
          { backends: [backend.url], transport: "socket" },
          /transport is "socket/,
        ],
      ] as const
    ) {
      await using workerd = await withOptions(options);
      assert.match((await get(workerd)).text, why);
    }
  },
);

/**
 * What the program keeps in memory while one side does not read: next to
 * nothing, since the other side is then not read either.
 *
 * @module
 */

import assert from "node:assert/strict";
import { rawBackend } from "./harness/backend.ts";
import { RawConnection, requestText } from "./harness/client.ts";
import { type ProxyProcess, startProxy } from "./harness/proxy.ts";
import { forBoth } from "./harness/suite.ts";
import { delay, until } from "./harness/wait.ts";

const GB = 1024 ** 3;
const MB = 1024 ** 2;

/** More complete responses than needed until bodies are passed natively. */
const PROVEN = 70;

/** Sends small requests, one after the other. */
async function warmUp(proxy: ProxyProcess, count: number): Promise<void> {
  await using connection = await RawConnection.connect(proxy.port);
  for (let i = 0; i < count; i++) {
    const { status } = await connection.request(requestText("GET", "/small"));
    assert.equal(status, 200);
  }
}

/** Waits until `bytes` has not moved for a while; gives it. */
async function stalled(bytes: () => number): Promise<number> {
  let last = -1;
  return await until(async () => {
    last = bytes();
    await delay(1_000);
    return last > 0 && bytes() === last ? last : 0;
  }, { timeoutMs: 60_000, what: "the sender to stand still" });
}

const options = {
  timeoutMs: 120_000,
  // Resident memory is read from /proc.
  skip: Deno.build.os === "linux" ? undefined : "no /proc here",
};

for (
  const [mode, before] of [["read here", 5], ["passed on", PROVEN]] as const
) {
  forBoth(
    `1 GB to a client that stopped reading takes under 32 MB, ${mode}`,
    options,
    async (runtime) => {
      const piece = new Uint8Array(MB);
      let sent = 0;
      await using backend = await rawBackend(async (conn, { path }) => {
        if (path === "/small") return await conn.reply({ body: "small" });
        await conn.send(`HTTP/1.1 200 OK\r\nContent-Length: ${GB}\r\n\r\n`);
        while (sent < GB && conn.ending === undefined) {
          await conn.send(piece);
          sent += piece.length;
        }
      });
      await using proxy = await startProxy(runtime, {
        env: { BACKENDS: backend.url },
      });
      await warmUp(proxy, before);
      const start = proxy.rss();
      await using client = await RawConnection.connect(proxy.port, {
        readAhead: 1,
      });
      await client.write(requestText("GET", "/large"));
      const { status } = await client.readHead();
      assert.equal(status, 200);
      const at = await stalled(() => sent);
      assert.ok(at < GB / 4, `${at / MB} MB were sent`);
      const grown = proxy.rss() - start;
      console.log(
        `${runtime}, ${mode}: ${(grown / MB).toFixed(1)} MB more, ` +
          `${(at / MB).toFixed(0)} MB sent`,
      );
      assert.ok(grown < 32 * MB, `${(grown / MB).toFixed(1)} MB`);
      // The client was the bottleneck: when it reads, the transfer continues.
      await client.readExactly(64 * MB);
      assert.ok(sent > at);
    },
  );
}

forBoth(
  "1 GB to a backend that stopped reading takes under 32 MB",
  options,
  async (runtime) => {
    await using backend = await rawBackend(async (conn, { path }) => {
      if (path === "/small") return await conn.reply({ body: "small" });
      // The connection's read-ahead is full, so it feels as a full socket.
      await conn.closed;
    }, { readAhead: 1 });
    await using proxy = await startProxy(runtime, {
      env: { BACKENDS: backend.url, TIMEOUT: "2m" },
    });
    await warmUp(proxy, 5);
    const start = proxy.rss();
    const client = await RawConnection.connect(proxy.port);
    const piece = new Uint8Array(MB);
    let sent = 0;
    const upload = (async () => {
      await client.write(
        `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${GB}\r\n\r\n`,
      );
      while (sent < GB) {
        await client.write(piece);
        sent += piece.length;
      }
    })().catch(() => {});
    const at = await stalled(() => sent);
    assert.ok(at < GB / 4, `${at / MB} MB were sent`);
    const grown = proxy.rss() - start;
    console.log(`${runtime}, upload: ${(grown / MB).toFixed(1)} MB more`);
    assert.ok(grown < 32 * MB, `${(grown / MB).toFixed(1)} MB`);
    await client.reset();
    await upload;
    await backend.kill();
  },
);

forBoth(
  "an upload of one byte at a time takes under 32 MB",
  options,
  async (runtime) => {
    await using backend = await rawBackend(async (conn, request) => {
      await request.body();
      await conn.reply({ body: "taken" });
    });
    await using proxy = await startProxy(runtime, {
      env: { BACKENDS: backend.url },
    });
    await warmUp(proxy, 5);
    const start = proxy.rss();
    await using client = await RawConnection.connect(proxy.port);
    // Deno delivers each byte in a buffer of 64 KB. That many of them, kept for
    // a retry, would be 190 MB.
    const count = 3_000;
    await client.write(
      `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${count}00\r\n\r\n`,
    );
    await client.writeSlowly("x".repeat(count), 1, 1);
    const grown = proxy.rss() - start;
    console.log(`${runtime}, dribbled: ${(grown / MB).toFixed(1)} MB more`);
    assert.ok(grown < 32 * MB, `${(grown / MB).toFixed(1)} MB`);
    // The request still works: the rest at once, and the response.
    await client.write("x".repeat(99 * count));
    const { status } = await client.readResponse({ method: "POST" });
    assert.equal(status, 200);
  },
);

/**
 * What a WebSocket through the proxy may take: messages, memory, descriptors.
 */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { rawBackend } from "../harness/backend.ts";
import { rawRequest, requestText } from "../harness/client.ts";
import { startProxy } from "../harness/proxy.ts";
import { forBoth } from "../harness/suite.ts";
import { delay, until } from "../harness/wait.ts";
import { granting, opened } from "./granting.ts";
import { ask, ASKING, grant } from "./raw.ts";

forBoth(
  "WebSocket: what a backend sends is not read while its client reads nothing",
  { timeoutMs: 60_000 },
  async (runtime) => {
    await opened(runtime, async (client, backend) => {
      client.wire.pause();
      const piece = Buffer.alloc(256 * 1024, "x");
      let sent = 0;
      let stuck = false;
      const sending = (async () => {
        for (; sent < 400; sent++) await backend.send(0x82, piece);
      })();
      let before = -1;
      await until(async () => {
        if (sent !== before) {
          before = sent;
          await delay(300);
          return false;
        }
        return stuck = true;
      }, { timeoutMs: 20_000, everyMs: 50 });
      // Socket buffers on four sides, and a megabyte or two of the proxy's.
      assert.ok(stuck && sent < 120, `${sent} of 400 pieces went`);
      for (let i = 0; i < 400; i++) {
        assert.equal(await client.shown(), `binary ${piece.length}`);
      }
      await sending;
    });
  },
);

forBoth(
  "WebSocket: what a client sends faster than its backend reads is bounded",
  { timeoutMs: 60_000 },
  async (runtime) => {
    const { backend, next } = await granting([], { readAhead: 16 * 1024 });
    await using _backend = backend;
    await using proxy = await startProxy(runtime, {
      env: { BACKENDS: backend.url },
    });
    await using asked = await ask(proxy.port);
    const there = await next();
    const before = proxy.rss();
    const piece = Buffer.alloc(1 << 20, "x");
    const count = 200;
    let sent = 0;
    const sending = (async () => {
      for (; sent < count; sent++) await asked.frames.send(0x82, piece);
    })().catch(() => {});
    if (runtime === "deno") {
      // Its server cannot stop reading: past a bound the client is told. It is
      // sending still, which Deno answers with a reset, and that may overtake.
      const told = await asked.frames.shown();
      assert.ok(
        ["close 1013 the backend reads too slowly", "reset"].includes(told),
        told,
      );
      await proxy.waitForLine(/reads a WebSocket too slowly/);
      await asked.conn.close();
      await sending;
      // What was taken until then arrives, and then a close frame.
      const rest = await there.rest();
      assert.ok(rest.length > 50 && rest.length < 120, String(rest.length));
      assert.deepEqual(rest.slice(-2), ["close 1001", "fin"]);
      assert.ok(proxy.rss() - before < 400e6, String(proxy.rss() - before));
    } else {
      // Bun stops reading, so the client has to wait, and nothing is lost.
      let last = -1;
      await until(async () => {
        if (sent === last) return true;
        last = sent;
        await delay(300);
        return false;
      }, { timeoutMs: 20_000 });
      assert.ok(sent < 50, `${sent} of ${count} went`);
      assert.ok(proxy.rss() - before < 100e6, String(proxy.rss() - before));
      for (let i = 0; i < count; i++) {
        assert.equal(await there.shown(), `binary ${piece.length}`);
      }
      await sending;
    }
  },
);

forBoth(
  "WebSocket: round robin, max_conns and in flight count them",
  async (runtime) => {
    const a = await granting();
    const b = await granting();
    await using _a = a.backend;
    await using _b = b.backend;
    await using proxy = await startProxy(runtime, {
      env: {
        BACKENDS: `${a.backend.url} max_conns=2, ${b.backend.url} max_conns=2`,
      },
    });
    const open = [];
    for (let i = 0; i < 4; i++) open.push(await ask(proxy.port));
    assert.deepEqual(open.map(({ status }) => status), [101, 101, 101, 101]);
    assert.equal(a.backend.requests.length, 2);
    assert.equal(b.backend.requests.length, 2);
    const full = await rawRequest(
      proxy.port,
      requestText("GET", "/", { headers: [...ASKING] }),
    );
    assert.equal(full.status, 503);
    // One that ends makes room, by a close frame or without one.
    await open[0]!.frames.close(1000);
    await open[1]!.conn.close();
    await until(() => a.backend.open + b.backend.open <= 2, {
      what: "two connections to end",
    });
    for (let i = 0; i < 2; i++) {
      const again = await ask(proxy.port);
      open.push(again);
      assert.equal(again.status, 101);
    }
    for (const { conn } of open) await conn.close();
  },
);

forBoth("WebSocket: 1,000 that are idle give their descriptors back", {
  timeoutMs: 120_000,
}, async (runtime) => {
  const count = Number(Deno.env.get("SLUICE_IDLE_SOCKETS") ?? 300);
  const seconds = Number(Deno.env.get("SLUICE_IDLE_SECONDS") ?? 2);
  await using backend = await rawBackend(async (conn, request) => {
    const frames = await grant(conn, request);
    for (;;) {
      const frame = await frames.next();
      if (typeof frame === "string") return void await conn.close();
      await frames.send(frame.first, frame.payload);
    }
  });
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: backend.url },
  });
  const one = await ask(proxy.port);
  await one.conn.close();
  await until(() => backend.open === 0);
  const [fds, rss] = [proxy.fds(), proxy.rss()];
  const open = [];
  while (open.length < count) open.push(await ask(proxy.port));
  await delay(seconds * 1_000);
  // All of them are still there.
  for (const { frames } of open) await frames.text("there?");
  for (const { frames } of open) {
    let shown = await frames.shown();
    // Deno asks after half of the time that a client may be silent.
    while (shown === "ping ") shown = await frames.shown();
    assert.equal(shown, "text there?");
  }
  // Two each; a probe or two may have been open before.
  assert.ok(proxy.fds() >= fds + 2 * count - 10, `${fds}, ${proxy.fds()}`);
  const each = (proxy.rss() - rss) / count / 1024;
  console.log(`${count} sockets, ${seconds} s: ${each.toFixed(1)} KB each`);
  assert.ok(each < 200, `${each} KB a socket`);
  for (const { frames } of open) await frames.close(1000);
  for (const { frames, conn } of open) {
    assert.equal(await frames.shown(), "close 1000");
    await conn.close();
  }
  await until(() => proxy.fds() <= fds + 10, {
    timeoutMs: 10_000,
    what: () => `descriptors: ${fds} before, ${proxy.fds()} now`,
  });
});

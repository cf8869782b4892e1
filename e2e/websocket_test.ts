/**
 * WebSocket through the proxy, as frames on both ends, after the handshake. The
 * handshake is in `websocket/handshake_test.ts`, limits are in
 * `websocket/bounds_test.ts`.
 */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { rawBackend } from "./harness/backend.ts";
import { rawRequest, requestText } from "./harness/client.ts";
import { type Runtime, startProxy } from "./harness/proxy.ts";
import { forBoth } from "./harness/suite.ts";
import { until, within } from "./harness/wait.ts";
import { granting, opened } from "./websocket/granting.ts";
import { ask, grant } from "./websocket/raw.ts";

forBoth("WebSocket: text and binary of every size, both ways", {
  timeoutMs: 60_000,
}, async (runtime) => {
  await opened(runtime, async (client, backend) => {
    for (const size of [0, 1, 125, 126, 65_535, 65_536, 1 << 20, 16 << 20]) {
      const data = Buffer.alloc(size, "ab€d");
      const text = "ä".repeat(size >> 1);
      for (
        const [from, to] of [[client, backend], [backend, client]] as const
      ) {
        await Promise.all([
          from.send(0x82, data),
          to.next().then((frame) => {
            assert.ok(typeof frame === "object" && frame.first === 0x82);
            assert.ok(data.equals(frame.payload), `binary ${size}`);
          }),
        ]);
        await Promise.all([
          from.send(0x81, text),
          to.next().then((frame) => {
            assert.ok(typeof frame === "object" && frame.first === 0x81);
            assert.ok(Buffer.from(text).equals(frame.payload), `text ${size}`);
          }),
        ]);
      }
    }
    // A byte order mark, and what is no character of the basic plane.
    for (const text of ["\ufeffx", "😀", "\0"]) {
      await client.text(text);
      assert.equal(await backend.shown(), `text ${text}`.replace("\ufeff", ""));
      await backend.text(text);
      assert.equal(await client.shown(), `text ${text}`.replace("\ufeff", ""));
    }
  });
});

forBoth(
  "WebSocket: the first message may come with the 101",
  async (runtime) => {
    await using backend = await rawBackend(async (conn, request) => {
      const frames = await grant(conn, request);
      await frames.text("a");
      await frames.text("b");
      await frames.close(4001, "done");
    });
    await using proxy = await startProxy(runtime, {
      env: { BACKENDS: backend.url },
    });
    await using asked = await ask(proxy.port);
    for (const shown of ["text a", "text b", "close 4001 done"]) {
      assert.equal(await asked.frames.shown(), shown);
    }
  },
);

/**
 * Close codes: what one side sends, and what the other receives. Where the
 * runtimes differ, the row says so.
 */
const CODES: [
  said: number | undefined,
  reason: string,
  /** Where a client that says it is told that it must not: the other side sees no close frame. */
  refusedBy?: Runtime,
][] = [
  [undefined, ""],
  [1000, ""],
  [1000, "grüße"],
  [1001, "away"],
  [1002, "p"],
  [1003, "u"],
  [1007, "i"],
  [1008, "v"],
  [1009, "b"],
  [1010, "x"],
  [1011, "e"],
  [1012, "r"],
  [1013, "t"],
  [1014, "g", "deno"],
  [3000, "l"],
  [4000, "a"],
  [4999, "z".repeat(123)],
];

forBoth(
  "WebSocket: close codes and reasons, both ways",
  { timeoutMs: 60_000 },
  async (runtime) => {
    const { backend, next } = await granting();
    await using _backend = backend;
    await using proxy = await startProxy(runtime, {
      env: { BACKENDS: backend.url },
    });
    for (const [code, reason, refusedBy] of CODES) {
      const shown = code === undefined
        ? "close"
        : `close ${code}${reason && ` ${reason}`}`;
      {
        await using asked = await ask(proxy.port);
        const there = await next();
        await there.close(code, reason);
        assert.equal(await asked.frames.shown(), shown, "backend to client");
        await asked.frames.close(code, reason);
        // The reply to a close frame has the same code.
        assert.match(await there.shown(), /^close/);
        await there.wire.end();
        await within(
          asked.conn.closed,
          1_500,
          "the client's connection to end",
        );
      }
      {
        await using asked = await ask(proxy.port);
        const there = await next();
        await asked.frames.close(code, reason);
        if (refusedBy === runtime) {
          assert.equal(await there.shown(), "fin", "client to backend");
          continue;
        }
        assert.equal(await there.shown(), shown, "client to backend");
        await there.close(code, reason);
        await there.wire.end();
        assert.match(await asked.frames.shown(), /^close/);
        await within(
          there.wire.closed,
          1_500,
          "the backend's connection to end",
        );
      }
    }
    await until(() => backend.open === 0, { what: "all connections" });
  },
);

forBoth(
  "WebSocket: an end without a close frame ends the other side in a second",
  async (runtime) => {
    // Deno cannot end a connection without a close frame: it sends 1014
    // instead.
    const cut = runtime === "deno" ? ["close 1014"] : ["fin"];
    const { backend, next } = await granting();
    await using _backend = backend;
    await using proxy = await startProxy(runtime, {
      env: { BACKENDS: backend.url },
    });
    for (const how of ["end", "reset"] as const) {
      await using asked = await ask(proxy.port);
      const there = await next();
      await there.wire[how]();
      const shown = await within(
        asked.frames.shown(),
        1_000,
        "the client's end",
      );
      assert.ok([...cut, "reset"].includes(shown), `${how}: ${shown}`);
    }
    for (const how of ["close", "reset"] as const) {
      const asked = await ask(proxy.port);
      const there = await next();
      await asked.conn[how]();
      const shown = await within(there.shown(), 1_000, "the backend's end");
      assert.equal(shown, "fin", how);
    }
    await until(() => backend.open === 0, { what: "all connections to end" });
  },
);

forBoth(
  "WebSocket: draining closes both sides with 1001, after its delay",
  async (runtime) => {
    const { backend, next } = await granting();
    await using _backend = backend;
    await using proxy = await startProxy(runtime, {
      env: { BACKENDS: backend.url, DRAIN_DELAY: "400ms", DRAIN_TIMEOUT: "5s" },
    });
    const pairs = [];
    for (let i = 0; i < 5; i++) {
      pairs.push({ asked: await ask(proxy.port), there: await next() });
    }
    const at = performance.now();
    proxy.signal("SIGTERM");
    // Still open during the delay.
    await pairs[0]!.asked.frames.text("still");
    assert.equal(await pairs[0]!.there.shown(), "text still");
    for (const { asked, there } of pairs) {
      assert.equal(await asked.frames.shown(), "close 1001");
      assert.equal(await there.shown(), "close 1001");
      await asked.frames.close(1001);
      await there.close(1001);
      await there.wire.end();
    }
    assert.ok(performance.now() - at >= 400);
    assert.equal((await proxy.waitForExit(4_000)).code, 0);
    for (const { asked } of pairs) await asked.conn.close();
  },
);

forBoth(
  "WebSocket: a peer that does not reply to the close is cut when the drain ends",
  async (runtime) => {
    const { backend, next } = await granting();
    await using _backend = backend;
    await using proxy = await startProxy(runtime, {
      env: { BACKENDS: backend.url, DRAIN_TIMEOUT: "600ms" },
    });
    await using asked = await ask(proxy.port);
    await next();
    proxy.signal("SIGTERM");
    assert.equal(await asked.frames.shown(), "close 1001");
    assert.equal((await proxy.waitForExit(4_000)).code, 0);
  },
);

forBoth("WebSocket: a ping is answered on each side", async (runtime) => {
  await opened(runtime, async (client, backend) => {
    for (const side of [client, backend]) {
      await side.send(0x89, "are you there");
      assert.equal(await side.shown(), "pong are you there");
      await side.send(0x8a, "unasked");
    }
    await client.text("after");
    assert.equal(await backend.shown(), "text after");
  });
});

forBoth("WebSocket: behind a base path, and not out of it", async (runtime) => {
  const { backend } = await granting();
  await using _backend = backend;
  await using proxy = await startProxy(runtime, {
    env: {
      BACKENDS: `${backend.url}/base`,
      HEALTH_PATH: "off",
      HOST_HEADER: "backend",
    },
  });
  await using asked = await ask(proxy.port, "/chat?a");
  assert.equal(asked.status, 101);
  assert.equal(backend.requests[0]!.target, "/base/chat?a");
  assert.equal(backend.requests[0]!.header("host"), backend.authority);
  await using out = await ask(proxy.port, "/..%2fadmin");
  assert.equal(out.status, 400);
});

forBoth(
  "WebSocket: Bun.serve with the proxy's `websocket`, as in the example",
  {
    runtimes: ["bun"],
  },
  async (runtime) => {
    const { backend, next } = await granting();
    await using _backend = backend;
    await using server = await startProxy(runtime, {
      entry: "examples/bun_websocket.ts",
      env: { BACKEND: backend.url },
    });
    await using asked = await ask(server.port);
    assert.equal(asked.status, 101);
    await asked.frames.text("a");
    assert.equal(await (await next()).shown(), "text a");
    const own = await rawRequest(server.port, requestText("GET", "/about"));
    assert.equal(own.text, "answered here\n");
  },
);

forBoth("WebSocket: within a user's own handler", async (runtime) => {
  const { backend, next } = await granting([["Sec-WebSocket-Protocol", "b"]]);
  await using _backend = backend;
  await using server = await startProxy(runtime, {
    entry: "e2e/websocket/composed.ts",
    env: { BACKEND: backend.url },
  });
  await using asked = await ask(server.port, "/", [
    // Without a space, as npm `ws` writes it.
    ["Sec-WebSocket-Protocol", "a,b"],
  ]);
  if (runtime === "deno") {
    assert.equal(asked.status, 101);
    assert.equal(asked.header("sec-websocket-protocol"), "b");
    await server.waitForLine(/answered 101/);
    await asked.frames.text("a");
    assert.equal(await (await next()).shown(), "text a");
  } else {
    // Bun upgrades nothing without handlers: this is logged, and the backend's
    // connection is closed.
    assert.equal(asked.status, 501);
    await server.waitForLine(/cannot upgrade a request: .*proxy\.websocket/);
    assert.equal(await (await next()).shown(), "fin");
  }
});

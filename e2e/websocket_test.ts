/**
 * WebSocket through the proxy, as frames on both ends.
 */

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { deadPort, type RawBackend, rawBackend } from "./harness/backend.ts";
import { RawConnection, rawRequest, requestText } from "./harness/client.ts";
import { type Runtime, startProxy } from "./harness/proxy.ts";
import { forBoth } from "./harness/suite.ts";
import { delay, until, within } from "./harness/wait.ts";
import type { Header } from "./harness/wire.ts";
import { ask, ASKING, type Frames, grant } from "./websocket/raw.ts";

/** A backend that grants every WebSocket and shows its frames to the test. */
async function granting(
  headers: readonly Header[] = [],
  options: Parameters<typeof rawBackend>[1] = {},
): Promise<{ backend: RawBackend; next: () => Promise<Frames> }> {
  const all: Frames[] = [];
  let given = 0;
  const backend = await rawBackend(async (conn, request) => {
    all.push(await grant(conn, request, headers));
  }, options);
  const next = async () => {
    const index = given++;
    return await until(() => all[index], { what: `WebSocket ${index}` });
  };
  return { backend, next: next as () => Promise<Frames> };
}

/** One WebSocket through a proxy of its own. */
async function opened(
  runtime: Runtime,
  body: (client: Frames, backend: Frames) => Promise<void>,
  env: Record<string, string> = {},
): Promise<void> {
  const { backend, next } = await granting();
  await using _backend = backend;
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: backend.url, ...env },
  });
  await using asked = await ask(proxy.port);
  assert.equal(asked.status, 101);
  await body(asked.frames, await next());
}

forBoth(
  "WebSocket: what a handshake says reaches the backend",
  async (runtime) => {
    const { backend } = await granting([
      ["Sec-WebSocket-Protocol", "b"],
      ["X-Said", "1"],
      ["Set-Cookie", "a=1"],
      ["Set-Cookie", "b=2"],
      ["Connection", "X-Hop"],
      ["X-Hop", "1"],
    ]);
    await using _backend = backend;
    await using proxy = await startProxy(runtime, {
      env: { BACKENDS: backend.url, REQUEST_ID: "on" },
    });
    await using asked = await ask(proxy.port, "/chat%2Fa?x=%27y&z", [
      ["Origin", "https://example.com"],
      ["Cookie", "c=1"],
      ["Authorization", "Bearer t"],
      ["Sec-WebSocket-Protocol", "a, b"],
      ["Sec-WebSocket-Extensions", "permessage-deflate"],
      ["User-Agent", "probe/1"],
      ["X-Forwarded-For", "6.6.6.6"],
      ["X-Id", "k\xe4se"],
    ]);
    assert.equal(asked.status, 101);
    assert.equal(asked.header("sec-websocket-protocol"), "b");
    assert.equal(asked.header("sec-websocket-extensions"), undefined);
    assert.equal(asked.header("x-said"), "1");
    assert.equal(asked.header("x-hop"), undefined);
    assert.match(asked.header("x-request-id") ?? "", /^[0-9a-f-]{36}$/);
    assert.deepEqual(
      asked.headers.filter(([name]) => name.toLowerCase() === "set-cookie")
        .map(([, value]) => value),
      ["a=1", "b=2"],
    );
    const [request] = backend.requests;
    assert.equal(request!.target, "/chat%2Fa?x=%27y&z");
    for (
      const [name, value] of [
        ["host", "sluice.test"],
        ["origin", "https://example.com"],
        ["cookie", "c=1"],
        ["authorization", "Bearer t"],
        ["sec-websocket-protocol", "a, b"],
        ["sec-websocket-version", "13"],
        ["sec-websocket-extensions", undefined],
        ["user-agent", "probe/1"],
        ["accept-encoding", undefined],
        ["upgrade", "websocket"],
        ["connection", "Upgrade"],
        ["x-forwarded-for", "127.0.0.1"],
        ["x-forwarded-proto", "http"],
        ["x-forwarded-host", "sluice.test"],
        ["x-id", "k\xe4se"],
        ["x-request-id", asked.header("x-request-id")],
      ] as const
    ) {
      assert.deepEqual(
        request!.headerAll(name),
        value === undefined ? [] : [value],
        name,
      );
    }
    assert.match(request!.header("via") ?? "", /^1\.1 sluice-/);
  },
);

forBoth("WebSocket: no subprotocol is invented", async (runtime) => {
  const { backend } = await granting();
  await using _backend = backend;
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: backend.url },
  });
  await using asked = await ask(proxy.port, "/", [
    ["Sec-WebSocket-Protocol", "a, b"],
  ]);
  assert.equal(asked.status, 101);
  assert.equal(asked.header("sec-websocket-protocol"), undefined);
});

forBoth("WebSocket: a refusal reaches the client as it is", async (runtime) => {
  await using backend = await rawBackend(async (conn, request) => {
    const status = Number(request.path.slice(1));
    if (status === 302) {
      return await conn.reply({
        status,
        headers: [["Location", `${backend.url}/login?next=1`], [
          "Set-Cookie",
          "a=1",
        ], ["Set-Cookie", "b=2"]],
      });
    }
    if (status === 401) {
      return await conn.reply({
        status,
        headers: { "WWW-Authenticate": "Basic", "Content-Type": "text/x" },
        body: "who are you",
      });
    }
    if (status === 404) {
      return await conn.reply({ status, body: "gone", framing: "close" });
    }
    if (status === 204) return await conn.reply({ status });
    const body = status === 200 ? "z".repeat(300_000) : "no\n";
    await conn.reply({ status, body, framing: "chunked" });
  });
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: backend.url },
  });
  const answered = (path: string) =>
    rawRequest(proxy.port, requestText("GET", path, { headers: [...ASKING] }));
  const unauthorized = await answered("/401");
  assert.equal(unauthorized.status, 401);
  assert.equal(unauthorized.text, "who are you");
  assert.equal(unauthorized.header("www-authenticate"), "Basic");
  assert.equal(unauthorized.header("content-type"), "text/x");
  assert.equal(unauthorized.header("content-length"), "11");
  const redirect = await answered("/302");
  assert.equal(redirect.status, 302);
  assert.equal(
    redirect.header("location"),
    "http://sluice.test/login?next=1",
  );
  assert.deepEqual(redirect.headerAll("set-cookie"), ["a=1", "b=2"]);
  for (
    const [status, text] of [
      [403, "no\n"],
      [404, "gone"],
      [426, "no\n"],
      [503, "no\n"],
      [200, "z".repeat(300_000)],
      [204, ""],
    ] as const
  ) {
    const answer = await answered(`/${status}`);
    assert.deepEqual([answer.status, answer.text], [status, text]);
    assert.equal(answer.complete, true);
  }
  assert.equal(backend.requests.length, 8);
});

forBoth(
  "WebSocket: a refusal that is cut does not look whole",
  async (runtime) => {
    await using backend = await rawBackend(async (conn) => {
      await conn.send(
        "HTTP/1.1 403 No\r\nContent-Length: 200000\r\n\r\n" +
          "x".repeat(150_000),
      );
      await conn.end();
    });
    await using proxy = await startProxy(runtime, {
      env: { BACKENDS: backend.url },
    });
    const answer = await rawRequest(
      proxy.port,
      requestText("GET", "/", { headers: [...ASKING] }),
    );
    assert.equal(answer.complete, false);
  },
);

forBoth(
  "WebSocket: a dead backend's handshake is tried elsewhere",
  async (runtime) => {
    const { backend, next } = await granting();
    await using _backend = backend;
    await using closing = await rawBackend((conn) => conn.end());
    await using resetting = await rawBackend((conn) => conn.reset());
    await using wrong = await rawBackend((conn) =>
      conn.send(
        "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
          "Sec-WebSocket-Accept: wrong\r\n\r\n",
      )
    );
    const dead = `http://127.0.0.1:${await deadPort()}`;
    await using proxy = await startProxy(runtime, {
      env: {
        BACKENDS: [dead, closing.url, resetting.url, wrong.url, backend.url]
          .join(),
        HEALTH_PATH: "off",
        EJECT_AFTER: "2",
        RETRIES: "5",
      },
    });
    for (let i = 0; i < 8; i++) {
      await using asked = await ask(proxy.port);
      assert.equal(asked.status, 101);
      const there = await next();
      await asked.frames.text(`hello ${i}`);
      assert.equal(await there.shown(), `text hello ${i}`);
      await asked.frames.close(1000);
      assert.equal(await there.shown(), "close 1000");
    }
    await proxy.waitForLine(/eject/);
  },
);

forBoth(
  "WebSocket: a backend that says nothing is 504, a dead one 502",
  async (runtime) => {
    await using silent = await rawBackend(async (conn) => {
      await conn.closed;
    });
    await using proxy = await startProxy(runtime, {
      env: { BACKENDS: silent.url, TIMEOUT: "300ms" },
    });
    await using late = await ask(proxy.port);
    assert.equal(late.status, 504);
    await silent.conns.at(-1)!.closed;
    await using dead = await startProxy(runtime, {
      env: {
        BACKENDS: `http://127.0.0.1:${await deadPort()}`,
        HEALTH_PATH: "off",
      },
    });
    await using refused = await ask(dead.port);
    assert.equal(refused.status, 502);
    assert.match(refused.header("proxy-status") ?? "", /connection_refused/);
  },
);

forBoth(
  "WebSocket: a client that leaves during the handshake leaves the backend",
  async (runtime) => {
    await using silent = await rawBackend(async (conn) => {
      await conn.closed;
    });
    await using proxy = await startProxy(runtime, {
      env: { BACKENDS: silent.url },
    });
    const client = await RawConnection.connect(proxy.port);
    await client.write(requestText("GET", "/", { headers: [...ASKING] }));
    const { conn } = await silent.waitForRequests(1);
    await client.close();
    await within(conn.closed, 1_000, "the end of the backend's connection");
    await delay(50);
    assert.equal(silent.requests.length, 1, "it was tried again for nobody");
  },
);

forBoth("WebSocket: a bad handshake is refused in words", async (runtime) => {
  const { backend } = await granting();
  await using _backend = backend;
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: backend.url },
  });
  const answer = (headers: readonly Header[]) =>
    rawRequest(
      proxy.port,
      requestText("GET", "/", { headers: [...headers] }),
      { closeWaitMs: 0 },
    );
  const version = await answer(
    ASKING.map(([name, value]) => [name, value === "13" ? "8" : value]),
  );
  assert.equal(version.status, 426);
  assert.equal(version.header("sec-websocket-version"), "13");
  for (const key of [undefined, "short", "dGhlIHNhbXBsZSBub25jZQ=A"]) {
    const headers = ASKING.filter(([name]) => name !== "Sec-WebSocket-Key");
    const asked: Header[] = key === undefined
      ? [...headers]
      : [...headers, ["Sec-WebSocket-Key", key]];
    assert.equal((await answer(asked)).status, 400, String(key));
  }
  assert.equal(backend.requests.length, 0);
});

forBoth("WebSocket: another Upgrade is dropped", async (runtime) => {
  await using backend = await rawBackend();
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: backend.url },
  });
  for (
    const headers of [
      [["Upgrade", "h2c"], ["Connection", "Upgrade"]],
      [["Upgrade", "websocket"]],
    ] as Header[][]
  ) {
    const answer = await rawRequest(
      proxy.port,
      requestText("GET", "/", { headers }),
    );
    assert.equal(answer.text, "ok");
    assert.equal(backend.requests.at(-1)!.header("upgrade"), undefined);
  }
});

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
 * Close codes: what one side says, and what the other hears. Where the runtimes
 * differ, the row says so.
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
        // The answer to a close frame says the same code.
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
    // Deno cannot end a connection without a close frame: it says 1014 instead.
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
  "WebSocket: who does not answer the close is cut when the drain is over",
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

forBoth("WebSocket: within a handler of one's own", async (runtime) => {
  const { backend, next } = await granting([["Sec-WebSocket-Protocol", "b"]]);
  await using _backend = backend;
  await using server = await startProxy(runtime, {
    entry: "e2e/websocket/composed.ts",
    env: { BACKEND: backend.url },
  });
  await using asked = await ask(server.port, "/", [
    // Without a space, which is how npm `ws` says it.
    ["Sec-WebSocket-Protocol", "a,b"],
  ]);
  if (runtime === "deno") {
    assert.equal(asked.status, 101);
    assert.equal(asked.header("sec-websocket-protocol"), "b");
    await server.waitForLine(/answered 101/);
    await asked.frames.text("a");
    assert.equal(await (await next()).shown(), "text a");
  } else {
    // Bun upgrades nothing without handlers: said, and the backend let go.
    assert.equal(asked.status, 501);
    await server.waitForLine(/cannot upgrade a request: .*proxy\.websocket/);
    assert.equal(await (await next()).shown(), "fin");
  }
});

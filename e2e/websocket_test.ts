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
    rawRequest(proxy.port, requestText("GET", "/", { headers: [...headers] }));
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
const CODES: [said: number | undefined, reason: string][] = [
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
  [1014, "g"],
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
    for (const [code, reason] of CODES) {
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

/**
 * The WebSocket handshake through the proxy: what each side learns of the
 * other.
 */

import assert from "node:assert/strict";
import { ADMIN_ENV, TOKEN } from "../harness/admin.ts";
import { rawBackend } from "../harness/backend.ts";
import { RawConnection, rawRequest, requestText } from "../harness/client.ts";
import { startProxy } from "../harness/proxy.ts";
import { forBoth } from "../harness/suite.ts";
import { until } from "../harness/wait.ts";
import type { Header } from "../harness/wire.ts";
import { granting } from "./granting.ts";
import { ask, ASKING } from "./raw.ts";

forBoth(
  "WebSocket: the fields of a handshake reach the backend",
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
  "WebSocket: a 101 has what every answer has: cookie, explanation, one request id",
  async (runtime) => {
    const { backend, next } = await granting([
      ["X-Request-Id", "the backend's own"],
      ["Set-Cookie", "a=1"],
    ]);
    await using _backend = backend;
    await using proxy = await startProxy(runtime, {
      env: {
        BACKENDS: backend.url,
        POLICY: "sticky:srv",
        REQUEST_ID: "on",
        ...ADMIN_ENV,
      },
    });
    await using asked = await ask(proxy.port, "/", [
      ["X-Request-Id", "12345678-client"],
      ["Sluice-Debug", TOKEN],
    ]);
    assert.equal(asked.status, 101);
    const all = (wanted: string) =>
      asked.headers.filter(([name]) => name.toLowerCase() === wanted)
        .map(([, value]) => value);
    assert.deepEqual(all("x-request-id"), ["12345678-client"]);
    const cookies = all("set-cookie");
    assert.equal(cookies.length, 2, cookies.join());
    assert.ok(cookies.includes("a=1"));
    assert.ok(cookies.some((cookie) => cookie.startsWith("srv=")));
    assert.match(all("server-timing").join(), /attempt;.*101/);
    // And it is a WebSocket.
    await asked.frames.text("a");
    assert.equal(await (await next()).shown(), "text a");
  },
);

forBoth(
  "WebSocket: one that is granted while the proxy drains is closed with 1001 too",
  async (runtime) => {
    let answering: (() => void) | undefined;
    const granted = new Promise<void>((resolve) => answering = resolve);
    const { backend, next } = await granting([], {}, granted);
    await using _backend = backend;
    await using proxy = await startProxy(runtime, {
      env: { BACKENDS: backend.url, DRAIN_TIMEOUT: "10s" },
    });
    const asking = ask(proxy.port);
    await backend.waitForRequests(1);
    proxy.signal("SIGTERM");
    await proxy.waitForLine(/drain/);
    // Until the port is closed: by then all open ones got a close frame.
    await until(
      () =>
        RawConnection.connect(proxy.port).then(
          (conn) => conn.close().then(() => false),
          () => true,
        ),
      { what: "the port to close" },
    );
    answering!();
    await using asked = await asking;
    assert.equal(asked.status, 101);
    assert.equal(asked.header("connection")?.toLowerCase(), "upgrade");
    // Deno's server, which is closing too, adds its own reason.
    assert.match(await asked.frames.shown(), /^close 1001/);
    const there = await next();
    assert.equal(await there.shown(), "close 1001");
    // Without requests in flight the connection may have ended by now.
    await asked.frames.close(1001).catch(() => {});
    await there.close(1001).catch(() => {});
    await there.wire.end();
    assert.equal((await proxy.waitForExit(8_000)).code, 0);
  },
);

forBoth(
  "WebSocket: through a proxy with a custom fetch",
  async (runtime) => {
    // It was handed to objects that inherit the runtime's transport, which
    // cannot open a connection then: TypeError, 502, and an ejection.
    const { backend, next } = await granting();
    await using _backend = backend;
    await using server = await startProxy(runtime, {
      entry: "e2e/websocket/own_fetch.ts",
      env: { BACKEND: backend.url },
    });
    await using asked = await ask(server.port);
    assert.equal(asked.status, 101);
    await asked.frames.text("a");
    assert.equal(await (await next()).shown(), "text a");
    const plain = await rawRequest(server.port, requestText("GET", "/"));
    assert.equal(plain.text, "by the given fetch");
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
  // A limit: only WebSocket is tunnelled. Docker's `attach` (`tcp`) and the
  // streams of Kubernetes' `exec` (SPDY) are not.
  await using backend = await rawBackend();
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: backend.url },
  });
  const upgrade = (protocol: string): Header[] => [
    ["Upgrade", protocol],
    ["Connection", "Upgrade"],
  ];
  const answered = (method: string, headers: Header[], body?: string) =>
    rawRequest(
      proxy.port,
      requestText(
        method,
        "/",
        body === undefined ? { headers } : { headers, body },
      ),
    );
  for (const protocol of ["h2c", "tcp", "SPDY/3.1", "webtransport"]) {
    const answer = await answered("GET", upgrade(protocol));
    assert.equal(answer.text, "ok", protocol);
    assert.equal(answer.header("upgrade"), undefined);
    assert.equal(backend.requests.at(-1)!.header("upgrade"), undefined);
    const post = await answered("POST", upgrade(protocol), "body");
    // Deno's server answers an upgrade with a body by itself.
    assert.equal(post.status, runtime === "deno" ? 400 : 200, protocol);
  }
  assert.equal(
    (await answered("GET", [["Upgrade", "websocket"]])).text,
    "ok",
  );
});

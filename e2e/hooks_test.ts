/**
 * The hooks of a user's program, on the wire: bodies that stream through them,
 * uploads, WebSockets, and the end of a hook that takes too long.
 *
 * @module
 */

import assert from "node:assert/strict";
import { adminUrl } from "./harness/admin.ts";
import { rawBackend } from "./harness/backend.ts";
import { RawConnection, rawRequest, requestText } from "./harness/client.ts";
import { get, hooked } from "./harness/hooked.ts";
import type { ProxyProcess } from "./harness/proxy.ts";
import { forBoth } from "./harness/suite.ts";
import { until } from "./harness/wait.ts";
import { toLatin1 } from "./harness/wire.ts";
import { ask, grant } from "./websocket/raw.ts";

/** Waits for the `onSettled` of a request. */
async function settled(proxy: ProxyProcess, text: string): Promise<void> {
  await until(() => proxy.stdout.includes(`settled ${text}`), {
    what: () => `"settled ${text}" in: ${proxy.stdout.join("; ")}`,
  });
}

/** Waits until so many hooks hang. */
async function hanging(proxy: ProxyProcess, count: number): Promise<void> {
  await until(() =>
    proxy.stdout.filter((line) => line === "hanging").length >= count
  );
}

/** Asserts that the backend has no requests in flight and no failures. */
async function unblamed(proxy: ProxyProcess): Promise<void> {
  const admin = await adminUrl(proxy);
  await until(async () => {
    const text = await (await fetch(`${admin}/metrics`)).text();
    assert.doesNotMatch(text, /^sluice_backend_failures_total.* [1-9]/m);
    assert.doesNotMatch(text, /^sluice_backend_ejected\{.*\} 1/m);
    return /^sluice_requests_in_flight 0$/m.test(text) &&
      !/^sluice_backend_in_flight\{.*\} [1-9]/m.test(text);
  });
}

forBoth(
  "onRequest() edits fields, sets Host, and frames nothing",
  async (runtime) => {
    await using backend = await rawBackend();
    await using proxy = await hooked(runtime, [backend]);
    assert.equal((await get(proxy, "/host")).status, 200);
    const [request] = backend.requests;
    assert.equal(request!.header("host"), "tenant.example.com");
    assert.equal(request!.header("x-hook"), "1 127.0.0.1");
    assert.equal(request!.framing, "none");
    assert.doesNotMatch(request!.header("connection") ?? "", /x-hook/);
    await settled(proxy, "/host 200 2 1");
  },
);

forBoth(
  "onRequest() leaves an upload whole, with its length or in chunks",
  async (runtime) => {
    // A wrong length from the hook must not truncate the body, or start a
    // request.
    await using backend = await rawBackend(async (conn, request) => {
      await conn.reply({ body: String((await request.body()).length) });
    });
    await using proxy = await hooked(runtime, [backend]);
    for (const size of [1, 40_000, 3_000_000]) {
      const body = "u".repeat(size);
      const whole = requestText("POST", "/upload", { body });
      assert.equal((await rawRequest(proxy.port, whole)).text, String(size));
      assert.equal(backend.requests.at(-1)!.length, size);
    }
    await using client = await RawConnection.connect(proxy.port);
    await client.write(
      "POST /chunks HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n" +
        "5\r\nhello\r\n",
    );
    await backend.waitForRequests(4);
    await client.write("6\r\n world\r\n0\r\n\r\n");
    assert.equal((await client.readResponse({ method: "POST" })).text, "11");
    assert.equal(backend.requests.at(-1)!.header("x-hook"), "1 127.0.0.1");
  },
);

forBoth(
  "onRequest() that sets Host has a Location of that host mapped",
  async (runtime) => {
    // The backend recognises its own name.
    await using backend = await rawBackend((conn) =>
      conn.reply({
        status: 302,
        headers: { Location: "http://tenant.example.com/next" },
      })
    );
    await using proxy = await hooked(runtime, [backend]);
    const mapped = await get(proxy, "/host");
    assert.equal(mapped.header("location"), "http://sluice.test/next");
    const other = await get(proxy, "/plain");
    assert.equal(other.header("location"), "http://tenant.example.com/next");
  },
);

forBoth(
  "onRequest() that logs a connection in has it for that request alone",
  async (runtime) => {
    // NTLM and Negotiate log in a connection: the next client on it would be
    // that user too.
    await using backend = await rawBackend();
    await using proxy = await hooked(runtime, [backend]);
    for (const path of ["/plain", "/ntlm", "/plain", "/ntlm", "/plain"]) {
      assert.equal((await get(proxy, path)).status, 200);
    }
    const { requests } = backend;
    for (const { path, conn } of requests) {
      if (path === "/ntlm") assert.equal(conn.requests.length, 1);
    }
    assert.equal(requests.length, 5);
  },
);

forBoth("onRequest() is called for each attempt", async (runtime) => {
  await using dead = await rawBackend((conn) => conn.reset());
  await using alive = await rawBackend();
  await using proxy = await hooked(runtime, [dead, alive]);
  for (let i = 0; i < 2; i++) await get(proxy, "/again");
  assert.deepEqual(
    dead.requests.map((request) => request.header("x-hook")),
    ["1 127.0.0.1"],
  );
  assert.ok(
    alive.requests.some((request) =>
      request.header("x-hook") === "2 127.0.0.1"
    ),
  );
});

forBoth(
  "onRequest() that responds, throws or hangs: no backend gets the request",
  async (runtime) => {
    await using backend = await rawBackend();
    await using proxy = await hooked(runtime, [backend]);
    await adminUrl(proxy);
    const denied = await get(proxy, "/denied");
    assert.deepEqual([denied.status, denied.text], [403, "denied\n"]);
    assert.match(denied.header("x-request-id") ?? "", /^[\w-]{36}$/);
    await settled(proxy, "/denied 403 7 0");
    const thrown = await get(proxy, "/request/throws");
    assert.equal(thrown.status, 500);
    assert.equal(JSON.parse(thrown.text).error, "proxy_internal_error");
    const hung = await get(proxy, "/request/hangs");
    assert.equal(hung.status, 500);
    await until(() =>
      proxy.stdout.some((line) => /^aborted: .*time/.test(line))
    );
    // A client that leaves ends it too.
    {
      await using client = await RawConnection.connect(proxy.port);
      await client.write(requestText("GET", "/request/hangs"));
      await hanging(proxy, 2);
      await client.close();
    }
    await until(() =>
      proxy.stdout.some((line) => /^aborted: .*left/.test(line))
    );
    assert.equal(backend.requests.length, 0);
    // With an upload that nothing has read, its answer arrives all the same.
    const upload = requestText("POST", "/denied", { body: "u".repeat(30_000) });
    assert.equal((await rawRequest(proxy.port, upload)).status, 403);
    assert.equal(backend.requests.length, 0);
    assert.equal((await get(proxy, "/after")).status, 200);
    await unblamed(proxy);
  },
);

for (
  const [path, status] of [
    ["/request/hangs", 503],
    ["/response/hangs", 503],
    ["/error/hangs", 502],
  ] as const
) {
  forBoth(`a hook that hangs is ended by stop(): ${path}`, async (runtime) => {
    await using backend = await rawBackend((conn) =>
      path === "/error/hangs" ? conn.reset() : conn.reply()
    );
    await using proxy = await hooked(runtime, [backend], {
      TIMEOUT_MS: "60000",
      DRAIN_MS: "300",
    });
    const answer = get(proxy, path);
    await hanging(proxy, 1);
    proxy.signal("SIGTERM");
    assert.equal((await answer).status, status);
    const exit = await proxy.waitForExit(20_000);
    assert.deepEqual(exit, { code: 0, signal: null });
    assert.equal(proxy.stdout.at(-1), "stopped");
  });
}

forBoth(
  "onResponse() streams an unchanged body, and a wrapped one",
  async (runtime) => {
    const gate = Promise.withResolvers<void>();
    await using backend = await rawBackend(async (conn) => {
      await conn.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
      await gate.promise;
      await conn.send("world");
    });
    await using proxy = await hooked(runtime, [backend]);
    await using plain = await RawConnection.connect(proxy.port);
    await using twice = await RawConnection.connect(proxy.port);
    await plain.write(requestText("GET", "/plain"));
    await twice.write(requestText("GET", "/doubled"));
    const heads = [await plain.readHead(), await twice.readHead()];
    const first = await plain.readChunkOrBytes();
    const double = await twice.readChunkOrBytes();
    assert.equal(new TextDecoder().decode(first!.data), "hello");
    assert.match(new TextDecoder().decode(double!.data), /^hello/);
    gate.resolve();
    const rest = async (client: RawConnection) => {
      let text = "";
      for (let piece; (piece = await client.readChunkOrBytes()) !== null;) {
        text += new TextDecoder().decode(piece.data);
      }
      return text;
    };
    assert.equal(await rest(plain), "world");
    const doubled = new TextDecoder().decode(double!.data) + await rest(twice);
    assert.equal(doubled, "hellohelloworldworld");
    assert.equal(heads.length, 2);
    await settled(proxy, "/plain 200 10 1");
    await settled(proxy, "/doubled 200 20 1");
    await unblamed(proxy);
  },
);

forBoth(
  "onResponse() keeps the length of an unchanged body, and drops that of a changed one",
  async (runtime) => {
    await using backend = await rawBackend((conn, request) =>
      request.path === "/304"
        ? conn.reply({ status: 304, headers: { ETag: '"a"' } })
        : conn.reply({ body: "body of 16 bytes" })
    );
    await using proxy = await hooked(runtime, [backend]);
    const plain = await get(proxy, "/plain");
    assert.equal(plain.header("content-length"), "16");
    assert.equal(plain.header("x-seen"), "200");
    const doubled = await get(proxy, "/doubled");
    assert.equal(doubled.text, "body of 16 bytes".repeat(2));
    // Bun declares a body that is complete at once; the old length must not
    // come.
    assert.ok([undefined, "32"].includes(doubled.header("content-length")));
    const head = await rawRequest(proxy.port, requestText("HEAD", "/plain"));
    assert.deepEqual([head.status, head.text], [200, ""]);
    assert.equal(head.header("x-seen"), "200");
    const cached = await get(proxy, "/304");
    assert.deepEqual([cached.status, cached.text], [304, ""]);
    assert.equal(cached.header("x-seen"), "304");
    assert.equal((await get(proxy, "/bare")).status, 204);
    assert.equal((await get(proxy, "/read")).text, "16\n");
    await unblamed(proxy);
  },
);

forBoth(
  "onResponse() that replaces, throws or hangs gives the backend's body up",
  async (runtime) => {
    // An endless download: it continues unless it is cancelled.
    await using backend = await rawBackend(async (conn, request) => {
      await conn.send(
        "HTTP/1.1 200 OK\r\nContent-Length: 9000000000\r\n\r\n",
      );
      if (request.path === "/after") return await conn.reset();
      const piece = "d".repeat(64 * 1024);
      while (conn.ending === undefined) {
        await conn.send(piece).catch(() => {});
      }
    });
    await using proxy = await hooked(runtime, [backend]);
    await adminUrl(proxy);
    const replaced = await get(proxy, "/replaced");
    assert.deepEqual([replaced.status, replaced.text], [404, "replaced\n"]);
    assert.equal((await get(proxy, "/response/throws")).status, 500);
    assert.equal((await get(proxy, "/response/hangs")).status, 500);
    assert.equal((await get(proxy, "/bare")).status, 204);
    await settled(proxy, "/replaced 404 9 1");
    await until(() =>
      backend.conns.every(({ ending }) => ending !== undefined)
    );
    await unblamed(proxy);
  },
);

forBoth(
  "onResponse() lets a client leave a body that it wraps",
  async (runtime) => {
    await using backend = await rawBackend(async (conn) => {
      await conn.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
      while (conn.ending === undefined) {
        await conn.chunk("d".repeat(64 * 1024)).catch(() => {});
      }
    });
    await using proxy = await hooked(runtime, [backend]);
    await adminUrl(proxy);
    {
      await using client = await RawConnection.connect(proxy.port);
      await client.write(requestText("GET", "/doubled"));
      await client.readHead();
      await client.readChunkOrBytes();
      await client.reset();
    }
    await until(() =>
      proxy.stdout.some((line) => /^settled \/doubled 499 \d+ 1$/.test(line))
    );
    await until(() =>
      backend.conns.every(({ ending }) => ending !== undefined)
    );
    await unblamed(proxy);
  },
);

forBoth(
  "onError() replaces the response to a refusal and to a failure",
  async (runtime) => {
    await using backend = await rawBackend((conn) => conn.reset());
    await using proxy = await hooked(runtime, [backend]);
    const failed = await get(proxy, "/failed");
    assert.equal(failed.status, 502);
    assert.match(failed.header("content-type")!, /^application\/json/);
    const { error, id } = JSON.parse(failed.text);
    assert.match(failed.header("proxy-status")!, new RegExp(`error=${error}`));
    assert.equal(id, failed.header("x-request-id"));
    await settled(proxy, `/failed 502 ${failed.text.length} 1`);
    const refused = await rawRequest(
      proxy.port,
      "GET / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1\r\n\r\nx",
    );
    assert.equal(refused.status, 400);
    assert.equal(JSON.parse(refused.text).error, "http_request_error");
    assert.match(refused.header("connection") ?? "", /close/);
    const large = await rawRequest(
      proxy.port,
      requestText("POST", "/", { body: "u".repeat(10_000_001) }),
    );
    assert.equal(large.status, 413);
    assert.equal(JSON.parse(large.text).error, "http_request_denied");
  },
);

forBoth(
  "WebSocket: onRequest() edits the handshake, and may refuse it",
  async (runtime) => {
    const shakes: (string | undefined)[] = [];
    await using backend = await rawBackend(async (conn, request) => {
      shakes.push(request.header("x-hook"), request.header("host"));
      const frames = await grant(conn, request);
      await frames.text(await frames.shown());
      await frames.close(1000, "done");
    });
    await using proxy = await hooked(runtime, [backend]);
    await using asked = await ask(proxy.port, "/host");
    // Not called for a 101.
    assert.equal(asked.header("x-seen"), undefined);
    await asked.frames.text("hello");
    assert.equal(await asked.frames.shown(), "text text hello");
    assert.equal(await asked.frames.shown(), "close 1000 done");
    assert.deepEqual(shakes, ["1 127.0.0.1", "tenant.example.com"]);
    await using denied = await ask(proxy.port, "/denied");
    assert.equal(denied.status, 403);
    assert.equal(shakes.length, 2);
  },
);

forBoth(
  "RESUME carries a body on below onResponse(), with onRequest() for the rest",
  async (runtime) => {
    const whole = "0123456789".repeat(20_000);
    const begun = Promise.withResolvers<void>();
    await using backend = await rawBackend(async (conn, request) => {
      const range = /^bytes=(\d+)-/.exec(request.header("range") ?? "");
      const from = Number(range?.[1] ?? 0);
      const headers = [
        "Accept-Ranges: bytes",
        'ETag: "strong"',
        `Content-Length: ${whole.length - from}`,
        ...(range === null ? [] : [
          `Content-Range: bytes ${from}-${whole.length - 1}/${whole.length}`,
        ]),
      ].join("\r\n");
      await conn.send(
        `HTTP/1.1 ${range === null ? 200 : 206} OK\r\n${headers}\r\n\r\n`,
      );
      if (range !== null) return await conn.send(whole.slice(from));
      await conn.send(whole.slice(0, 100_000));
      // Bun's `fetch` returns no response if the head, a part of the body and
      // the end of the connection arrive together.
      await begun.promise;
      await conn.end();
    });
    await using other = await rawBackend(backend.handler);
    await using proxy = await hooked(runtime, [backend, other], {
      RESUME: "on",
    });
    await using client = await RawConnection.connect(proxy.port);
    await client.write(requestText("GET", "/resumed"));
    assert.equal((await client.readHead()).status, 200);
    let text = "";
    for (let piece; (piece = await client.readChunkOrBytes()) !== null;) {
      begun.resolve();
      text += toLatin1(piece.data);
    }
    assert.equal(text, whole);
    const requests = [...backend.requests, ...other.requests];
    assert.ok(
      requests.some((request) => request.header("range") !== undefined),
    );
    assert.ok(
      requests.every((request) => request.header("x-hook") !== undefined),
    );
  },
);

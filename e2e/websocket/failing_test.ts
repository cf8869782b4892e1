/**
 * The WebSocket handshake with backends that do not answer it, or not as they
 * should, and with clients that do not wait for the answer.
 */

import assert from "node:assert/strict";
import net from "node:net";
import { deadPort, rawBackend } from "../harness/backend.ts";
import { blackhole } from "../harness/blackhole.ts";
import { RawConnection, rawRequest, requestText } from "../harness/client.ts";
import { startProxy } from "../harness/proxy.ts";
import { forBoth, skippedWithout } from "../harness/suite.ts";
import { delay, until, within } from "../harness/wait.ts";
import { granting } from "./granting.ts";
import { ask, ASKING } from "./raw.ts";

forBoth(
  "WebSocket: a dead backend's handshake is tried elsewhere",
  async (runtime) => {
    const { backend, next } = await granting();
    await using _backend = backend;
    const dead = `http://127.0.0.1:${await deadPort()}`;
    await using proxy = await startProxy(runtime, {
      env: {
        BACKENDS: `${dead}, ${backend.url}`,
        HEALTH_PATH: "off",
        EJECT_AFTER: "2",
      },
    });
    for (let i = 0; i < 6; i++) {
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
  "WebSocket: a handshake that was received is not sent again, and one that is closed on blames no backend",
  async (runtime) => {
    // Some backends close the connection of an upgrade that they do not want. A
    // handshake was sent to one after the other, and four of them ejected half
    // of the pool.
    const backends = await Promise.all(
      (["end", "reset", "end", "reset"] as const).map((how) =>
        rawBackend((conn, request) =>
          request.header("upgrade") === undefined
            ? conn.reply({ body: "ok" })
            : conn[how]()
        )
      ),
    );
    await using stack = new AsyncDisposableStack();
    for (const backend of backends) stack.use(backend);
    await using proxy = await startProxy(runtime, {
      env: {
        BACKENDS: backends.map(({ url }) => url).join(),
        HEALTH_PATH: "off",
        EJECT_AFTER: "1",
        RETRIES: "5",
      },
    });
    for (let i = 0; i < 8; i++) {
      await using asked = await ask(proxy.port);
      assert.equal(asked.status, 502);
      assert.match(
        asked.header("proxy-status") ?? "",
        /error=connection_terminated/,
      );
    }
    const counts = backends.map(({ requests }) => requests.length);
    assert.deepEqual(counts, [2, 2, 2, 2]);
    // All of them still get requests.
    for (let i = 0; i < 4; i++) {
      const answer = await rawRequest(proxy.port, requestText("GET", "/"));
      assert.equal(answer.text, "ok");
    }
    assert.deepEqual(
      backends.map(({ requests }) => requests.length),
      [3, 3, 3, 3],
    );
    assert.doesNotMatch(proxy.log, /eject/);
  },
);

forBoth(
  "WebSocket: an invalid response to a handshake is 502, and the backend's failure",
  async (runtime) => {
    await using wrong = await rawBackend((conn) =>
      conn.send(
        "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
          "Sec-WebSocket-Accept: wrong\r\n\r\n",
      )
    );
    await using cut = await rawBackend(async (conn) => {
      await conn.send("HTTP/1.1 101 Sw");
      await conn.end();
    });
    await using proxy = await startProxy(runtime, {
      env: {
        BACKENDS: `${wrong.url}, ${cut.url}`,
        HEALTH_PATH: "off",
        EJECT_AFTER: "2",
        RETRIES: "5",
      },
    });
    const errors = [];
    for (let i = 0; i < 4; i++) {
      await using asked = await ask(proxy.port);
      assert.equal(asked.status, 502);
      errors.push(/error=(\w+)/.exec(asked.header("proxy-status") ?? "")?.[1]);
    }
    assert.deepEqual(
      [...new Set(errors)].sort(),
      ["connection_terminated", "http_protocol_error"],
    );
    assert.equal(wrong.requests.length + cut.requests.length, 4);
    await proxy.waitForLine(/eject/);
    // A connection that is not a WebSocket is closed.
    await until(() => wrong.open === 0, { what: "the connection to end" });
  },
);

forBoth(
  "WebSocket: a backend that drops SYNs is passed over after CONNECT_TIMEOUT, at no cost",
  skippedWithout("python3"),
  async (runtime) => {
    // One of two hosts that drops SYNs held its clients for as long as the time
    // limit, and a quarter of them got 504.
    await using hole = await blackhole();
    const { backend } = await granting();
    await using _backend = backend;
    const env = {
      HEALTH_PATH: "off",
      CONNECT_TIMEOUT: "300ms",
      EJECT_AFTER: "2",
    };
    {
      await using proxy = await startProxy(runtime, {
        env: {
          ...env,
          BACKENDS: `${hole.url}, ${hole.url}/a, ${hole.url}/b, ${backend.url}`,
          // Nothing was sent, so these are no retries.
          RETRIES: "1",
          RETRY_BUDGET: "0%",
        },
      });
      // Until each of the three has had two.
      for (let i = 0; i < 6; i++) {
        await using asked = await ask(proxy.port);
        assert.equal(asked.status, 101, `${i}`);
      }
      await proxy.waitForLine(/eject/);
    }
    await using alone = await startProxy(runtime, {
      env: { ...env, BACKENDS: hole.url },
    });
    const fds = alone.fds();
    const from = performance.now();
    await using asked = await ask(alone.port);
    assert.equal(asked.status, 504);
    assert.match(asked.header("proxy-status") ?? "", /connection_timeout/);
    const took = performance.now() - from;
    assert.ok(took >= 290 && took < 10_000, `${took} ms`);
    await asked.conn.close();
    await until(() => alone.fds() <= fds, { what: "the descriptors" });
  },
);

forBoth(
  "WebSocket: CONNECT_TIMEOUT covers the TLS handshake",
  async (runtime) => {
    const silent = net.createServer();
    const sockets: net.Socket[] = [];
    silent.on("connection", (socket) => sockets.push(socket));
    await new Promise<void>((listening) =>
      silent.listen(0, "127.0.0.1", listening)
    );
    const { port } = silent.address() as net.AddressInfo;
    const { backend } = await granting();
    try {
      await using _backend = backend;
      await using proxy = await startProxy(runtime, {
        env: {
          BACKENDS: `https://127.0.0.1:${port}, ${backend.url}`,
          HEALTH_PATH: "off",
          CONNECT_TIMEOUT: "300ms",
        },
      });
      for (let i = 0; i < 2; i++) {
        await using asked = await ask(proxy.port);
        assert.equal(asked.status, 101);
      }
      assert.equal(sockets.length, 1);
      const held = sockets[0]!;
      held.resume();
      await until(() => held.readableEnded || held.destroyed, {
        what: "the connection to end",
      });
    } finally {
      for (const socket of sockets) socket.destroy();
      await new Promise((closed) => silent.close(closed));
    }
  },
);

forBoth(
  "WebSocket: a silent backend is 504, a dead one 502",
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
    assert.equal(silent.requests.length, 1, "it was tried again");
  },
);

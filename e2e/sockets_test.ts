/**
 * Requests over sockets: how connections are opened, kept and given back.
 */

import assert from "node:assert/strict";
import net from "node:net";
import { type Handler, hang, rawBackend } from "./harness/backend.ts";
import { blackhole } from "./harness/blackhole.ts";
import { RawConnection, rawRequest, requestText } from "./harness/client.ts";
import { runProgram, startProxy } from "./harness/proxy.ts";
import { Relay } from "./harness/relay.ts";
import { forBoth, skippedWithout } from "./harness/suite.ts";
import { delay, until } from "./harness/wait.ts";
import { PeerGone, toLatin1 } from "./harness/wire.ts";
import { Authority, HERE } from "./tls/certificates.ts";

const OVER_SOCKETS = { TRANSPORT: "socket", HEALTH_PATH: "off" };

/** Answers with the request's body. */
const echo: Handler = async (conn, request) => {
  await conn.reply({ body: await request.body() });
};

for (const transport of ["socket", "auto"]) {
  forBoth(
    `a backend that closes each connection unannounced loses no POST (${transport})`,
    async (runtime) => {
      await using backend = await rawBackend(async (conn) => {
        await conn.reply({ body: "ok" });
        await conn.end();
      });
      await using proxy = await startProxy(runtime, {
        env: {
          ...OVER_SOCKETS,
          TRANSPORT: transport,
          BACKENDS: backend.url,
          EJECT_AFTER: "off",
        },
      });
      // Several lanes, so that one is answered while others are sent.
      const lane = async () => {
        await using client = await RawConnection.connect(proxy.port);
        // The first ones may be repeated: they show what the backend does.
        for (let i = 0; i < 60; i++) {
          const text = i < 10
            ? requestText("GET", "/")
            // A browser's, which `auto` could send by `fetch`.
            : requestText("POST", "/", {
              headers: { "User-Agent": "test", Accept: "*/*" },
              body: "x".repeat(100),
            });
          assert.equal((await client.request(text)).status, 200, `${i}`);
        }
      };
      await Promise.all(Array.from({ length: 8 }, lane));
    },
  );
}

forBoth(
  "over sockets a backend that says more than was asked for has no connection reused",
  async (runtime) => {
    // Two answers, and the next client could have got the second one.
    const answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
    let times = 2;
    await using backend = await rawBackend((conn) =>
      conn.send(answer.repeat(times))
    );
    await using proxy = await startProxy(runtime, {
      env: { ...OVER_SOCKETS, BACKENDS: backend.url },
    });
    await using client = await RawConnection.connect(proxy.port);
    for (let i = 0; i < 5; i++) {
      const { status, text } = await client.request(requestText("GET", "/"));
      assert.deepEqual([status, text], [200, "ok"]);
      times = 1;
    }
    assert.equal(backend.connections.opened, 5);
  },
);

forBoth(
  "over sockets a 408 on a kept connection is no response, except to a POST",
  async (runtime) => {
    // Sent by a server that gives up an idle connection, just as it is used.
    const late = "HTTP/1.1 408 Request Timeout\r\n" +
      "Content-Length: 0\r\nConnection: close\r\n\r\n";
    await using backend = await rawBackend(async (conn, request) => {
      await request.body();
      if (request.index === 0) await conn.reply({ body: "ok" });
      else await conn.send(late);
    });
    await using proxy = await startProxy(runtime, {
      env: { ...OVER_SOCKETS, BACKENDS: backend.url },
    });
    await using client = await RawConnection.connect(proxy.port);
    const statuses: number[] = [];
    for (const method of ["GET", "GET", "PUT", "POST"]) {
      const text = requestText(
        method,
        "/",
        method === "GET" ? {} : { body: "x" },
      );
      statuses.push((await client.request(text)).status);
    }
    assert.deepEqual(statuses, [200, 200, 200, 408]);
    assert.equal(backend.requests.length, 6);
  },
);

forBoth(
  "over sockets CONNECT_TIMEOUT covers the TLS handshake, and alone it is 504",
  async (runtime) => {
    const sockets: net.Socket[] = [];
    const silent = net.createServer((socket) => {
      socket.on("error", () => {});
      socket.resume();
      sockets.push(socket);
    });
    await new Promise<void>((listening) =>
      silent.listen(0, "127.0.0.1", listening)
    );
    const { port } = silent.address() as net.AddressInfo;
    try {
      await using proxy = await startProxy(runtime, {
        env: {
          ...OVER_SOCKETS,
          BACKENDS: `https://127.0.0.1:${port}`,
          CONNECT_TIMEOUT: "300ms",
        },
      });
      const from = performance.now();
      const answer = await rawRequest(proxy.port, requestText("POST", "/"));
      const took = performance.now() - from;
      assert.equal(answer.status, 504);
      assert.match(
        answer.header("proxy-status") ?? "",
        /error=connection_timeout/,
      );
      assert.ok(took >= 290 && took < 10_000, `${took} ms`);
      // Deno's own TLS keeps a connection for as long as its peer is silent: a
      // backend that hangs would have cost a descriptor for each request.
      await until(() => sockets.every((socket) => socket.readableEnded), {
        what: "the connection to end",
      });
    } finally {
      for (const socket of sockets) socket.destroy();
      silent.close();
    }
  },
);

forBoth(
  "over sockets, clients that disconnect while a connection is made leave no descriptor",
  skippedWithout("python3"),
  async (runtime) => {
    await using hole = await blackhole();
    await using proxy = await startProxy(runtime, {
      env: {
        ...OVER_SOCKETS,
        BACKENDS: hole.url,
        CONNECT_TIMEOUT: "1h",
        EJECT_AFTER: "off",
      },
    });
    const before = proxy.fds();
    const clients: RawConnection[] = [];
    for (let i = 0; i < 20; i++) {
      const client = await RawConnection.connect(proxy.port);
      await client.write(requestText("GET", "/"));
      clients.push(client);
    }
    // One for the client, and one for the connection that is being made.
    await until(() => proxy.fds() >= before + 40, {
      timeoutMs: 15_000,
      what: () => `40 descriptors more; ${proxy.fds() - before} are`,
    });
    for (const client of clients) await client.close();
    await until(() => proxy.fds() <= before + 2, {
      timeoutMs: 15_000,
      what: () => `the descriptors; ${proxy.fds() - before} are left`,
    });
  },
);

forBoth(
  "over sockets a small body whose pieces come late is passed on piece by piece",
  async (runtime) => {
    // The memory of the first piece was given up while the next one was read
    // into it, and the body never ended.
    let next = Promise.withResolvers<void>();
    await using backend = await rawBackend(async (conn) => {
      await conn.send("HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n");
      for (const letter of "abc") {
        await conn.send(letter.repeat(3_000));
        await next.promise;
        next = Promise.withResolvers();
      }
    });
    await using proxy = await startProxy(runtime, {
      env: { ...OVER_SOCKETS, BACKENDS: backend.url },
    });
    for (let i = 0; i < 5; i++) {
      await using client = await RawConnection.connect(proxy.port);
      await client.write(requestText("GET", "/"));
      await client.readHead();
      let text = "";
      while (text.length < 9_000) {
        const piece = await client.readChunkOrBytes();
        assert.ok(piece !== null, `the end after ${text.length} bytes`);
        text += toLatin1(piece.data);
        if (text.length % 3_000 === 0) next.resolve();
      }
      assert.equal(
        text,
        "a".repeat(3_000) + "b".repeat(3_000) + "c".repeat(3_000),
      );
    }
    assert.doesNotMatch(proxy.log, /error/);
  },
);

forBoth(
  "over sockets a reset cuts a body that only the end of its connection delimits, with TLS too",
  async (runtime) => {
    await using ca = await Authority.make();
    for (const tls of [undefined, await ca.sign(HERE)]) {
      await using backend = await rawBackend(async (conn) => {
        await conn.send("HTTP/1.1 200 OK\r\n\r\nand so on, until");
        await conn.closed;
      }, tls === undefined ? {} : { tls });
      await using relay = await Relay.to(backend.port);
      await using proxy = await startProxy(runtime, {
        env: {
          ...OVER_SOCKETS,
          BACKENDS: `http${
            tls === undefined ? "" : "s"
          }://127.0.0.1:${relay.port}`,
          BACKEND_CA: `${ca.folder}/ca.pem`,
        },
        permissions: [`--allow-read=${ca.folder}`],
      });
      await using client = await RawConnection.connect(proxy.port);
      await client.write(requestText("GET", "/"));
      await client.readHead();
      // What was not read is lost with a reset.
      await client.readChunkOrBytes();
      relay.cut("reset");
      await assert.rejects(
        async () => {
          while (await client.readChunkOrBytes() !== null);
        },
        PeerGone,
        `TLS: ${tls !== undefined}`,
      );
    }
  },
);

forBoth(
  "over sockets idle connections are given back after 4 s, earlier than servers end them",
  async (runtime) => {
    await using backend = await rawBackend(echo);
    await using proxy = await startProxy(runtime, {
      env: { ...OVER_SOCKETS, BACKENDS: backend.url },
    });
    const one = () => rawRequest(proxy.port, requestText("GET", "/"));
    await Promise.all([one(), one(), one()]);
    const from = performance.now();
    assert.ok(backend.open > 0);
    await until(() => backend.open === 0, { timeoutMs: 20_000 });
    const took = performance.now() - from;
    assert.ok(took > 2_500, `${took} ms`);
    const { opened } = backend.connections;
    await one();
    await one();
    assert.equal(backend.connections.opened, opened + 1);
  },
);

forBoth(
  "over sockets connections to a backend that has left the pool are closed",
  async (runtime) => {
    await using backend = await rawBackend(echo);
    await using other = await rawBackend(echo);
    const path = await Deno.makeTempFile();
    try {
      await Deno.writeTextFile(path, `${backend.url}\n${other.url}\n`);
      await using proxy = await startProxy(runtime, {
        env: {
          TRANSPORT: "socket",
          HEALTH_PATH: "off",
          BACKENDS_FILE: path,
        },
        permissions: [`--allow-read=${path}`],
      });
      for (let i = 0; i < 4; i++) {
        await rawRequest(proxy.port, requestText("GET", "/"));
      }
      assert.ok(backend.open > 0);
      const from = performance.now();
      await Deno.writeTextFile(path, `${other.url}\n`);
      proxy.signal("SIGHUP");
      await proxy.waitForLine(/BACKENDS_FILE read: 1 backend /);
      await until(() => backend.open === 0, { what: "its connections to end" });
      // Not just because they had become old.
      assert.ok(performance.now() - from < 3_000);
    } finally {
      await Deno.remove(path);
    }
  },
);

forBoth(
  "over sockets a client that leaves ends its backend's connection at once, at every stage",
  async (runtime) => {
    await using silent = await rawBackend(hang);
    await using flowing = await rawBackend(async (conn) => {
      await conn.send(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
      );
      await hang(conn, undefined as never);
    });
    for (const backend of [silent, flowing]) {
      await using proxy = await startProxy(runtime, {
        env: { ...OVER_SOCKETS, BACKENDS: backend.url },
      });
      for (const method of ["GET", "POST"]) {
        const client = await RawConnection.connect(proxy.port);
        await client.write(
          method === "GET"
            ? requestText("GET", "/")
            : requestText("POST", "/", {
              headers: { "Transfer-Encoding": "chunked" },
              body: "5\r\nhello\r\n",
            }),
        );
        await until(() => backend.open > 0);
        if (backend === flowing) await delay(100);
        await client.close();
        await until(() => backend.open === 0, {
          timeoutMs: 15_000,
          what: `the connection of a ${method} to end`,
        });
      }
    }
  },
);

forBoth(
  "over sockets an upload that its backend does not read is cancelled at once, with TLS and without",
  skippedWithout("openssl"),
  async (runtime) => {
    // Closed with bytes that its peer does not take, a connection of Deno's own
    // TLS stays open for as long as the peer pleases.
    await using ca = await Authority.make();
    for (const tls of [undefined, await ca.sign(HERE)]) {
      await using backend = await rawBackend(hang, {
        ...(tls === undefined ? {} : { tls }),
        readAhead: 0,
      });
      await using proxy = await startProxy(runtime, {
        env: {
          ...OVER_SOCKETS,
          BACKENDS: backend.url,
          BACKEND_CA: `${ca.folder}/ca.pem`,
          TIMEOUT: "1s",
          EJECT_AFTER: "off",
        },
        permissions: [`--allow-read=${ca.folder}`],
      });
      const before = proxy.fds();
      for (let i = 0; i < 3; i++) {
        await using client = await RawConnection.connect(proxy.port);
        await client.write(requestText("POST", "/", {
          headers: { "Content-Length": "100000000" },
        }));
        // More than all buffers on the way take.
        const piece = new Uint8Array(1024 * 1024);
        const writing = (async () => {
          for (let mb = 0; mb < 100; mb++) await client.write(piece);
        })().catch(() => {});
        // Bun ends the connection of a client that is still sending, and what it
        // has answered may be lost.
        const { status } = await client.readResponse();
        assert.ok(status === 504 || runtime === "bun", String(status));
        await client.close();
        await writing;
      }
      await until(() => proxy.fds() <= before + 1, {
        timeoutMs: 15_000,
        what: () => `the descriptors; ${proxy.fds() - before} are left`,
      });
    }
  },
);

forBoth(
  "over sockets responses are read as by a second strict reader",
  { timeoutMs: 120_000 },
  async (runtime) => {
    // 10,000 a seed are the long form, see testing/fuzz_sockets.ts.
    const { code, stdout, stderr } = await runProgram(runtime, {
      entry: "testing/fuzz_sockets.ts",
      args: ["1000", "1"],
    });
    assert.equal(code, 0, stderr.slice(0, 2_000));
    assert.match(stdout, /none was another's/);
  },
);

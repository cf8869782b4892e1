/**
 * Slow uploads and downloads: time limits, responses, and whether the backend
 * or the client has failed.
 *
 * @module
 */

import assert from "node:assert/strict";
import { ADMIN_ENV, adminUrl } from "./harness/admin.ts";
import {
  type Handler,
  type RawBackend,
  rawBackend,
} from "./harness/backend.ts";
import { RawConnection, rawRequest, requestText } from "./harness/client.ts";
import { type ProxyProcess, startProxy } from "./harness/proxy.ts";
import { forBoth } from "./harness/suite.ts";
import { delay, until } from "./harness/wait.ts";

/** Reads a request to its end and answers with its size. */
const echoSize: Handler = async (conn, request) => {
  await conn.reply({ body: String((await request.body()).length) });
};

function head(length: number, method = "POST", path = "/"): string {
  return `${method} ${path} HTTP/1.1\r\nHost: a.test\r\n` +
    `Content-Length: ${length}\r\n\r\n`;
}

/** Requests in flight, according to the metrics. */
async function inFlight(admin: string): Promise<number> {
  const text = await (await fetch(`${admin}/metrics`)).text();
  return Number(/^sluice_requests_in_flight (\d+)/m.exec(text)![1]);
}

/** Waits until no request is in flight or has a connection. */
async function allOver(
  proxy: ProxyProcess,
  backends: readonly RawBackend[],
  fds: number,
): Promise<void> {
  const admin = await adminUrl(proxy);
  await until(async () => await inFlight(admin) === 0, {
    timeoutMs: 10_000,
    what: "no request under way",
  });
  const unfinished = () =>
    backends.flatMap(({ requests }) => requests).filter(({ complete, conn }) =>
      !complete && conn.ending === undefined
    );
  await until(() => unfinished().length === 0, {
    timeoutMs: 10_000,
    what: () => `the end of ${unfinished().length} unfinished requests`,
  });
  // Kept connections to the backends are closed after 4 s.
  await until(() => proxy.fds() <= fds, {
    timeoutMs: 15_000,
    what: () => `${fds} descriptors; there are ${proxy.fds()}`,
  });
}

forBoth(
  "eight slow uploads are served, and eject no backend",
  { timeoutMs: 60_000 },
  async (runtime) => {
    await using a = await rawBackend(echoSize);
    await using b = await rawBackend(echoSize);
    await using proxy = await startProxy(runtime, {
      env: {
        BACKENDS: `${a.url},${b.url}`,
        TIMEOUT: "1s",
        CLIENT_TIMEOUT: "5s",
        EJECT_AFTER: "1",
      },
    });
    const upload = async (n: number) => {
      await using client = await RawConnection.connect(proxy.port);
      // Small, large and of unknown length.
      const [size, chunked] = [[40, 100_000][n % 2]!, n % 4 === 3];
      const lines = chunked
        ? "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        : head(size);
      await client.write(lines);
      const piece = "x".repeat(size / 8);
      for (let i = 0; i < 8; i++) {
        await delay(400);
        await client.write(
          chunked ? `${piece.length.toString(16)}\r\n${piece}\r\n` : piece,
        );
      }
      if (chunked) await client.write("0\r\n\r\n");
      const { status, text } = await client.readResponse({ method: "POST" });
      assert.deepEqual([status, text], [200, String(size)]);
    };
    await Promise.all(Array.from({ length: 8 }, (_, n) => upload(n)));
    assert.doesNotMatch(proxy.log, /ejected/);
  },
);

forBoth(
  "clients that stall their uploads get 408, and eject no backend",
  async (runtime) => {
    // Twelve idle clients ejected half of the pool of a busy site.
    const backends = await Promise.all(
      Array.from({ length: 4 }, () => rawBackend(echoSize)),
    );
    await using proxy = await startProxy(runtime, {
      env: {
        BACKENDS: backends.map(({ url }) => url).join(),
        TIMEOUT: "600ms",
        CLIENT_TIMEOUT: "600ms",
        EJECT_AFTER: "1",
      },
    });
    const stall = async (n: number) => {
      await using client = await RawConnection.connect(proxy.port);
      const chunked = n % 3 === 2;
      await client.write(
        chunked
          ? "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
          : head([100_000, 100][n % 3]!, n % 2 === 0 ? "PUT" : "POST"),
      );
      if (n % 4 > 1) {
        await client.write(chunked ? "4\r\nsome\r\n" : "some");
      }
      const { status } = await client.readResponse({ method: "POST" });
      assert.equal(status, 408, `client ${n}`);
    };
    await Promise.all(Array.from({ length: 12 }, (_, n) => stall(n)));
    const { status } = await rawRequest(proxy.port, requestText("GET", "/"));
    assert.equal(status, 200);
    assert.doesNotMatch(proxy.log, /ejected|is down/);
    for (const backend of backends) await backend[Symbol.asyncDispose]();
  },
);

/** Framings of an upload, and the bytes of one piece. */
const FRAMINGS = [
  ["a small declared", head(100), "x"],
  ["a large declared", head(1_000_000), "x".repeat(1000)],
  [
    "a chunked",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
    `3e8\r\n${"x".repeat(1000)}\r\n`,
  ],
] as const;

forBoth(
  "200 uploads cut at every stage leave no descriptor or request",
  { timeoutMs: 90_000 },
  async (runtime) => {
    await using a = await rawBackend(echoSize);
    // One that answers before it has read.
    await using early = await rawBackend(async (conn) => {
      await conn.reply({ status: 413, body: "no" });
      await conn.closed;
    });
    await using proxy = await startProxy(runtime, {
      env: { ...ADMIN_ENV, BACKENDS: `${a.url},${early.url}` },
    });
    const admin = await adminUrl(proxy);
    // What the runtime opens once and keeps.
    await rawRequest(proxy.port, requestText("GET", "/"));
    await inFlight(admin);
    const fds = proxy.fds();
    const cut = async (n: number) => {
      const client = await RawConnection.connect(proxy.port);
      const [, lines, piece] = FRAMINGS[n % FRAMINGS.length]!;
      const stage = Math.floor(n / FRAMINGS.length) % 4;
      await client.write(stage === 0 ? lines.slice(0, -2) : lines);
      for (let i = 1; i < stage; i++) await client.write(piece);
      if (n % 8 < 4) await until(() => a.requests.length > 0);
      if (n % 2 === 0) await client.close();
      else await client.reset();
    };
    for (let at = 0; at < 200; at += 20) {
      await Promise.all(Array.from({ length: 20 }, (_, i) => cut(at + i)));
    }
    // Five more for what a server keeps for a while, such as the pipe of its
    // timers.
    await allOver(proxy, [a, early], fds + 5);
    assert.doesNotMatch(proxy.log, /ejected|cannot/);
  },
);

forBoth(
  "200 downloads that are not read free their slots and backends within CLIENT_TIMEOUT",
  { timeoutMs: 90_000 },
  async (runtime) => {
    // Five of them held five slots for ever, and used up MAX_IN_FLIGHT.
    const body = new Uint8Array(64 * 1024);
    await using backend = await rawBackend(async (conn, request) => {
      const declared = request.path === "/declared";
      await conn.send(
        `HTTP/1.1 200 OK\r\n${
          declared ? "Content-Length: 100000000" : "Transfer-Encoding: chunked"
        }\r\n\r\n`,
      );
      try {
        for (let i = 0; i < 1000; i++) {
          await (declared ? conn.send(body) : conn.chunk(body));
        }
      } catch {
        // It is cut, which is the subject of the test.
      }
    });
    await using proxy = await startProxy(runtime, {
      env: {
        ...ADMIN_ENV,
        BACKENDS: backend.url,
        CLIENT_TIMEOUT: "2s",
        MAX_IN_FLIGHT: "200",
      },
    });
    const admin = await adminUrl(proxy);
    await inFlight(admin);
    const fds = proxy.fds();
    const clients: RawConnection[] = [];
    for (let n = 0; n < 200; n++) {
      const client = await RawConnection.connect(proxy.port, {
        readAhead: 1024,
      });
      clients.push(client);
      await client.write(
        requestText("GET", n % 2 === 0 ? "/declared" : "/chunked"),
      );
    }
    await until(async () => await inFlight(admin) === 0, {
      timeoutMs: 20_000,
      what: "no request under way",
    });
    await until(
      () => backend.conns.every(({ ending }) => ending !== undefined),
      { timeoutMs: 10_000, what: "the end of every backend connection" },
    );
    // Bun closes the clients' connections too. Deno cannot: the clients close
    // them.
    const theirs = runtime === "deno" ? clients.length : 0;
    await until(() => proxy.fds() <= fds + theirs + 5, {
      timeoutMs: 10_000,
      what: () => `${fds} descriptors; there are ${proxy.fds()}`,
    });
    if (runtime === "deno") {
      assert.ok(
        proxy.fds() >= fds + clients.length / 2,
        "Deno now closes connections that are not read: remove its limit",
      );
    }
    for (const client of clients) await client.close();
    await until(() => proxy.fds() <= fds + 5, {
      timeoutMs: 10_000,
      what: () => `${fds} descriptors; there are ${proxy.fds()}`,
    });
    assert.doesNotMatch(proxy.log, /ejected/);
  },
);

forBoth(
  "a request that logs in its connection leaves it to no other client",
  async (runtime) => {
    // A backend that authenticates connections answered bob, who had sent no
    // credentials, as alice: her connection was reused for his request.
    await using backend = await rawBackend(async (conn, request) => {
      await request.body();
      await conn.reply({ body: `conn ${conn.index}` });
    });
    await using proxy = await startProxy(runtime, {
      env: { BACKENDS: backend.url, HEALTH_PATH: "off" },
    });
    const ask = async (fields: Record<string, string>, body?: string) => {
      const options = body === undefined ? {} : { body };
      const text = requestText(body === undefined ? "GET" : "POST", "/", {
        headers: fields,
        ...options,
      });
      const answer = await rawRequest(proxy.port, text);
      assert.equal(answer.status, 200);
      return answer.text;
    };
    for (const scheme of ["NTLM", "Negotiate", "ntlm", "NEGOTIATE"]) {
      for (const body of [undefined, "x".repeat(100), "x".repeat(100_000)]) {
        await ask({});
        const alice = await ask({ Authorization: `${scheme} TlRMTVNT` }, body);
        const seen = await Promise.all([ask({}), ask({}), ask({}, "x")]);
        assert.ok(!seen.includes(alice), `${scheme}: ${alice} among ${seen}`);
        const index = Number(alice.split(" ")[1]);
        const { requests } = backend.conns[index]!;
        assert.equal(requests.length, 1, "it went on a connection of its own");
        await until(() => backend.conns[index]!.ending !== undefined);
      }
    }
  },
);

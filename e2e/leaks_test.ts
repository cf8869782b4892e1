/**
 * Descriptors and slots: however a connection ends, its resources are released.
 */

import assert from "node:assert/strict";
import { ADMIN_ENV, adminUrl } from "./harness/admin.ts";
import { type RawBackend, rawBackend } from "./harness/backend.ts";
import { RawConnection, requestText } from "./harness/client.ts";
import {
  type ProxyProcess,
  type Runtime,
  startProxy,
} from "./harness/proxy.ts";
import { forBoth, skippedWithout } from "./harness/suite.ts";
import { delay, until } from "./harness/wait.ts";
import { Authority, HERE } from "./tls/certificates.ts";
import { ask, ASKING, frameBytes, grant } from "./websocket/raw.ts";

/** A second on a quiet machine; others may be at work on this one. */
const SOON_MS = 15_000;
/** How many are in flight at a time. */
const AT_ONCE = 10;

/** What a proxy holds. */
class Held {
  private constructor(
    readonly proxy: ProxyProcess,
    readonly backend: RawBackend,
    readonly admin: string,
    readonly fds: number,
  ) {}

  /** Records the current state as the one to return to. */
  static async now(proxy: ProxyProcess, backend: RawBackend): Promise<Held> {
    const admin = await adminUrl(proxy);
    const before = new Held(proxy, backend, admin, Infinity);
    await before.backAgain();
    // The descriptor of a connection goes a moment after the connection.
    let fds = Infinity;
    await until(async () => {
      const last = fds;
      fds = proxy.fds();
      await delay(300);
      return proxy.fds() === fds && fds === last;
    }, { timeoutMs: SOON_MS, what: "the descriptors to stay as they are" });
    return new Held(proxy, backend, admin, fds);
  }

  async inFlight(): Promise<number> {
    const answer = await fetch(`${this.admin}/metrics`);
    const figure = /^sluice_requests_in_flight (\d+)$/m
      .exec(await answer.text());
    return Number(figure![1]);
  }

  /** Waits until nothing is held that was not held at first. */
  async backAgain(): Promise<void> {
    let seen = "";
    await until(async () => {
      const inFlight = await this.inFlight();
      const fds = this.proxy.fds();
      seen =
        `${fds} descriptors (${this.fds} at first), ${inFlight} in flight,` +
        ` ${this.backend.open} open at the backend`;
      return fds <= this.fds && inFlight === 0 && this.backend.open === 0;
    }, {
      timeoutMs: SOON_MS,
      everyMs: 50,
      what: () => `all to be given back: ${seen}`,
    });
  }
}

/** Does each of these so many times, several at a time. */
async function each<T>(
  all: readonly T[],
  times: number,
  run: (one: T, index: number) => Promise<void>,
): Promise<number> {
  const work = Array.from({ length: times }, () => all).flat();
  let next = 0;
  await Promise.all(Array.from({ length: AT_ONCE }, async () => {
    while (next < work.length) {
      const index = next++;
      await run(work[index]!, index);
    }
  }));
  return work.length;
}

/** Bodies of refusals, by request path. */
const REFUSALS: Record<string, (size: number) => string> = {
  "/0": () => "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n",
  "/13": length,
  "/65536": length,
  "/1000000": length,
  "/chunked/13": chunked,
  "/chunked/200000": chunked,
  "/close/13": untilClose,
  "/close/200000": untilClose,
};

function length(size: number): string {
  return `HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n` +
    "x".repeat(size);
}

function chunked(size: number): string {
  const half = Math.floor(size / 2);
  return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" +
    `${half.toString(16)}\r\n${"x".repeat(half)}\r\n`.repeat(2) + "0\r\n\r\n";
}

function untilClose(size: number): string {
  return `HTTP/1.1 200 OK\r\n\r\n${"x".repeat(size)}`;
}

/** A backend that refuses by path; it never ends a body with framing. */
function refusing(): Promise<RawBackend> {
  return rawBackend(async (conn, request) => {
    const { path } = request;
    const size = Number(path.slice(path.lastIndexOf("/") + 1));
    // The head by itself, as many servers send it.
    const text = REFUSALS[path]!(size);
    const body = text.indexOf("\r\n\r\n") + 4;
    await conn.send(text.slice(0, body));
    await conn.send(text.slice(body)).catch(() => {});
    if (path.startsWith("/close/")) await conn.end();
    await conn.closed;
  });
}

async function refusedBy(runtime: Runtime, backend: RawBackend) {
  return await startProxy(runtime, {
    env: { BACKENDS: backend.url, HEALTH_PATH: "off", ...ADMIN_ENV },
  });
}

/** Requests a WebSocket, and reads nothing. */
async function asking(port: number, path: string): Promise<RawConnection> {
  // A small window, so that what is not read does not lie in this process.
  const conn = await RawConnection.connect(port, { readAhead: 16 * 1024 });
  await conn.write(requestText("GET", path, { headers: [...ASKING] }));
  return conn;
}

// On Deno a client that left as its connection to a backend was opened cost that
// connection for good: 464 of 1,200.
for (const scheme of ["http", "https", "unix"] as const) {
  forBoth(
    `clients that abort while a connection is opened leak none, ${scheme}: over sockets`,
    {
      timeoutMs: 60_000,
      ...scheme === "https" ? skippedWithout("openssl") : {},
    },
    async (runtime) => {
      const folder = await Deno.makeTempDir({ prefix: "sluice-" });
      await using ca = scheme === "https" ? await Authority.make() : undefined;
      await using backend = await rawBackend(async (conn, request) => {
        await request.body();
        // Each request opens a connection.
        await conn.reply({ body: "ok", framing: "close" });
      }, {
        allowProblems: true,
        ...ca === undefined ? {} : { tls: await ca.sign(HERE) },
        ...scheme === "unix" ? { unix: `${folder}/socket` } : {},
      });
      await using proxy = await startProxy(runtime, {
        env: {
          BACKENDS: scheme === "https"
            ? `https://localhost:${backend.port}`
            : backend.url,
          ...ca === undefined ? {} : { BACKEND_CA: `${ca.folder}/ca.pem` },
          TRANSPORT: "socket",
          HEALTH_PATH: "off",
          EJECT_AFTER: "off",
          ...ADMIN_ENV,
        },
        permissions: ["--allow-read", "--allow-write"],
      });
      const post = requestText("POST", "/", { body: "x" });
      const visits = async () => {
        const conns = await Promise.all(
          Array.from({ length: 40 }, () => RawConnection.connect(proxy.port)),
        );
        // The proxy sees in one turn that they have asked, and a moment later in
        // one turn that they have left and that it is connected.
        proxy.signal("SIGSTOP");
        for (const conn of conns) await conn.write(post);
        proxy.signal("SIGCONT");
        await delay(1 + Math.random() * 4);
        proxy.signal("SIGSTOP");
        for (const conn of conns) await conn.close();
        proxy.signal("SIGCONT");
      };
      // What one costs for good, such as a thread, is no leak.
      await visits();
      const held = await Held.now(proxy, backend);
      for (let i = 0; i < 15; i++) await visits();
      await held.backAgain();
      await Deno.remove(folder, { recursive: true });
    },
  );
}

forBoth(
  "200 refused WebSockets leak nothing: read, unread and cut",
  { timeoutMs: 120_000 },
  async (runtime) => {
    // Each refusal of 1 byte to 64 KB kept its connection to the backend for
    // ever, so a client could use up all descriptors with GET alone.
    await using backend = await refusing();
    await using proxy = await refusedBy(runtime, backend);
    for (const path of Object.keys(REFUSALS)) {
      await using conn = await asking(proxy.port, path);
      assert.equal((await conn.readResponse()).complete, true, path);
    }
    const held = await Held.now(proxy, backend);
    const ways: [path: string, how: string][] = Object.keys(REFUSALS)
      .flatMap((path) =>
        ["read", "kept", "unread", "cut", "reset"]
          .map((how): [string, string] => [path, how])
      );
    const kept: RawConnection[] = [];
    const count = await each(ways, 5, async ([path, how]) => {
      const conn = await asking(proxy.port, path);
      if (how === "read" || how === "kept") {
        const answer = await conn.readResponse();
        assert.equal(answer.complete, true, `${path} ${answer.problem}`);
      } else {
        // It has arrived, in the proxy or before it.
        await until(() => conn.wire.buffered > 0, { what: path });
      }
      if (how === "kept") kept.push(conn);
      else if (how === "reset") await conn.reset();
      else if (how === "cut") await conn.end().then(() => conn.close());
      else await conn.close();
    });
    assert.ok(count >= 200, String(count));
    // Clients that stay hold no connection to the backend.
    await until(() => backend.open === 0, {
      timeoutMs: SOON_MS,
      what: () => `the backend's connections to end: ${backend.open} open`,
    });
    for (const conn of kept) await conn.close();
    await held.backAgain();
  },
);

forBoth(
  "refusals that their clients do not read cost a backend no connection up to 64 KB",
  { timeoutMs: 60_000 },
  async (runtime) => {
    await using backend = await refusing();
    await using proxy = await refusedBy(runtime, backend);
    const held = await Held.now(proxy, backend);
    const small = ["/0", "/13", "/65536", "/chunked/13", "/close/13"];
    const conns: RawConnection[] = [];
    await each(small, 4, async (path) => {
      const conn = await asking(proxy.port, path);
      conn.wire.pause();
      conns.push(conn);
    });
    await backend.waitForRequests(conns.length);
    await until(() => backend.open === 0, {
      timeoutMs: SOON_MS,
      what: () => `the backend's connections to end: ${backend.open} open`,
    });
    for (const conn of conns) await conn.close();
    await held.backAgain();
  },
);

/** The point at which a WebSocket is cut. */
const STAGES = [
  "before the 101",
  "as the 101 comes",
  "at the 101",
  "after a frame",
  "in a frame",
] as const;
/** Which side cuts it, and how. */
const CUTS = [
  ["client", "reset"],
  ["client", "close"],
  ["backend", "reset"],
  ["backend", "close"],
] as const;

forBoth(
  "200 WebSockets leak nothing, cut at every stage by either side",
  { timeoutMs: 120_000 },
  async (runtime) => {
    // Of 30 clients that died when their 101 came, ten left their backend's
    // connection open on Deno, and all of them one of the proxy's.
    const cut = new Map<string, () => Promise<void>>();
    await using backend = await rawBackend(async (conn, request) => {
      const [, stage, side, how] = request.path.split("/").map(
        decodeURIComponent,
      );
      const end = () =>
        side === "client"
          ? cut.get(request.target)!()
          : how === "reset"
          ? conn.reset()
          : conn.close();
      if (stage === "before the 101") {
        await end();
        await conn.closed;
        return;
      }
      if (stage === "as the 101 comes" && side === "client") await end();
      const frames = await grant(conn, request);
      if (stage === "as the 101 comes" && side === "backend") await end();
      if (stage === "after a frame") await frames.text("hello");
      if (stage === "in a frame") {
        await frames.wire.write(frameBytes(0x81, "hello", false).slice(0, 4));
      }
      if (side === "backend") {
        // The client has its 101, and what else there was.
        await until(() => cut.get(request.target) === undefined);
        await end();
      } else {
        await frames.rest();
        await conn.close();
      }
    });
    await using proxy = await startProxy(runtime, {
      env: {
        BACKENDS: backend.url,
        HEALTH_PATH: "off",
        EJECT_AFTER: "off",
        ...ADMIN_ENV,
      },
    });
    const ways = STAGES.flatMap((stage) =>
      CUTS.map(([side, how]) => [stage, side, how] as const)
    );
    let seen = 0;
    const run = async (
      [stage, side, how]: typeof ways[number],
      index: number,
    ) => {
      const target = "/" +
        [stage, side, how, String(index)].map(encodeURIComponent).join("/");
      const conn = await RawConnection.connect(proxy.port);
      const end = () => how === "reset" ? conn.reset() : conn.close();
      cut.set(target, end);
      await conn.write(requestText("GET", target, { headers: [...ASKING] }));
      const early = stage === "before the 101" || stage === "as the 101 comes";
      if (early) {
        await (side === "client" ? conn.closed : conn.readResponse());
      } else {
        assert.equal((await conn.readHead()).status, 101);
        if (stage === "after a frame") await conn.readExactly(7);
        if (stage === "in a frame" && side === "client") {
          await conn.write(frameBytes(0x81, "hello", true).slice(0, 8));
        }
        if (side === "client") await end();
        cut.delete(target);
        // On Deno a close frame comes, which this client does not answer.
        if (side === "backend") {
          await Promise.race([conn.closed, conn.wire.readSome()])
            .catch(() => {});
        }
      }
      cut.delete(target);
      await conn.close();
      seen++;
    };
    await each(ways, 1, run);
    const held = await Held.now(proxy, backend);
    await each(ways, 10, run);
    assert.equal(seen, 11 * ways.length);
    await held.backAgain();
    // And it still works.
    await using asked = await ask(proxy.port, "/after%20a%20frame/client");
    assert.equal(asked.status, 101);
    await asked.conn.close();
    await held.backAgain();
  },
);

forBoth(
  "Deno keeps a connection whose client was reset while its 101 was sent (a limit)",
  {
    // Bun reports that the client has left, and closes the connection.
    runtimes: ["deno"],
  },
  async (runtime) => {
    // The reverse is asserted, of a server without our code: this is why the
    // proxy checks that the client is connected before it upgrades. If this
    // fails, the check can be removed.
    await using server = await startProxy(runtime, {
      entry: "e2e/websocket/late_upgrade.ts",
    });
    const ask = async () => {
      const conn = await RawConnection.connect(server.port);
      await conn.write(requestText("GET", "/", { headers: [...ASKING] }));
      return conn;
    };
    const before = server.fds();
    for (let i = 1; i <= 5; i++) {
      const conn = await ask();
      await server.waitForLines(/asked/, i);
      await conn.reset();
      await server.waitForLines(/upgraded/, i);
    }
    await delay(500);
    assert.ok(server.fds() >= before + 5, `${before}, ${server.fds()}`);
    assert.doesNotMatch(server.log, /open|error|close/);
  },
);

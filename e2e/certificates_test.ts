/**
 * Certificates that are replaced while the proxy runs.
 */

import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { ADMIN_ENV, adminUrl } from "./harness/admin.ts";
import { rawBackend, type RawConn } from "./harness/backend.ts";
import { RawConnection, rawRequest, requestText } from "./harness/client.ts";
import {
  type ProxyProcess,
  runProgram,
  type Runtime,
  startProxy,
} from "./harness/proxy.ts";
import {
  type CaseOptions,
  forBoth,
  forOnce,
  skippedWithout,
} from "./harness/suite.ts";
import { until } from "./harness/wait.ts";
import { Authority, HERE, type Pair } from "./tls/certificates.ts";
import { shownAt } from "./tls/shown.ts";
import { swapUnderLoad } from "./tls/swap.ts";
import { ask, grant } from "./websocket/raw.ts";

const OPENSSL: CaseOptions = {
  ...skippedWithout("openssl"),
  timeoutMs: 120_000,
};

const GET = requestText("GET", "/");

/** A proxy with a certificate in two files, which can be written anew. */
async function withFiles(
  runtime: Runtime,
  ca: Authority,
  backends: string,
  env: Record<string, string> = {},
) {
  const write = ({ cert, key }: Pair) =>
    Promise.all([ca.write("front.pem", cert), ca.write("front.key", key)]);
  const [cert, key] = await write(await ca.sign(HERE));
  const proxy = await startProxy(runtime, {
    env: { BACKENDS: backends, TLS_CERT: cert, TLS_KEY: key, ...env },
    permissions: [`--allow-read=${ca.folder}`],
  });
  return { proxy, write };
}

/** Waits for so many lines that say that a certificate was loaded. */
function taken(proxy: ProxyProcess, count: number): Promise<string[]> {
  return proxy.waitForLines(/TLS_CERT read, used for new connections/, count);
}

// A renewed certificate was served after a restart only: neither runtime can
// replace the certificate of a running server, and a second listener next to
// the first lost connections that the first had queued.
for (const workers of [1, 2]) {
  forBoth(
    `certificates are replaced under load, and no connection is lost, WORKERS=${workers}`,
    OPENSSL,
    async (runtime) => {
      const swaps = 6;
      const { failures, stale, certificates, standing, connections } =
        await swapUnderLoad(runtime, {
          swaps,
          perSecond: 50,
          pauseMs: 500,
          workers,
        });
      assert.deepEqual(failures, []);
      assert.equal(stale, 0);
      assert.equal(certificates, swaps + 1);
      assert.equal(standing, swaps);
      assert.ok(connections > 100);
    },
  );
}

// Each writes new files in its own way, and a watcher of one file name would
// miss one or the other.
forBoth(
  "a renewed certificate is noticed, whichever way its files are replaced",
  OPENSSL,
  async (runtime) => {
    await using ca = await Authority.make();
    await using backend = await rawBackend();
    // As certbot has it: links to numbered files in another folder.
    const { folder } = ca;
    await Deno.mkdir(`${folder}/archive`);
    await Deno.mkdir(`${folder}/live`);
    const names = { cert: "fullchain", key: "privkey" };
    const files = (turn: number, { cert, key }: Pair) => {
      Deno.writeTextFileSync(`${folder}/archive/fullchain${turn}.pem`, cert);
      Deno.writeTextFileSync(`${folder}/archive/privkey${turn}.pem`, key);
    };
    const link = (name: string, turn: number) => {
      Deno.symlinkSync(
        `../archive/${name}${turn}.pem`,
        `${folder}/live/${name}.new`,
      );
      Deno.renameSync(
        `${folder}/live/${name}.new`,
        `${folder}/live/${name}.pem`,
      );
    };
    files(1, await ca.sign(HERE));
    link(names.cert, 1);
    link(names.key, 1);
    const [cert, key] = [
      `${folder}/live/fullchain.pem`,
      `${folder}/live/privkey.pem`,
    ];
    await using proxy = await startProxy(runtime, {
      env: {
        BACKENDS: backend.url,
        TLS_CERT: cert,
        TLS_KEY: key,
        ...ADMIN_ENV,
      },
      permissions: [`--allow-read=${cert},${key}`],
    });
    assert.equal(await shownAt(proxy.port), "leaf0");

    files(2, await ca.sign(HERE, 60));
    link(names.key, 2);
    link(names.cert, 2);
    const [line] = await taken(proxy, 1);
    assert.match(
      line!,
      /^sluice: .*: localhost, sluice\.test, 127\.0\.0\.1, .*1, valid until \d{4}-\d\d-\d\d \(59 days\)$/,
    );
    assert.equal(await shownAt(proxy.port), "leaf1");

    // In place, one after the other, as an editor does.
    const third = await ca.sign(HERE);
    await Deno.writeTextFile(cert, third.cert);
    await Deno.writeTextFile(key, third.key);
    await taken(proxy, 2);
    assert.equal(await shownAt(proxy.port), "leaf2");

    const page = await fetch(`${await adminUrl(proxy)}/metrics`);
    const [, value] = /^sluice_certificate_expiry_seconds (\S+)$/m.exec(
      await page.text(),
    ) ?? [];
    const days = (Number(value) * 1000 - Date.now()) / 86_400_000;
    assert.ok(days > 1.9 && days <= 2, String(days));
  },
);

forBoth(
  "a certificate that cannot be used is refused with one line, and the old one stays",
  OPENSSL,
  async (runtime) => {
    await using ca = await Authority.make();
    await using backend = await rawBackend();
    const { proxy, write } = await withFiles(runtime, ca, backend.url);
    await using _ = proxy;
    const [one, two] = [await ca.sign(HERE), await ca.sign(HERE)];
    const cases: [pair: Pair, wants: RegExp][] = [
      [
        { cert: one.cert, key: two.key },
        /TLS_KEY does not belong to the first/,
      ],
      [{ cert: "", key: one.key }, /TLS_CERT contains no PEM/],
      [{ cert: one.cert.slice(0, 300), key: one.key }, /TLS_CERT .* be read/],
      [{ cert: one.cert, key: one.key.slice(0, 100) }, /TLS_KEY .* be read/],
      [{ cert: one.cert, key: one.cert }, /TLS_KEY contains no PEM/],
    ];
    for (const [pair, wants] of cases) {
      const before = proxy.stderr.length;
      await write(pair);
      await until(() => proxy.stderr.length > before, {
        timeoutMs: 5_000,
        what: () => `a line that matches ${wants}`,
      });
      // Twice the interval at which it would be logged again.
      const { length } = proxy.stderr;
      await until(() => proxy.stderr.length > length, { timeoutMs: 1_200 })
        .catch(() => {});
      assert.equal(proxy.stderr.length, before + 1, proxy.log);
      assert.match(proxy.stderr.at(-1)!, wants);
      assert.match(proxy.stderr.at(-1)!, /the old certificate stays$/);
      assert.equal(await shownAt(proxy.port), "leaf0");
    }
    await Deno.remove(`${ca.folder}/front.key`);
    await proxy.waitForLine(/cannot be read \(.*front\.key.*old certificate/);
    await write(two);
    await taken(proxy, 1);
    assert.equal(await shownAt(proxy.port), "leaf2");
    assert.doesNotMatch(proxy.log, /MI[GIH][A-Za-z0-9+/]{10}/);
  },
);

forBoth(
  "SIGHUP reloads certificate and backends, and logs the result",
  OPENSSL,
  async (
    runtime,
  ) => {
    await using ca = await Authority.make();
    await using backend = await rawBackend();
    const list = await ca.write("backends", backend.url);
    await using proxy = await startProxy(runtime, {
      env: {
        BACKENDS_FILE: list,
        ...await (async () => {
          const { cert, key } = await ca.sign(HERE);
          return {
            TLS_CERT: await ca.write("front.pem", cert),
            TLS_KEY: await ca.write("front.key", key),
          };
        })(),
      },
      permissions: [`--allow-read=${ca.folder}`],
    });
    proxy.signal("SIGHUP");
    await proxy.waitForLine(/TLS_CERT read again, unchanged: localhost/);
    await proxy.waitForLine(/BACKENDS_FILE read: 1 backend/);
  },
);

// Connections with earlier certificates keep working.
forBoth(
  "what an earlier certificate's connections have under way is finished on SIGTERM",
  OPENSSL,
  async (runtime) => {
    await using ca = await Authority.make();
    const waiting: RawConn[] = [];
    await using backend = await rawBackend(async (conn, request) => {
      if (request.header("upgrade") !== undefined) {
        const frames = await grant(conn, request);
        await frames.text(await frames.shown());
        return;
      }
      if (request.target === "/soon") return await conn.reply();
      waiting.push(conn);
      await until(() => waiting.length === 0, { timeoutMs: 20_000 });
      await conn.reply({ body: "late" });
    });
    const { proxy, write } = await withFiles(runtime, ca, backend.url);
    await using _ = proxy;
    const options = { tls: { ca: ca.cert, servername: "localhost" } };
    const clients: RawConnection[] = [];
    const late: RawConnection[] = [];
    try {
      for (let i = 0; i < 3; i++) {
        const client = await RawConnection.connect(proxy.port, options);
        clients.push(client);
        late.push(client);
        await client.write(GET);
        await until(() => waiting.length === i + 1, { timeoutMs: 5_000 });
        // Idle connections must not delay it. `stop()` of Bun waits for a
        // connection that never sent a request, with TLS and without.
        const idle = await RawConnection.connect(proxy.port, options);
        clients.push(idle);
        if (runtime === "bun") await idle.request(requestText("GET", "/soon"));
        else clients.push(await RawConnection.connect(proxy.port));
        await write(await ca.sign(HERE));
        await taken(proxy, i + 1);
      }
      await using socket = await ask(proxy.port, "/", [], options);
      assert.equal(socket.status, 101);
      const started = performance.now();
      proxy.signal("SIGTERM");
      assert.equal(await socket.frames.shown(), "close 1001");
      await socket.frames.close(1001);
      waiting.length = 0;
      for (const client of late) {
        assert.equal((await client.readResponse()).text, "late");
      }
      assert.equal((await proxy.waitForExit(15_000)).code, 0);
      // Well below DRAIN_TIMEOUT, the time that an abort would take.
      assert.ok(performance.now() - started < 8_000);
    } finally {
      for (const client of clients) await client.close();
    }
  },
);

forBoth(
  "--check warns of a certificate that expires within 14 days",
  OPENSSL,
  async (
    runtime,
  ) => {
    await using ca = await Authority.make();
    await using backend = await rawBackend();
    const check = async (days: number) => {
      const { cert, key } = await ca.sign(HERE, days);
      const { code, stdout } = await runProgram(runtime, {
        env: {
          BACKENDS: backend.url,
          TLS_CERT: await ca.write("front.pem", cert),
          TLS_KEY: await ca.write("front.key", key),
        },
        permissions: [`--allow-read=${ca.folder}`],
        args: ["--check"],
      });
      assert.equal(code, 0, stdout);
      return stdout;
    };
    assert.match(
      await check(10),
      /^TLS_CERT: ".*front\.pem": the certificate expires on \d{4}-\d\d-\d\d, in 9 days$/m,
    );
    assert.doesNotMatch(await check(16), /expires/);
  },
);

forBoth(
  "serve() replaces the certificate by setCertificate()",
  OPENSSL,
  async (
    runtime,
  ) => {
    await using ca = await Authority.make();
    const [one, two] = [await ca.sign(HERE), await ca.sign(HERE)];
    for (const [name, pair] of Object.entries({ one, two })) {
      await ca.write(`${name}.pem`, pair.cert);
      await ca.write(`${name}.key`, pair.key);
    }
    const { code, stdout, stderr } = await runProgram(runtime, {
      entry: "e2e/tls/library.ts",
      args: [ca.folder],
      permissions: [`--allow-read=${ca.folder}`],
    });
    assert.equal(stderr, "");
    // The metrics of the library lacked it.
    const { validTo } = new X509Certificate(two.cert);
    const expiry = String(Date.parse(validTo) / 1000);
    assert.deepEqual(stdout.trim().split("\n"), [
      "leaf0",
      "TypeError: key does not belong to the first certificate in cert",
      "leaf0",
      "leaf1",
      expiry,
      "Error: there is no TLS",
      "Error: it is closed",
    ]);
    assert.equal(code, 0);
  },
);

// Neither Deno's internals nor Bun's event loop are guaranteed to stay the
// same.
forBoth(
  "if a certificate cannot be replaced, everything else works and the log says so",
  OPENSSL,
  async (runtime) => {
    await using ca = await Authority.make();
    await using backend = await rawBackend(async (conn, request) => {
      if (request.header("upgrade") === undefined) return await conn.reply();
      await (await grant(conn, request)).text("hello");
    });
    const { cert, key } = await ca.sign(HERE);
    await using proxy = await startProxy(runtime, {
      entry: "e2e/inside/without_tls.ts",
      env: {
        BACKENDS: backend.url,
        TLS_CERT: await ca.write("front.pem", cert),
        TLS_KEY: await ca.write("front.key", key),
      },
      permissions: [`--allow-read=${ca.folder}`],
    });
    const other = await ca.sign(HERE);
    await ca.write("front.pem", other.cert);
    await ca.write("front.key", other.key);
    await proxy.waitForLine(
      /TLS_CERT cannot be replaced while running \(.*\): the old certificate stays until a restart$/,
    );
    assert.equal(await shownAt(proxy.port), "leaf0");
    const options = { tls: { ca: ca.cert, servername: "localhost" } };
    assert.equal((await rawRequest(proxy.port, GET, options)).status, 200);
    await using socket = await ask(proxy.port, "/", [], options);
    assert.equal(await socket.frames.shown(), "text hello");
  },
);

// If this fails, Bun has a public way, and `runtime/bun/listen_tls.ts` can use
// it.
forOnce(
  "Bun.serve() keeps its certificate when it is given another",
  OPENSSL,
  async () => {
    await using ca = await Authority.make();
    const [one, two] = [await ca.sign(HERE), await ca.sign(HERE)];
    const { stdout, stderr } = await runProgram("bun", {
      entry: "e2e/tls/reload.ts",
      env: { ONE: JSON.stringify(one), TWO: JSON.stringify(two) },
    });
    assert.equal(stderr, "");
    assert.equal(stdout, "leaf0 leaf0\n");
  },
);

// When this fails, `runtime/deno/listen_tls.ts` can do with two `Deno.serve()`.
forOnce(
  "Deno.serve() ends the connections that it has when it stops listening",
  OPENSSL,
  async () => {
    await using ca = await Authority.make();
    const { cert, key } = await ca.sign(HERE);
    const server = Deno.serve(
      { port: 0, hostname: "127.0.0.1", cert, key, onListen() {} },
      () => new Response("x"),
    );
    await using client = await RawConnection.connect(server.addr.port, {
      tls: { ca: ca.cert, servername: "localhost" },
    });
    assert.equal((await client.request(GET)).text, "x");
    const stopped = server.shutdown();
    await client.waitForClose();
    await stopped;
  },
);

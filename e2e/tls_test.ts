/**
 * TLS in front and TLS behind, with certificates that each test makes.
 */

import assert from "node:assert/strict";
import { rawBackend } from "./harness/backend.ts";
import { rawRequest, requestText } from "./harness/client.ts";
import { startProxy } from "./harness/proxy.ts";
import { type CaseOptions, forBoth, skippedWithout } from "./harness/suite.ts";
import { Authority, HERE } from "./tls/certificates.ts";
import { ask, type Frames, grant } from "./websocket/raw.ts";

const OPENSSL = skippedWithout("openssl");

/** Environment and permission for a listener with TLS. */
async function front(ca: Authority) {
  const { cert, key } = await ca.sign(HERE);
  return {
    env: {
      TLS_CERT: await ca.write("front.pem", cert),
      TLS_KEY: await ca.write("front.key", key),
    },
    permissions: [`--allow-read=${ca.folder}`],
  };
}

async function run(command: string, args: string[]): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command(command, {
    args,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    signal: AbortSignal.timeout(60_000),
  }).output();
  const decoder = new TextDecoder();
  assert.equal(code, 0, decoder.decode(stderr));
  return decoder.decode(stdout);
}

forBoth("TLS in front: HTTP/1.1, and HTTP/2 where the runtime supports it", {
  ...skippedWithout("openssl", "curl"),
}, async (runtime) => {
  await using ca = await Authority.make();
  await using backend = await rawBackend(async (conn, request) =>
    await conn.reply({ body: `${request.method} ${await request.text()}` })
  );
  const { env, permissions } = await front(ca);
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: backend.url, ...env },
    permissions,
  });
  assert.match(proxy.url, /^https:/);
  const url = `https://localhost:${proxy.port}/a?b`;
  const curl = (...args: string[]) =>
    run("curl", [
      "-s",
      "--max-time",
      "20",
      "--cacert",
      `${ca.folder}/ca.pem`,
      "-w",
      " %{http_version} %{http_code}",
      ...args,
      url,
    ]);
  assert.equal(await curl("--http1.1"), "GET  1.1 200");
  const second = runtime === "deno" ? "2" : "1.1";
  assert.equal(await curl("--http2"), `GET  ${second} 200`);
  assert.equal(
    await curl("--http2", "-d", "hello"),
    `POST hello ${second} 200`,
  );
  for (const request of backend.requests) {
    assert.equal(request.header("x-forwarded-proto"), "https");
    assert.equal(request.header("host"), `localhost:${proxy.port}`);
    assert.equal(request.target, "/a?b");
  }
  assert.equal(backend.requests.length, 3);
});

forBoth("TLS in front: WebSocket", OPENSSL, async (runtime) => {
  await using ca = await Authority.make();
  let there: Frames | undefined;
  await using backend = await rawBackend(async (conn, request) => {
    there = await grant(conn, request);
    await there.text("hello");
  });
  const { env, permissions } = await front(ca);
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: backend.url, ...env },
    permissions,
  });
  await using asked = await ask(proxy.port, "/", [], {
    tls: { ca: ca.cert, servername: "localhost" },
  });
  assert.equal(asked.status, 101);
  assert.equal(await asked.frames.shown(), "text hello");
  await asked.frames.send(0x82, new Uint8Array(1 << 20));
  assert.equal(await there!.shown(), `binary ${1 << 20}`);
  assert.equal(backend.requests[0]!.header("x-forwarded-proto"), "https");
});

forBoth("TLS in front: 1,000 streams of HTTP/2 without an error", {
  ...skippedWithout("openssl", "h2load"),
  // Bun's server speaks HTTP/1.1 here.
  runtimes: ["deno"],
  timeoutMs: 60_000,
}, async (runtime) => {
  await using ca = await Authority.make();
  await using backend = await rawBackend();
  const { env, permissions } = await front(ca);
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: backend.url, ...env },
    permissions,
  });
  const text = await run("h2load", [
    "-n",
    "1000",
    "-c",
    "10",
    "-m",
    "100",
    `https://localhost:${proxy.port}/`,
  ]);
  assert.match(text, /1000 total, .*1000 succeeded, 0 failed, 0 errored/);
  assert.match(text, /1000 2xx/);
});

/** What `https:` backends are reached with. */
const BEHIND: CaseOptions = { ...OPENSSL, timeoutMs: 60_000 };

forBoth(
  "TLS behind: a private authority, and the backend's own Host",
  BEHIND,
  async (runtime) => {
    await using ca = await Authority.make();
    await using backend = await rawBackend(async (conn, request) => {
      if (request.header("upgrade") !== undefined) {
        return await (await grant(conn, request)).text("hello");
      }
      await conn.reply({ body: await request.text() });
    }, { tls: await ca.sign(HERE) });
    const url = `https://localhost:${backend.port}`;
    await using proxy = await startProxy(runtime, {
      env: { BACKENDS: url, BACKEND_CA: `${ca.folder}/ca.pem` },
      permissions: [`--allow-read=${ca.folder}`],
    });
    // Up by a probe, and the program has listened after it.
    assert.ok(backend.probes.length > 0);
    const answer = await rawRequest(
      proxy.port,
      requestText("POST", "/", { body: "hello" }),
    );
    assert.equal(answer.text, "hello");
    await using asked = await ask(proxy.port);
    assert.equal(asked.status, 101);
    assert.equal(await asked.frames.shown(), "text hello");
    for (const request of backend.requests) {
      assert.equal(request.header("host"), `localhost:${backend.port}`);
      assert.equal(request.header("x-forwarded-host"), "sluice.test");
    }
    assert.equal(backend.requests.length, 2);
  },
);

forBoth(
  "TLS behind: a client certificate is sent, and required",
  BEHIND,
  async (runtime) => {
    await using ca = await Authority.make();
    const { cert, key } = await ca.sign("DNS:client");
    await using backend = await rawBackend(async (conn, request) => {
      if (request.header("upgrade") !== undefined) {
        return await (await grant(conn, request)).text("hello");
      }
      await conn.reply({ body: "ok" });
    }, { tls: { ...await ca.sign(HERE), ca: ca.cert, requestCert: true } });
    const permissions = [`--allow-read=${ca.folder}`];
    const env = {
      BACKENDS: `https://localhost:${backend.port}`,
      BACKEND_CA: `${ca.folder}/ca.pem`,
      BACKEND_CERT: await ca.write("client.pem", cert),
      BACKEND_KEY: await ca.write("client.key", key),
    };
    await using proxy = await startProxy(runtime, { env, permissions });
    const answer = await rawRequest(proxy.port, requestText("GET", "/"));
    assert.equal(answer.status, 200);
    await using asked = await ask(proxy.port);
    assert.equal(asked.status, 101);
  },
);

forBoth(
  "TLS behind: a wrong name, an expired and an unknown certificate are 502, and never plain",
  { ...BEHIND, timeoutMs: 90_000 },
  async (runtime) => {
    await using ca = await Authority.make();
    await using stranger = await Authority.make();
    for (
      const [why, tls] of [
        ["a wrong name", await ca.sign("DNS:other.test")],
        ["expired", await ca.sign(HERE, -1)],
        ["unknown issuer", await stranger.sign(HERE)],
      ] as const
    ) {
      await using backend = await rawBackend(undefined, { tls });
      await using proxy = await startProxy(runtime, {
        env: {
          BACKENDS: `https://localhost:${backend.port}`,
          BACKEND_CA: `${ca.folder}/ca.pem`,
          HEALTH_PATH: "off",
          EJECT_AFTER: "2",
        },
        permissions: [`--allow-read=${ca.folder}`],
      });
      const answer = await rawRequest(proxy.port, requestText("GET", "/"));
      assert.equal(answer.status, 502, why);
      assert.match(
        answer.header("proxy-status") ?? "",
        /tls_certificate_error/,
        why,
      );
      await using asked = await ask(proxy.port);
      assert.equal(asked.status, 502, why);
      assert.match(
        asked.header("proxy-status") ?? "",
        /tls_certificate_error/,
        why,
      );
      assert.equal(backend.requests.length, 0, why);
    }
  },
);

forBoth(
  "TLS behind: such a certificate is an outcome, and ejects a backend",
  { ...BEHIND },
  async (runtime) => {
    await using ca = await Authority.make();
    await using bad = await rawBackend(undefined, {
      tls: await ca.sign("DNS:other.test"),
    });
    await using good = await rawBackend(undefined, {
      tls: await ca.sign(HERE),
    });
    await using proxy = await startProxy(runtime, {
      env: {
        // With two names: both are servers of this process, and would take a
        // TLS session of the one for a session of the other.
        BACKENDS:
          `https://localhost:${bad.port}, https://127.0.0.1:${good.port}`,
        BACKEND_CA: `${ca.folder}/ca.pem`,
        HEALTH_PATH: "off",
        EJECT_AFTER: "2",
      },
      permissions: [`--allow-read=${ca.folder}`],
    });
    // Nothing was sent, so each request is answered by the other.
    for (let i = 0; i < 6; i++) {
      const answer = await rawRequest(
        proxy.port,
        requestText("POST", "/", { body: "x" }),
      );
      assert.equal(answer.status, 200);
    }
    await proxy.waitForLine(/eject/i);
    assert.equal(bad.requests.length, 0);
  },
);

forBoth(
  "TLS behind: a plain server on an https: URL is 502",
  BEHIND,
  async (runtime) => {
    // Like usual servers, it answers what it cannot parse with 400.
    const server = Deno.listen({ port: 0, hostname: "127.0.0.1" });
    const serving = (async () => {
      for await (const conn of server) {
        await conn.read(new Uint8Array(1024)).catch(() => {});
        await conn.write(new TextEncoder().encode("HTTP/1.1 400 No\r\n\r\n"))
          .catch(() => {});
        conn.close();
      }
    })();
    try {
      await using proxy = await startProxy(runtime, {
        env: {
          BACKENDS: `https://127.0.0.1:${server.addr.port}`,
          HEALTH_PATH: "off",
        },
      });
      const answer = await rawRequest(proxy.port, requestText("GET", "/"));
      await using asked = await ask(proxy.port);
      for (const one of [answer, asked]) {
        assert.equal(one.status, 502);
        assert.match(one.header("proxy-status") ?? "", /tls_protocol_error/);
      }
    } finally {
      server.close();
      await serving;
    }
  },
);

forBoth(
  "TLS behind: a private authority is trusted in addition to the usual ones",
  BEHIND,
  async (runtime) => {
    await using ca = await Authority.make();
    await using usual = await Authority.make();
    await using one = await rawBackend(undefined, { tls: await ca.sign(HERE) });
    await using two = await rawBackend(async (conn, request) => {
      if (request.header("upgrade") === undefined) return await conn.reply();
      await grant(conn, request);
    }, { tls: await usual.sign(HERE) });
    const authority = `${usual.folder}/ca.pem`;
    await using proxy = await startProxy(runtime, {
      env: {
        BACKENDS:
          `https://localhost:${two.port}, https://localhost:${one.port} backup`,
        BACKEND_CA: `${ca.folder}/ca.pem`,
        // How each runtime is usually given an additional authority.
        DENO_CERT: authority,
        NODE_EXTRA_CA_CERTS: authority,
      },
      permissions: [`--allow-read=${ca.folder}`],
    });
    const answer = await rawRequest(proxy.port, requestText("GET", "/"));
    assert.equal(answer.status, 200);
    assert.equal(two.requests.length, 1);
    await using asked = await ask(proxy.port);
    assert.equal(asked.status, 101);
    assert.equal(two.requests.length, 2);
    assert.ok(one.probes.length > 0);
  },
);

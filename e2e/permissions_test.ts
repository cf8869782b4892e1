/**
 * The permission flags that `--check` prints are used unchanged, with each
 * feature that needs some of them.
 */

import assert from "node:assert/strict";
import { ADMIN_ENV, adminUrl } from "./harness/admin.ts";
import { type RawBackend, rawBackend } from "./harness/backend.ts";
import { rawRequest, requestText } from "./harness/client.ts";
import { runProgram, sentBy, startProxy } from "./harness/proxy.ts";
import { type CaseOptions, forBoth, skippedWithout } from "./harness/suite.ts";
import { Authority, HERE } from "./tls/certificates.ts";
import { ask, grant } from "./websocket/raw.ts";

/** Bun has no permissions; its `--check` prints the line for Deno all the same. */
const DENO: CaseOptions = { runtimes: ["deno"], timeoutMs: 60_000 };

/** A backend for requests and for WebSocket. */
function backendAt(
  options: Parameters<typeof rawBackend>[1] = {},
): Promise<RawBackend> {
  return rawBackend(async (conn, request) => {
    if (request.header("upgrade") === undefined) {
      return await conn.reply({ body: "ok" });
    }
    await (await grant(conn, request)).text("hello");
  }, options);
}

/** Settings, and what the printed line must say besides the permissions. */
interface Feature {
  env: Record<string, string>;
  /** Permissions of `--check` itself, which has to read the files too. */
  permissions?: readonly string[];
  line?: RegExp;
  tls?: string;
}

/** Runs `--check`, then the program with the line that it prints. */
async function runs({ env, permissions = [], line: wanted, tls }: Feature) {
  const checked = await runProgram("deno", {
    env,
    permissions,
    args: ["--check"],
  });
  assert.equal(checked.code, 0, checked.stdout + checked.stderr);
  const [, line] = /^deno run (.+) mod\.ts$/m.exec(checked.stdout) ?? [];
  assert.ok(line, checked.stdout);
  if (wanted !== undefined) assert.match(line, wanted);
  await using proxy = await startProxy("deno", {
    env,
    denoFlags: line.split(" "),
  });
  for (let i = 0; i < 4; i++) {
    const answer = await rawRequest(
      proxy.port,
      // Hosts that no permission can name beforehand.
      i < 2
        ? requestText("GET", "/", { host: `h${i}.test` })
        : requestText("POST", "/", { host: `h${i}.test`, body: "x" }),
      tls === undefined ? {} : { tls: { ca: tls, servername: "localhost" } },
    );
    assert.equal(answer.text, "ok", proxy.log);
  }
  await using asked = await ask(
    proxy.port,
    "/",
    [],
    tls === undefined ? {} : { tls: { ca: tls, servername: "localhost" } },
  );
  assert.equal(asked.status, 101, proxy.log);
  assert.equal(await asked.frames.shown(), "text hello");
  assert.doesNotMatch(
    proxy.log,
    /NotCapable|not allowed to connect|may not be read|Requires/,
  );
}

forBoth(
  "the printed permissions do for a backend by address and by name",
  DENO,
  async () => {
    await using backend = await backendAt();
    await runs({
      env: { BACKENDS: backend.url, ACCESS_LOG: "json" },
      line: /--allow-net=127\.0\.0\.1:0,127\.0\.0\.1:\d+ /,
    });
    await runs({
      env: { BACKENDS: `http://localhost:${backend.port}` },
      line: /--allow-net=127\.0\.0\.1:0,localhost:\d+ /,
    });
  },
);

// Every request was answered 503: in addition to the file, Deno requires
// network permission for a socket, and with `fetch` for each host that a client
// names.
forBoth("the printed permissions do for a unix: backend", DENO, async () => {
  const folder = await Deno.makeTempDir({ prefix: "sluice-" });
  try {
    await using backend = await backendAt({
      unix: `${folder}/a.sock`,
      // Deno's `fetch` uses the absolute form there.
      health: "handler",
    });
    await runs({
      env: { BACKENDS: backend.url },
      permissions: ["--allow-read", "--allow-write"],
      line: sentBy("deno") === "fetch"
        ? /--allow-net --allow-env=\S+ --allow-read=\S+\.sock --allow-write=\S+\.sock$/
        : /--allow-net=127\.0\.0\.1:0,unix:\S+\.sock --allow-env=\S+ --allow-read=\S+\.sock --allow-write=\S+\.sock$/,
    });
    // When this is enough for `fetch` too, its line can be as narrow.
    await using narrow = await startProxy("deno", {
      env: { BACKENDS: backend.url, HEALTH_PATH: "off" },
      denoFlags: [
        "--no-prompt",
        `--allow-net=127.0.0.1:0,${backend.url}`,
        "--allow-env",
        `--allow-read=${folder}`,
        `--allow-write=${folder}`,
      ],
    });
    const answer = await rawRequest(narrow.port, requestText("GET", "/"));
    assert.equal(answer.status, sentBy("deno") === "fetch" ? 503 : 200);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

forBoth("the printed permissions do for TLS in front and behind", {
  ...DENO,
  ...skippedWithout("openssl"),
}, async () => {
  await using ca = await Authority.make();
  const front = await ca.sign(HERE);
  const client = await ca.sign("DNS:client");
  await using backend = await backendAt({
    tls: { ...await ca.sign(HERE), ca: ca.cert, requestCert: true },
  });
  const env = {
    BACKENDS: `https://localhost:${backend.port}`,
    BACKEND_CA: `${ca.folder}/ca.pem`,
    BACKEND_CERT: await ca.write("client.pem", client.cert),
    BACKEND_KEY: await ca.write("client.key", client.key),
    TLS_CERT: await ca.write("front.pem", front.cert),
    TLS_KEY: await ca.write("front.key", front.key),
  };
  const permissions = [`--allow-read=${ca.folder}`];
  await runs({ env, permissions, tls: ca.cert });
  await runs({
    env: { ...env, WORKERS: "2" },
    permissions,
    line: /^--no-prompt --allow-net=/,
    tls: ca.cert,
  });
});

forBoth("the printed permissions do for workers", DENO, async () => {
  await using backend = await backendAt();
  await runs({ env: { BACKENDS: backend.url, WORKERS: "2" } });
});

forBoth("the printed permissions do for resolve", DENO, async () => {
  await using backend = await backendAt();
  await runs({
    env: { BACKENDS: `http://localhost:${backend.port} resolve` },
    line: /--allow-net --allow-env=/,
  });
});

forBoth(
  "the printed permissions suffice for HTTP_PROXY with NO_PROXY",
  DENO,
  async () => {
    await using backend = await backendAt();
    const env = { BACKENDS: backend.url, NO_PROXY: "127.0.0.1" };
    await runs({ env: { ...env, HTTP_PROXY: "http://127.0.0.1:9" } });
    // Set later, it is still found.
    const { stdout } = await runProgram("deno", { env, args: ["--check"] });
    const [, line] = /^deno run (.+) mod\.ts$/m.exec(stdout) ?? [];
    const { code, stderr } = await runProgram("deno", {
      env: { BACKENDS: backend.url, all_proxy: "http://127.0.0.1:9" },
      denoFlags: line!.split(" "),
    });
    assert.equal(code, 2);
    assert.match(stderr, /^all_proxy: would divert the requests/);
  },
);

forBoth(
  "the printed permissions do for BACKENDS_FILE and the admin port, and keep others from working",
  DENO,
  async () => {
    await using backend = await backendAt();
    await using other = await rawBackend();
    const folder = await Deno.makeTempDir();
    try {
      const file = `${folder}/backends`;
      await Deno.writeTextFile(file, backend.url);
      const env = { BACKENDS_FILE: file, ...ADMIN_ENV };
      const permissions = [`--allow-read=${file}`];
      await runs({ env, permissions });
      const { stdout } = await runProgram("deno", {
        env,
        permissions,
        args: ["--check"],
      });
      assert.match(
        stdout,
        /admin API adds later is reached only if --allow-net/,
      );
      const [, line] = /^deno run (.+) mod\.ts$/m.exec(stdout)!;
      await using proxy = await startProxy("deno", {
        env: { ...env, HEALTH_INTERVAL: "1s", HEALTH_TIMEOUT: "900ms" },
        denoFlags: line!.split(" "),
      });
      const admin = await adminUrl(proxy);
      const metrics = await fetch(`${admin}/metrics`);
      assert.match(await metrics.text(), /^sluice_build_info/m);
      await Deno.writeTextFile(file, `${backend.url}\n${other.url}\n`);
      proxy.signal("SIGHUP");
      await proxy.waitForLine(/BACKENDS_FILE read: 2 backends/);
      const { backends } = await (await fetch(`${admin}/backends`)).json();
      assert.equal(backends[1].url, other.url);
      const { error } = backends[1].probe;
      assert.equal(error, "this process is not allowed to connect there");
      for (let i = 0; i < 3; i++) {
        const answer = await rawRequest(proxy.port, requestText("GET", "/"));
        assert.equal(answer.text, "ok");
      }
      assert.equal(other.connections.opened, 0);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);

forBoth("the printed permissions suffice for many features at once", {
  ...DENO,
  ...skippedWithout("openssl"),
}, async () => {
  await using ca = await Authority.make();
  const { cert, key } = await ca.sign(HERE);
  await using backend = await backendAt();
  const env = {
    BACKENDS: backend.url,
    TLS_CERT: await ca.write("front.pem", cert),
    TLS_KEY: await ca.write("front.key", key),
    REDIRECT_PORT: "0",
    POLICY: "sticky:srv",
    RESUME: "on",
    REQUEST_ID: "on",
    TRACE: "on",
    RATE_LIMIT: "100/s",
    MAX_IN_FLIGHT: "auto",
    ACCESS_LOG: "combined",
    ...ADMIN_ENV,
  };
  const permissions = [`--allow-read=${ca.folder}`];
  await runs({ env, permissions, tls: ca.cert });
  await runs({ env: { ...env, WORKERS: "2" }, permissions, tls: ca.cert });
});

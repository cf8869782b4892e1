/**
 * Environment variables that are meant for other programs, and that a runtime
 * would obey.
 */

import assert from "node:assert/strict";
import { ROOT } from "../testing/tools.ts";
import { deadPort, rawBackend } from "./harness/backend.ts";
import { rawRequest, requestText } from "./harness/client.ts";
import { runProgram, startProxy } from "./harness/proxy.ts";
import { forBoth, skippedWithout } from "./harness/suite.ts";
import { Authority, HERE } from "./tls/certificates.ts";

// Deno took the listening address from HOST and PORT, or added another
// listener.
forBoth(
  "DENO_SERVE_ADDRESS ends it with 2 on Deno, and is nothing to Bun",
  async (
    runtime,
  ) => {
    await using backend = await rawBackend();
    const elsewhere = await deadPort();
    for (const prefix of ["", "duplicate,"]) {
      const env = {
        BACKENDS: backend.url,
        DENO_SERVE_ADDRESS: `${prefix}tcp:127.0.0.1:${elsewhere}`,
      };
      if (runtime === "deno") {
        const { code, stdout, stderr } = await runProgram(runtime, { env });
        assert.equal(code, 2);
        assert.equal(stdout, "");
        assert.match(
          stderr,
          /^DENO_SERVE_ADDRESS: would override HOST and PORT: unset it\n$/,
        );
        continue;
      }
      await using proxy = await startProxy(runtime, { env });
      const answer = await rawRequest(proxy.port, requestText("GET", "/"));
      assert.equal(answer.status, 200);
      await assert.rejects(rawRequest(elsewhere, requestText("GET", "/")));
    }
  },
);

/** A backend whose responses are worth compressing. */
const WORDY = "sluice ".repeat(1000);
const wordy = () =>
  rawBackend((conn) =>
    conn.reply({
      headers: { "Content-Type": "text/plain", ETag: '"a"' },
      body: WORDY,
    })
  );

forBoth("DENO_SERVE_AUTOMATIC_COMPRESSION changes no answer", async (
  runtime,
) => {
  await using backend = await wordy();
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: backend.url, DENO_SERVE_AUTOMATIC_COMPRESSION: "1" },
  });
  const answer = await rawRequest(
    proxy.port,
    requestText("GET", "/", { headers: { "Accept-Encoding": "gzip, br" } }),
  );
  assert.equal(answer.text, WORDY);
  assert.equal(answer.header("content-encoding"), undefined);
  assert.equal(answer.header("etag"), '"a"');
});

forBoth(
  "DENO_SERVE_AUTOMATIC_COMPRESSION is warned of with TLS where it may not be read",
  { ...skippedWithout("openssl"), runtimes: ["deno"] },
  async (runtime) => {
    await using ca = await Authority.make();
    const { cert, key } = await ca.sign(HERE);
    await using backend = await wordy();
    const start = (more: string) =>
      startProxy(runtime, {
        env: {
          BACKENDS: backend.url,
          DENO_SERVE_AUTOMATIC_COMPRESSION: "1",
          TLS_CERT: `${ca.folder}/front.pem`,
          TLS_KEY: `${ca.folder}/front.key`,
        },
        denoFlags: [
          "--no-prompt",
          "--allow-net",
          `--allow-read=${ca.folder}`,
          `--allow-env=BACKENDS,PORT,HOST,TLS_CERT,TLS_KEY${more}`,
        ],
      });
    await ca.write("front.pem", cert);
    await ca.write("front.key", key);
    const ask = ({ port }: { port: number }) =>
      rawRequest(
        port,
        requestText("GET", "/", { headers: { "Accept-Encoding": "gzip, br" } }),
        { tls: { ca: ca.cert, servername: "localhost" } },
      );
    await using narrow = await start("");
    assert.match(
      narrow.log,
      /DENO_SERVE_AUTOMATIC_COMPRESSION.*: may not be read, .* --allow-env/,
    );
    // And it is obeyed, which is the reason.
    assert.notEqual((await ask(narrow)).header("content-encoding"), undefined);
    await using enough = await start(",DENO_SERVE_AUTOMATIC_COMPRESSION");
    const answer = await ask(enough);
    assert.equal(answer.header("content-encoding"), undefined);
    assert.equal(answer.text, WORDY);
  },
);

// Bun's `fetch` obeys it, and `node:tls` on both, by which WebSocket connections go.
forBoth(
  "NODE_TLS_REJECT_UNAUTHORIZED=0 ends it with 2 if a backend has a certificate",
  {
    ...skippedWithout("openssl"),
  },
  async (runtime) => {
    await using ca = await Authority.make();
    await using backend = await rawBackend(undefined, {
      tls: await ca.sign(HERE),
    });
    const off = { NODE_TLS_REJECT_UNAUTHORIZED: "0" };
    const BACKENDS = `https://localhost:${backend.port}`;
    const { code, stderr } = await runProgram(runtime, {
      env: { BACKENDS, ...off },
    });
    assert.equal(code, 2);
    assert.match(
      stderr,
      /^NODE_TLS_REJECT_UNAUTHORIZED: would accept any certificate[^\n]*\n$/,
    );
    await using plain = await rawBackend();
    await using proxy = await startProxy(runtime, {
      env: { BACKENDS: plain.url, ...off },
    });
    assert.equal(
      (await rawRequest(proxy.port, requestText("GET", "/"))).status,
      200,
    );
  },
);

// The guard requested a permission to read them: under narrow permissions Deno
// sent every request to the configured proxy.
forBoth("a variable that may not be read and would be obeyed is warned of", {
  // Bun has no permissions.
  runtimes: ["deno"],
}, async (runtime) => {
  await using backend = await rawBackend();
  const net = `--allow-net=127.0.0.1:0,${backend.authority}`;
  const start = (env: string) =>
    startProxy(runtime, {
      env: { BACKENDS: backend.url },
      denoFlags: ["--no-prompt", net, `--allow-env=BACKENDS,PORT,HOST,${env}`],
    });
  await using narrow = await start("HTTP_PROXY,http_proxy");
  assert.match(
    narrow.log,
    /^sluice: ALL_PROXY, all_proxy, DENO_SERVE_ADDRESS: may not be read, .* --allow-env/m,
  );
  await using enough = await start(
    "HTTP_PROXY,http_proxy,ALL_PROXY,all_proxy,DENO_SERVE_ADDRESS",
  );
  assert.equal(enough.stderr.length, 1, enough.log);
  // And `fetch` obeys it, which is the reason.
  await using other = await rawBackend((conn) => conn.reply({ status: 299 }), {
    allowProblems: true,
    health: "handler",
  });
  await using diverted = await startProxy(runtime, {
    env: { BACKENDS: backend.url, all_proxy: `http://${other.authority}` },
    denoFlags: ["--no-prompt", net, "--allow-env=BACKENDS,PORT,HOST"],
    // No probes: they would be counted.
    args: ["--transport=fetch", "--health-path=off"],
  });
  const before = other.requests.length;
  await rawRequest(diverted.port, requestText("GET", "/"));
  assert.equal(other.requests.length, before + 1);
  assert.equal(backend.requests.length, 0);
});

// Bun reads `.env` of the folder that it is started from: a file there could
// set ADMIN_HOST, ADMIN_TOKEN and TRUSTED_PROXIES.
forBoth("the way of docs/production.md keeps Bun from reading .env", {
  // Deno does not read any.
  runtimes: ["bun"],
}, async (runtime) => {
  const page = await Deno.readTextFile(`${ROOT}/docs/production.md`);
  assert.match(page, /bun run --no-env-file mod\.ts/);
  await using backend = await rawBackend();
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(`${folder}/.env`, "HEALTH_RISE=0\n");
    const env = { BACKENDS: backend.url };
    const { code, stderr } = await runProgram(runtime, { env, cwd: folder });
    assert.equal(code, 2);
    assert.match(stderr, /HEALTH_RISE/);
    // Through the start of itself that lifts Bun's limit, too.
    await using proxy = await startProxy(runtime, {
      env,
      cwd: folder,
      bunFlags: ["--no-env-file"],
    });
    const answer = await rawRequest(proxy.port, requestText("GET", "/"));
    assert.equal(answer.status, 200);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

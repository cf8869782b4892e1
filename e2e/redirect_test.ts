/**
 * `REDIRECT_PORT`: clients of `http:` are sent to the same URL with `https:`.
 */

import assert from "node:assert/strict";
import { rawBackend } from "./harness/backend.ts";
import { RawConnection, rawRequest, requestText } from "./harness/client.ts";
import {
  type ProxyProcess,
  runProgram,
  type Runtime,
  startProxy,
} from "./harness/proxy.ts";
import { type CaseOptions, forBoth, skippedWithout } from "./harness/suite.ts";
import { until } from "./harness/wait.ts";
import { Authority, HERE } from "./tls/certificates.ts";

const OPENSSL: CaseOptions = {
  ...skippedWithout("openssl"),
  timeoutMs: 60_000,
};

/** A proxy with TLS and a port that redirects. */
async function redirecting(
  runtime: Runtime,
  ca: Authority,
  backends: string,
  env: Record<string, string> = {},
): Promise<ProxyProcess & { redirectPort: number }> {
  const { cert, key } = await ca.sign(HERE);
  const proxy = await startProxy(runtime, {
    env: {
      BACKENDS: backends,
      TLS_CERT: await ca.write("front.pem", cert),
      TLS_KEY: await ca.write("front.key", key),
      REDIRECT_PORT: "0",
      ...env,
    },
    permissions: ["--allow-read"],
  });
  const [, port] = await proxy.waitForLine(
    /^sluice: redirecting from http:\/\/127\.0\.0\.1:(\d+)\/$/,
  );
  return Object.assign(proxy, { redirectPort: Number(port) });
}

forBoth(
  "REDIRECT_PORT answers 308 to the same URL with https:, whatever the method",
  OPENSSL,
  async (runtime) => {
    await using ca = await Authority.make();
    await using backend = await rawBackend();
    await using proxy = await redirecting(runtime, ca, backend.url);
    const { port, redirectPort } = proxy;
    const ask = (...args: Parameters<typeof requestText>) =>
      rawRequest(redirectPort, requestText(...args), { closeWaitMs: 0 });
    for (const method of ["GET", "HEAD", "POST", "DELETE", "PROPFIND"]) {
      const answer = await ask(method, "/a/b?c=d&e=%2F%zz", {
        host: `a.test:${redirectPort}`,
        headers: {
          "X-Forwarded-Host": "b.test",
          "X-Forwarded-Proto": "https",
          Forwarded: "host=b.test",
        },
        ...method === "POST" ? { body: "x".repeat(100_000) } : {},
      });
      assert.equal(answer.status, 308);
      assert.equal(
        answer.header("location"),
        `https://a.test:${port}/a/b?c=d&e=%2F%zz`,
      );
      assert.equal(answer.body.length > 0, method !== "HEAD");
      // Deno says it and leaves the closing to the client.
      assert.equal(answer.header("connection"), "close");
      assert.doesNotMatch(new TextDecoder().decode(answer.raw), /b\.test/);
    }
    // Certbot's server follows this (it takes any certificate there).
    const target = "/.well-known/acme-challenge/x";
    assert.equal(
      (await ask("GET", target, { host: "a.test" })).header("location"),
      `https://a.test:${port}${target}`,
    );
    const v6 = await ask("GET", "//b.test/x", { host: "[::1]:80" });
    assert.equal(v6.header("location"), `https://[::1]:${port}//b.test/x`);
    assert.equal(backend.requests.length, 0);
  },
);

// A redirect to a Host that is more than a host would lead anywhere.
forBoth(
  "REDIRECT_PORT leads nowhere without one proper Host",
  OPENSSL,
  async (runtime) => {
    await using ca = await Authority.make();
    await using backend = await rawBackend();
    await using proxy = await redirecting(runtime, ca, backend.url);
    const requests = [
      "GET / HTTP/1.0\r\n\r\n",
      "GET / HTTP/1.1\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: \r\n\r\n",
      "GET / HTTP/1.1\r\nHost: a.test@b.test\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: b.test/\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: b.test#\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: b.test\\\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: a.test, b.test\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n",
    ];
    for (const request of requests) {
      const answer = await rawRequest(proxy.redirectPort, request, {
        closeWaitMs: 0,
      });
      assert.equal(answer.status, 400, request);
      assert.equal(answer.header("location"), undefined);
    }
    // Two hosts in one request: to the one in `Host`, if anywhere.
    const answer = await rawRequest(
      proxy.redirectPort,
      "GET http://b.test/x HTTP/1.1\r\nHost: a.test\r\n\r\n",
      { closeWaitMs: 0 },
    );
    const location = answer.header("location") ?? "";
    assert.ok(
      answer.status === 400 || location === `https://a.test:${proxy.port}/x`,
      location,
    );
  },
);

forBoth(
  "REDIRECT_PORT leads a client that follows to the page, with WORKERS too",
  { ...skippedWithout("openssl", "curl"), timeoutMs: 60_000 },
  async (runtime) => {
    await using ca = await Authority.make();
    await using backend = await rawBackend(async (conn, request) =>
      await conn.reply({ body: `${request.method} ${await request.text()}` })
    );
    await using proxy = await redirecting(runtime, ca, backend.url, {
      WORKERS: "2",
    });
    const { success, stdout } = await new Deno.Command("curl", {
      args: [
        ...["-s", "-L", "--max-time", "20", "-d", "hello"],
        ...["--cacert", `${ca.folder}/ca.pem`],
        `http://localhost:${proxy.redirectPort}/x`,
      ],
      stdin: "null",
      stdout: "piped",
    }).output();
    assert.ok(success);
    assert.equal(new TextDecoder().decode(stdout), "POST hello");
  },
);

forBoth(
  "REDIRECT_PORT drains too: it serves during DRAIN_DELAY and is then closed",
  OPENSSL,
  async (runtime) => {
    await using ca = await Authority.make();
    await using backend = await rawBackend();
    await using proxy = await redirecting(runtime, ca, backend.url, {
      DRAIN_DELAY: "1s",
    });
    // A client that has connected and says nothing more must not hold it up
    // (Bun's `stop()` waits for such a one, as on the other port).
    await using idle = runtime === "deno"
      ? await RawConnection.connect(proxy.redirectPort)
      : undefined;
    proxy.signal("SIGTERM");
    await proxy.waitForLine(/draining/);
    const get = requestText("GET", "/");
    assert.equal((await rawRequest(proxy.redirectPort, get)).status, 308);
    await until(
      () => rawRequest(proxy.redirectPort, get).then(() => false, () => true),
      { timeoutMs: 8_000, what: () => "the end of listening" },
    );
    assert.equal((await proxy.waitForExit()).code, 0);
    assert.doesNotMatch(proxy.log, /error/i);
    await idle?.close();
  },
);

forBoth(
  "a REDIRECT_PORT in use makes it exit with 1 and a line, and --check names the port",
  OPENSSL,
  async (runtime) => {
    await using ca = await Authority.make();
    await using backend = await rawBackend();
    await using other = await rawBackend();
    const { cert, key } = await ca.sign(HERE);
    const options = {
      env: {
        BACKENDS: backend.url,
        TLS_CERT: await ca.write("front.pem", cert),
        TLS_KEY: await ca.write("front.key", key),
        REDIRECT_PORT: String(other.port),
      },
      permissions: [`--allow-read=${ca.folder}`],
    };
    const { code, stderr } = await runProgram(runtime, options);
    assert.equal(code, 1);
    assert.match(
      stderr,
      new RegExp(`^sluice: .*redirect port ${other.port}: [^\n]+\n$`),
    );
    const { stdout } = await runProgram(runtime, {
      ...options,
      args: ["--check"],
    });
    assert.match(
      stdout,
      new RegExp(
        `--allow-net=127\\.0\\.0\\.1,127\\.0\\.0\\.1:${other.port}`,
      ),
    );
  },
);

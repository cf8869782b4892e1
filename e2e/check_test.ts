import assert from "node:assert/strict"; // built in to both runtimes
import { ADMIN_ENV } from "./harness/admin.ts";
import { rawBackend } from "./harness/backend.ts";
import { rawRequest, requestText } from "./harness/client.ts";
import { runProgram, startProxy } from "./harness/proxy.ts";
import { forBoth } from "./harness/suite.ts";

forBoth(
  "--check probes each backend once, prints the results, and exits 0",
  async (runtime) => {
    await using backend = await rawBackend();
    const { code, stdout, stderr } = await runProgram(runtime, {
      env: { BACKENDS: backend.url },
      args: ["--check"],
    });
    assert.equal(stderr, "");
    assert.equal(code, 0);
    assert.match(
      stdout,
      new RegExp(
        `^${backend.url} +ok +status 200 +[\\d.]+ ms +127\\.0\\.0\\.1$`,
        "m",
      ),
    );
    assert.equal(backend.probes.length, 1);
  },
);

forBoth("--check sends HEALTH_HOST, and shows it", async (runtime) => {
  await using backend = await rawBackend();
  const { code, stdout } = await runProgram(runtime, {
    env: {
      BACKENDS: backend.url,
      HEALTH_PATH: "/health?key=secret",
      HEALTH_HOST: "app.example.com",
    },
    args: ["--check"],
  });
  assert.equal(code, 0);
  assert.match(stdout, /^GET \/health\?\*\*\*, Host app\.example\.com$/m);
  const [probe] = backend.probes;
  assert.equal(probe!.target, "/health?key=secret");
  assert.deepEqual(probe!.headerAll("host"), ["app.example.com"]);
});

forBoth(
  "--check exits 1 when a backend fails, and hints why",
  async (runtime) => {
    await using lost = await rawBackend((conn) => conn.reply({ status: 404 }), {
      health: "handler",
    });
    await using astray = await rawBackend(
      (conn) =>
        conn.reply({
          status: 301,
          headers: { Location: "https://www.test/x" },
        }),
      {
        health: "handler",
      },
    );
    await using packed = await rawBackend((conn) =>
      conn.reply({
        headers: { "Content-Encoding": "gzip", "Connection": "close" },
        framing: "close",
        body: "\x1f\x8b",
      }), { health: "handler" });
    await using hung = await rawBackend(undefined, { health: "hang" });
    await using dead = await rawBackend();
    await dead.kill();
    const { code, stdout } = await runProgram(runtime, {
      env: {
        BACKENDS: [lost, astray, packed, hung, dead].map(({ url }) => url)
          .join(),
        HEALTH_TIMEOUT: "300ms",
      },
      args: ["--check"],
    });
    assert.equal(code, 1);
    const says = (url: string, pattern: string) =>
      assert.match(stdout, new RegExp(`^${url}:? +${pattern}`, "m"));
    says(lost.url, "ok +status 404");
    says(lost.url, "answers 404 on /health, which counts as up");
    says(astray.url, "ok +status 301");
    says(
      astray.url,
      "redirects to https://www.test/x, which is not this proxy",
    );
    says(packed.url, "compresses its answers \\(gzip\\)");
    says(packed.url, "closes the connection");
    says(hung.url, "failing +no answer within 300 ms");
    says(dead.url, "failing +connection refused");
    says(dead.url, "does not answer: check that it runs");
  },
);

forBoth(
  "--check exits 2 on a wrong setting, without a probe",
  async (runtime) => {
    await using backend = await rawBackend();
    const { code, stdout, stderr } = await runProgram(runtime, {
      env: { BACKENDS: backend.url, RETRIES: "many", HTTP_PROXY: "http://x" },
      args: ["--check"],
    });
    assert.equal(code, 2);
    assert.equal(stdout, "");
    assert.match(stderr, /RETRIES/);
    assert.match(stderr, /HTTP_PROXY/);
    assert.equal(backend.probes.length, 0);
  },
);

forBoth(
  "the proxy runs under exactly the permissions that --check prints, and no further",
  {
    // Bun has no permissions; its `--check` prints the line for Deno all the same.
    runtimes: ["deno"],
  },
  async (runtime) => {
    await using backend = await rawBackend();
    await using other = await rawBackend();
    const env = {
      BACKENDS: backend.url,
      HEALTH_INTERVAL: "1s",
      HEALTH_TIMEOUT: "900ms",
      ACCESS_LOG: "json",
      ...ADMIN_ENV,
    };
    const { stdout } = await runProgram(runtime, { env, args: ["--check"] });
    const [, line] = /^deno run (.+) mod\.ts$/m.exec(stdout) ?? [];
    assert.ok(line, stdout);
    const denoFlags = line.split(" ");
    assert.ok(denoFlags.includes("--no-prompt"));
    {
      await using proxy = await startProxy(runtime, { env, denoFlags });
      for (let i = 0; i < 3; i++) {
        const answer = await rawRequest(proxy.port, requestText("GET", "/"));
        assert.equal(answer.status, 200);
      }
      // Everything that watches it works as well.
      const [, admin] = await proxy.waitForLine(/dashboard at (http:\S+)\//);
      const metrics = await (await fetch(`${admin}/metrics`)).text();
      assert.match(metrics, /^sluice_requests_total\{code="200"\} 3$/m);
      await proxy.waitForLine(/"status":200/);
      assert.doesNotMatch(proxy.log, /NotCapable|permission/i);
      proxy.signal("SIGTERM");
      assert.equal((await proxy.waitForExit()).code, 0);
    }
    // In case a bug requests another host: the backend file now has one that
    // the permissions do not include.
    await using proxy = await startProxy(runtime, {
      env: {
        ...env,
        BACKENDS: `${backend.url},${other.url}`,
        HEALTH_PATH: "off",
      },
      denoFlags: [
        ...denoFlags.map((flag) =>
          flag.startsWith("--allow-env=") ? `${flag},HEALTH_PATH` : flag
        ),
      ],
    });
    for (let i = 0; i < 4; i++) {
      const answer = await rawRequest(proxy.port, requestText("GET", "/"));
      assert.equal(answer.status, 200);
    }
    assert.equal(backend.requests.length >= 4, true);
    assert.equal(other.requests.length, 0);
    assert.equal(other.connections.opened, 0);
  },
);

/**
 * `HEALTH_HOST`: the `Host` of probes, for backends of every kind, and for real
 * servers that respond to their own names only.
 *
 * @module
 */

import assert from "node:assert/strict";
import { inPath } from "../testing/tools.ts";
import { deadPort, type RawBackend, rawBackend } from "./harness/backend.ts";
import { Daemon } from "./harness/daemon.ts";
import { rawRequest, requestText } from "./harness/client.ts";
import { runProgram, sentBy, startProxy } from "./harness/proxy.ts";
import { forBoth, skippedWithout } from "./harness/suite.ts";
import { until } from "./harness/wait.ts";
import { Authority, HERE } from "./tls/certificates.ts";

const QUICK = { HEALTH_INTERVAL: "300ms", HEALTH_TIMEOUT: "290ms" };
const LONG = 20_000;

/** The `Host` and target of a backend's probes. */
function asked(backend: RawBackend): string[] {
  return [
    ...new Set(
      backend.probes.map((probe) =>
        `${probe.headerAll("host").join()} ${probe.target}`
      ),
    ),
  ];
}

forBoth("HEALTH_HOST is the Host of probes, also with a base path", {
  timeoutMs: 60_000,
}, async (runtime) => {
  await using plain = await rawBackend();
  await using based = await rawBackend(undefined, {
    healthPath: "/base/health",
  });
  await using proxy = await startProxy(runtime, {
    env: {
      ...QUICK,
      BACKENDS: `${plain.url},${based.url}/base`,
      HEALTH_HOST: "app.example.com:8443",
    },
  });
  await until(() => plain.probes.length > 2 && based.probes.length > 2, {
    timeoutMs: LONG,
  });
  assert.deepEqual(asked(plain), ["app.example.com:8443 /health"]);
  assert.deepEqual(asked(based), ["app.example.com:8443 /base/health"]);
  // The `Host` of requests is unchanged.
  await rawRequest(proxy.port, requestText("GET", "/"));
  await rawRequest(proxy.port, requestText("GET", "/"));
  for (const { requests: [request] } of [plain, based]) {
    assert.equal(request!.header("host"), "sluice.test");
  }
});

forBoth(
  "HEALTH_HOST is sent to https: backends, whose certificate has another name",
  {
    ...skippedWithout("openssl"),
    timeoutMs: 60_000,
  },
  async (runtime) => {
    await using ca = await Authority.make();
    const pair = await ca.sign(HERE);
    await using backend = await rawBackend(undefined, { tls: pair });
    await using proxy = await startProxy(runtime, {
      env: {
        ...QUICK,
        BACKENDS: `https://localhost:${backend.port}`,
        BACKEND_CA: `${ca.folder}/ca.pem`,
        HEALTH_HOST: "app.example.com",
      },
      permissions: [`--allow-read=${ca.folder}`],
    });
    await until(() => backend.probes.length > 2, { timeoutMs: LONG });
    assert.deepEqual(asked(backend), ["app.example.com /health"]);
    const answer = await rawRequest(proxy.port, requestText("GET", "/"));
    assert.equal(answer.status, 200, proxy.log);
  },
);

forBoth(
  "HEALTH_HOST is sent to unix: backends, also in an absolute target",
  {
    timeoutMs: 60_000,
  },
  async (runtime) => {
    const path = await Deno.makeTempDir({ prefix: "sluice-" });
    try {
      // In absolute form, which Deno's `fetch` uses there, the target's
      // authority goes before `Host` (RFC 9112 §3.2.2).
      const target = runtime === "deno" && sentBy(runtime) === "fetch"
        ? "http://app.example.com/health"
        : "/health";
      await using backend = await rawBackend(undefined, {
        unix: `${path}/a.sock`,
        healthPath: target,
      });
      await using _proxy = await startProxy(runtime, {
        env: {
          BACKENDS: `unix:${path}/a.sock`,
          HEALTH_HOST: "app.example.com",
        },
        permissions: [`--allow-read=${path}`, `--allow-write=${path}`],
      });
      assert.deepEqual(asked(backend), [`app.example.com ${target}`]);
    } finally {
      await Deno.remove(path, { recursive: true });
    }
  },
);

forBoth("--check probes with HEALTH_HOST too", async (runtime) => {
  await using backend = await rawBackend(undefined, {
    health: async (conn, request) => {
      const known = request.header("host") === "app.example.com";
      await conn.reply({ status: known ? 200 : 400 });
    },
  });
  const env = { BACKENDS: backend.url, HEALTH_PATH: "/health" };
  const without = await runProgram(runtime, { env, args: ["--check"] });
  assert.equal(without.code, 1, without.stdout);
  assert.match(without.stdout, /status 400/);
  const { code, stdout } = await runProgram(runtime, {
    env,
    args: ["--check", "--health-host=app.example.com"],
  });
  assert.equal(code, 0, stdout);
  assert.match(stdout, /status 200/);
});

// ── Real servers ────────────────────────────────────────────────────────────

/** A server that answers 400 to other names than `app.example.com`. */
interface Picky extends AsyncDisposable {
  url: string;
}

/** nginx with a `default_server` for all other names. */
async function nginx(): Promise<Picky> {
  const work = await Deno.makeTempDir({ prefix: "sluice-" });
  const port = await deadPort();
  const temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((kind) => `${kind}_temp_path ${work}/tmp;`).join("\n");
  await Deno.writeTextFile(
    `${work}/nginx.conf`,
    `${Deno.uid() === 0 ? "user root;" : ""}
    daemon off; worker_processes 1; pid ${work}/pid; error_log stderr;
    events { worker_connections 64; }
    http {
      access_log off; ${temp}
      server { listen 127.0.0.1:${port} default_server; return 400; }
      server {
        listen 127.0.0.1:${port};
        server_name app.example.com;
        location = /health { return 200 "well"; }
        location / { return 200 "page of $host"; }
      }
    }`,
  );
  const server = new Daemon(
    inPath("nginx")!,
    ["-p", work, "-c", `${work}/nginx.conf`],
  );
  const url = `http://127.0.0.1:${port}`;
  await until(async () => {
    try {
      return (await rawRequest(port, requestText("GET", "/"))).status === 400;
    } catch {
      return false;
    }
  }, { timeoutMs: LONG, what: () => `nginx to listen: ${server.output}` });
  return {
    url,
    async [Symbol.asyncDispose]() {
      await server.abandon();
      await Deno.remove(work, { recursive: true });
    },
  };
}

/** The Python that Debian's packages are for. */
const PYTHON = "/usr/bin/python3";

async function django(): Promise<Picky> {
  const app = new URL("django/app.py", import.meta.url).pathname;
  const server = new Daemon(PYTHON, [app]);
  const [, port] = await server.prints(/port (\d+)/);
  return {
    url: `http://127.0.0.1:${port}`,
    [Symbol.asyncDispose]: () => server.abandon(),
  };
}

function hasDjango(): boolean {
  try {
    Deno.statSync("/usr/lib/python3/dist-packages/django/__init__.py");
    return true;
  } catch {
    return false;
  }
}

for (
  const [name, start, options] of [
    ["nginx with a server_name", nginx, skippedWithout("nginx")],
    [
      "Django with ALLOWED_HOSTS",
      django,
      hasDjango() ? {} : { skip: "python3-django not installed" },
    ],
  ] as const
) {
  forBoth(`${name} is up with HEALTH_HOST, and down or warned of without`, {
    ...options,
    timeoutMs: 90_000,
  }, async (runtime) => {
    await using server = await start();
    const page = async (env: Record<string, string>) => {
      await using proxy = await startProxy(runtime, {
        env: { ...QUICK, BACKENDS: server.url, ...env },
      });
      const answer = await rawRequest(
        proxy.port,
        requestText("GET", "/", { host: "app.example.com" }),
      );
      // All its output is read by the time that it has exited.
      await proxy.stop();
      return { status: answer.status, text: answer.text, log: proxy.log };
    };
    const host = { HEALTH_HOST: "app.example.com" };
    const well = await page({ ...host, HEALTH_PATH: "/health" });
    assert.deepEqual([well.status, well.text], [
      200,
      "page of app.example.com",
    ]);
    assert.doesNotMatch(well.log, /is down|counts as up/);

    // The backend answers 400 to its own address, and still works.
    const down = await page({ HEALTH_PATH: "/health" });
    assert.equal(down.status, 503);
    assert.match(down.log, /is down \(probe of \/health: status 400\)/);

    const lenient = await page({});
    assert.deepEqual(lenient.status, 200);
    assert.match(lenient.log, /answers 400 on \/health, .*set HEALTH_HOST too/);

    const alone = await page(host);
    assert.equal(alone.status, 200);
    assert.doesNotMatch(alone.log, /is down|counts as up/);
  });
}

/**
 * More than one listener on the port, and still one proxy: what is decided once
 * holds for all workers, and what each counts comes together.
 *
 * @module
 */

import assert from "node:assert/strict";
import { denoPath, ROOT } from "../testing/tools.ts";
import { ADMIN_ENV, adminUrl, TOKEN } from "./harness/admin.ts";
import {
  type Handler,
  type RawBackend,
  rawBackend,
} from "./harness/backend.ts";
import { RawConnection, rawRequest, requestText } from "./harness/client.ts";
import { Load } from "./harness/load.ts";
import {
  type ProxyOptions,
  type ProxyProcess,
  runProgram,
  type Runtime,
  startProxy,
} from "./harness/proxy.ts";
import { forBoth, forOnce, skippedWithout } from "./harness/suite.ts";
import { until } from "./harness/wait.ts";
import { Authority, HERE } from "./tls/certificates.ts";

const GET = requestText("GET", "/");

/** What Deno's workers need: to load the program for themselves. */
const MAY_READ = [`--allow-read=${ROOT}`];

/** The program with two workers. */
function start(
  runtime: Runtime,
  env: Record<string, string>,
  options: ProxyOptions = {},
): Promise<ProxyProcess> {
  return startProxy(runtime, {
    permissions: MAY_READ,
    ...options,
    env: { WORKERS: "2", ...env },
  });
}

/** Processes whose parent is this one. Linux only. */
function childrenOf(pid: number): number[] {
  const found: number[] = [];
  for (const { name } of Deno.readDirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = Deno.readTextFileSync(`/proc/${name}/stat`);
      const [, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
      if (Number(parent) === pid) found.push(Number(name));
    } catch {
      // It has ended meanwhile.
    }
  }
  return found;
}

/** Whether a process is still there, and not only waited for. */
function lives(pid: number): boolean {
  try {
    const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
    return stat.slice(stat.lastIndexOf(")") + 2)[0] !== "Z";
  } catch {
    return false;
  }
}

/** A backend that answers when it is let go. */
function held(): { handler: Handler; release: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>();
  return {
    release: resolve,
    handler: async (conn) => {
      await Promise.race([promise, conn.closed]);
      await conn.reply({ body: "ok" });
    },
  };
}

/** The admin API's backends. */
async function backendsOf(
  url: string,
  // deno-lint-ignore no-explicit-any -- as the JSON has it
): Promise<any[]> {
  const response = await fetch(`${url}/backends`);
  return (await response.json()).backends;
}

/** The value of a sample in the metrics. */
async function metric(url: string, sample: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  const line = text.split("\n").find((line) => line.startsWith(`${sample} `));
  return Number(line?.slice(sample.length + 1) ?? NaN);
}

/** Asks so often on new connections that each worker is met for certain. */
async function statuses(port: number, count = 24): Promise<Set<number>> {
  const all = await Promise.all(
    Array.from({ length: count }, () => rawRequest(port, GET)),
  );
  return new Set(all.map(({ status }) => status));
}

forBoth(
  "WORKERS: 3,000 requests over 3 backends are 1000 each, and counted once",
  { timeoutMs: 60_000 },
  async (runtime) => {
    await using a = await rawBackend();
    await using b = await rawBackend();
    await using c = await rawBackend();
    await using proxy = await start(runtime, {
      ...ADMIN_ENV,
      BACKENDS: [a, b, c].map(({ url }) => url).join(),
      ACCESS_LOG: "json",
    });
    const admin = await adminUrl(proxy);
    await Promise.all(Array.from({ length: 30 }, async () => {
      await using connection = await RawConnection.connect(proxy.port);
      for (let i = 0; i < 100; i++) {
        assert.equal((await connection.request(GET)).status, 200);
      }
    }));
    for (const { requests } of [a, b, c]) {
      // Each worker's rounds are whole but for the last.
      assert.ok(Math.abs(requests.length - 1_000) <= 2, `${requests.length}`);
    }
    const listed = await backendsOf(admin);
    assert.deepEqual(
      listed.map(({ requests, inFlight }) => [requests, inFlight]),
      [a, b, c].map(({ requests }) => [requests.length, 0]),
    );
    assert.equal(
      await metric(admin, 'sluice_requests_total{code="200"}'),
      3_000,
    );
    assert.equal(await metric(admin, "sluice_requests_in_flight"), 0);
    // A line each, and none of them torn by another worker's.
    await until(() => proxy.stdout.length >= 3_000);
    assert.equal(proxy.stdout.length, 3_000);
    for (const line of proxy.stdout) assert.equal(JSON.parse(line).status, 200);
    if (runtime === "bun") assert.equal(childrenOf(proxy.pid).length, 2);
  },
);

forBoth("WORKERS: limits hold for all together, to the letter", async (
  runtime,
) => {
  for (
    const [backends, env, most] of [
      [" max_conns=3", {}, 3],
      ["", { MAX_IN_FLIGHT: "4" }, 4],
    ] as const
  ) {
    const { handler, release } = held();
    await using backend = await rawBackend(handler);
    await using proxy = await start(runtime, {
      BACKENDS: `${backend.url}${backends}`,
      ...env,
    });
    const answers = Array.from(
      { length: 16 },
      () => rawRequest(proxy.port, GET),
    );
    await backend.waitForRequests(most);
    let refused = 0;
    for (const answer of answers) {
      answer.then(({ status }) => refused += Number(status === 503));
    }
    await until(() => refused === 16 - most);
    assert.equal(backend.requests.length, most);
    release();
    const all = await Promise.all(answers);
    assert.equal(all.filter(({ status }) => status === 200).length, most);
    // Every place is free again, in whichever worker it was taken.
    for (let i = 0; i < 12; i++) {
      assert.equal((await rawRequest(proxy.port, GET)).status, 200);
    }
  }
});

forBoth("WORKERS: three bad outcomes eject, whoever has seen them", async (
  runtime,
) => {
  await using good = await rawBackend();
  await using bad = await rawBackend((conn) =>
    conn.reply({ status: 503, body: "bad" })
  );
  await using proxy = await start(runtime, {
    ...ADMIN_ENV,
    BACKENDS: `${good.url},${bad.url}`,
    EJECT_TIME: "1s",
  });
  const admin = await adminUrl(proxy);
  const ejected = async () => (await backendsOf(admin))[1].ejected;
  for (let i = 0; i < 40 && !await ejected(); i++) {
    await rawRequest(proxy.port, GET);
  }
  // The third may be on its way to the first process when the next one is sent.
  assert.ok(bad.requests.length <= 4, `${bad.requests.length} had it`);
  assert.equal(await ejected(), true);
  assert.deepEqual([...await statuses(proxy.port)], [200]);
  await until(async () => !await ejected());
  await until(async () => (await statuses(proxy.port)).has(503));
});

forBoth("WORKERS: a backend that dies costs no client an error", async (
  runtime,
) => {
  await using stays = await rawBackend();
  await using dies = await rawBackend();
  await using proxy = await start(runtime, {
    ...ADMIN_ENV,
    BACKENDS: `${stays.url},${dies.url}`,
    HEALTH_INTERVAL: "200ms",
    HEALTH_TIMEOUT: "150ms",
    EJECT_TIME: "200ms",
  });
  const admin = await adminUrl(proxy);
  const load = Load.start(proxy.port);
  await until(() => load.answered > 100);
  await dies.kill();
  await until(async () => !(await backendsOf(admin))[1].up);
  const before = load.answered;
  await until(() => load.answered > before + 200);
  const { failures } = await load.stop();
  assert.deepEqual(failures, []);
});

forBoth("WORKERS: what the admin API changes holds for all", async (
  runtime,
) => {
  await using a = await rawBackend((conn) => conn.reply({ body: "a" }));
  await using b = await rawBackend((conn) =>
    conn.reply({ status: 418, body: "b" })
  );
  await using proxy = await start(runtime, {
    ...ADMIN_ENV,
    BACKENDS: a.url,
    HEALTH_PATH: "off",
  });
  const admin = await adminUrl(proxy);
  const ask = async (method: string, path: string, body?: unknown) => {
    const response = await fetch(`${admin}${path}`, {
      method,
      headers: { authorization: `Bearer ${TOKEN}` },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    assert.ok(response.ok, `${response.status}`);
    return response.status === 204 ? undefined : await response.json();
  };
  const become = (...wanted: number[]) =>
    until(async () =>
      [...await statuses(proxy.port)].sort().join() === wanted.join()
    );
  await become(200);
  const { id } = await ask("POST", "/backends", { url: b.url });
  await become(200, 418);
  await ask("PATCH", `/backends/${id}`, { weight: 0 });
  await become(200);
  await ask("PATCH", `/backends/${id}`, { weight: 3 });
  await become(200, 418);
  await ask("PATCH", `/backends/${id}`, { draining: true });
  await become(200);
  await ask("PATCH", `/backends/${id}`, { draining: false });
  await become(200, 418);
  const first = (await backendsOf(admin)).find(({ url }) => url === a.url);
  await ask("DELETE", `/backends/${first.id}`);
  await become(418);
});

forBoth("WORKERS: all follow BACKENDS_FILE", async (runtime) => {
  await using a = await rawBackend();
  await using b = await rawBackend((conn) => conn.reply({ status: 418 }));
  const folder = await Deno.makeTempDir();
  const file = `${folder}/backends`;
  await Deno.writeTextFile(file, a.url);
  await using proxy = await start(runtime, { BACKENDS_FILE: file }, {
    permissions: [`--allow-read=${ROOT},${folder}`],
  });
  assert.deepEqual([...await statuses(proxy.port)], [200]);
  await Deno.writeTextFile(file, b.url);
  proxy.signal("SIGHUP");
  await proxy.waitForLine(/BACKENDS_FILE read/);
  await until(async () => [...await statuses(proxy.port)].join() === "418");
  await Deno.writeTextFile(file, "nonsense:");
  proxy.signal("SIGHUP");
  await proxy.waitForLine(/stay as they are/);
  assert.deepEqual([...await statuses(proxy.port)], [418]);
  await Deno.remove(folder, { recursive: true });
});

forBoth("WORKERS: a second SIGTERM ends all at once", async (runtime) => {
  const { handler } = held();
  await using backend = await rawBackend(handler);
  await using proxy = await start(runtime, { BACKENDS: backend.url });
  const children = childrenOf(proxy.pid);
  const hung = rawRequest(proxy.port, GET).catch(() => {});
  await backend.waitForRequests(1);
  proxy.signal("SIGTERM");
  await proxy.waitForLine(/draining/);
  proxy.signal("SIGTERM");
  assert.equal((await proxy.waitForExit(2_000)).code, 1);
  await hung;
  await until(() => !children.some(lives), { what: "the workers' end" });
});

// A thread cannot be ended from outside; `crew_test.ts` has that case.
forBoth("WORKERS: one that is killed is replaced, and leaves no trace", {
  runtimes: ["bun"],
}, async (runtime) => {
  const { handler, release } = held();
  await using backend = await rawBackend(handler);
  await using proxy = await start(runtime, {
    BACKENDS: `${backend.url} max_conns=4`,
  });
  const hung = Array.from(
    { length: 4 },
    () => rawRequest(proxy.port, GET).catch(() => {}),
  );
  await backend.waitForRequests(4);
  const before = childrenOf(proxy.pid);
  for (const pid of before) Deno.kill(pid, "SIGKILL");
  await proxy.waitForLine(
    /worker 1 has died \(SIGKILL\): another takes its place in 100 ms/,
  );
  await proxy.waitForLine(/worker 2 has died/);
  await Promise.all(hung);
  release();
  // The port is taken up again, and no place of the dead is.
  await until(() =>
    rawRequest(proxy.port, GET).then(
      ({ status }) => status === 200,
      () => false,
    )
  );
  await until(async () => [...await statuses(proxy.port, 4)].join() === "200");
  await until(() => childrenOf(proxy.pid).length === 2);
  assert.ok(childrenOf(proxy.pid).every((pid) => !before.includes(pid)));
});

forBoth("WORKERS: when the first process is killed, all end", async (
  runtime,
) => {
  await using backend = await rawBackend();
  await using proxy = await start(runtime, { BACKENDS: backend.url });
  const children = childrenOf(proxy.pid);
  assert.equal(children.length, runtime === "bun" ? 2 : 0);
  proxy.signal("SIGKILL");
  await proxy.waitForExit();
  await until(() => !children.some(lives), { what: "the workers' end" });
  await assert.rejects(rawRequest(proxy.port, GET));
});

forBoth(
  "WORKERS: a sticky client stays with its backend, whoever answers",
  async (
    runtime,
  ) => {
    const backends: RawBackend[] = [];
    for (const name of ["a", "b", "c"]) {
      backends.push(await rawBackend((conn) => conn.reply({ body: name })));
    }
    await using proxy = await start(runtime, {
      BACKENDS: backends.map(({ url }) => url).join(),
      POLICY: "sticky:at",
    });
    const first = await rawRequest(proxy.port, GET);
    const [, cookie] = /^(at=[^;]+);/.exec(first.header("set-cookie")!)!;
    const again = await Promise.all(
      Array.from(
        { length: 24 },
        () =>
          rawRequest(
            proxy.port,
            requestText("GET", "/", { headers: [["Cookie", cookie!]] }),
          ),
      ),
    );
    for (const { text, header } of again) {
      assert.equal(text, first.text);
      assert.equal(header("set-cookie"), undefined, "the cookie is known");
    }
    for (const backend of backends) await backend[Symbol.asyncDispose]();
  },
);

forBoth("WORKERS: a loop is seen, whichever worker it comes to", async (
  runtime,
) => {
  let port = 0;
  let rounds = 0;
  // Sends each request back where it came from, as a wrong address would.
  await using back = await rawBackend(async (conn, request) => {
    rounds++;
    const again = requestText("GET", "/", {
      headers: [["Via", request.header("via") ?? ""]],
    });
    const { status } = await rawRequest(port, again);
    await conn.reply({ status });
  });
  await using proxy = await start(runtime, { BACKENDS: back.url });
  port = proxy.port;
  for (let i = 0; i < 12; i++) {
    assert.equal((await rawRequest(proxy.port, GET)).status, 508);
  }
  assert.equal(rounds, 12, "each was seen when it came again");
});

forBoth("WORKERS: HTTPS from all of them", skippedWithout("openssl"), async (
  runtime,
) => {
  await using authority = await Authority.make();
  const pair = await authority.sign(HERE);
  await using backend = await rawBackend();
  const env = {
    BACKENDS: backend.url,
    TLS_CERT: await authority.write("cert.pem", pair.cert),
    TLS_KEY: await authority.write("key.pem", pair.key),
  };
  const permissions = [`--allow-read=${ROOT},${authority.folder}`];
  if (runtime === "deno") {
    const { code, stderr } = await runProgram(runtime, {
      env: { WORKERS: "2", ...env },
      permissions,
    });
    assert.equal(code, 2, stderr);
    assert.match(stderr, /^WORKERS: "2" cannot .* --unstable-net only; .*\n$/);
  }
  await using proxy = await start(runtime, env, {
    permissions: [...permissions, "--unstable-net"],
  });
  const all = await Promise.all(
    Array.from(
      { length: 24 },
      () => rawRequest(proxy.port, GET, { tls: {} }),
    ),
  );
  for (const { status } of all) assert.equal(status, 200);
});

forBoth("WORKERS: what is wrong ends the program before it listens", async (
  runtime,
) => {
  await using backend = await rawBackend();
  const env = { BACKENDS: backend.url, WORKERS: "2" };
  if (runtime === "deno") {
    const { code, stderr } = await runProgram(runtime, { env });
    assert.equal(code, 2, stderr);
    assert.match(stderr, /^WORKERS: "2" cannot be had: .* --allow-read .*\n$/);
  }
  await using other = await rawBackend();
  const taken = await runProgram(runtime, {
    env: { ...env, PORT: new URL(other.url).port },
    permissions: MAY_READ,
  });
  assert.equal(taken.code, 1, taken.stderr);
  assert.match(taken.stderr, /^sluice: cannot listen on 127\.0\.0\.1:\d+: /m);
});

forBoth("WORKERS: auto is as many as processors", async (runtime) => {
  await using backend = await rawBackend();
  await using proxy = await start(runtime, {
    BACKENDS: backend.url,
    WORKERS: "auto",
  });
  assert.deepEqual([...await statuses(proxy.port)], [200]);
  const cores = navigator.hardwareConcurrency;
  if (runtime === "bun" && cores > 1) {
    assert.equal(childrenOf(proxy.pid).length, cores);
  }
});

forBoth("WORKERS: in a program of one's own", async (runtime) => {
  await using backend = await rawBackend();
  await using server = await start(runtime, { BACKEND: backend.url }, {
    entry: "e2e/workers/library.ts",
  });
  await server.waitForLine(
    /refused: RangeError: Cannot serve: workers is 2, and backends holds/,
  );
  assert.deepEqual([...await statuses(server.port, 24)], [200]);
  // As of the last second.
  await until(() => {
    server.signal("SIGHUP");
    return /sluice_requests_total\{code="200"\} 24;/.test(server.log);
  }, { everyMs: 200 });
  server.signal("SIGTERM");
  assert.equal((await server.waitForExit()).code, 0);
});

/** Runs a text under Deno. */
function program(body: string) {
  return async (...flags: string[]) => {
    const child = new Deno.Command(await denoPath(), {
      args: ["eval", ...flags, body],
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    });
    const { code, stderr } = await child.output();
    return { code, stderr: new TextDecoder().decode(stderr) };
  };
}

// When this fails, Deno has made it stable, and `runtime/workers.ts` can use it:
// the smallest program that shows why it cannot be used today.
forOnce(
  "WORKERS: Deno ends a process that shares a port by its public option",
  async () => {
    const serve = program(`
      try {
        const server = Deno.serve(
          { port: 0, hostname: "127.0.0.1", reusePort: true, onListen() {} },
          () => new Response("a"),
        );
        await server.shutdown();
      } catch {
        Deno.exit(3); // it could be caught
      }
    `);
    const refused = await serve();
    assert.equal(refused.code, 70);
    assert.match(refused.stderr, /reusePort.*--unstable-net/s);
    assert.equal((await serve("--unstable-net")).code, 0);
  },
);

// And the way that is used instead: it is not promised, so it is watched. TLS
// listeners are not asked for it, which is why they need the flag.
forOnce(
  "WORKERS: Deno shares a port by its inner option, but not for TLS",
  skippedWithout("openssl"),
  async () => {
    await using authority = await Authority.make();
    const pair = await authority.sign(HERE);
    const serve = (tls: string) =>
      program(`
        const listen = (port) => Deno.serve(
          new Proxy({ port, hostname: "127.0.0.1", onListen() {}, ${tls} }, {
            get: (target, key) =>
              typeof key === "symbol" && key.description === "kLoadBalanced"
                ? true
                : Reflect.get(target, key),
          }),
          () => new Response("a"),
        );
        // One that was bound to any port could not be found again by its number.
        const free = Deno.listen({ hostname: "127.0.0.1", port: 0 });
        const { port } = free.addr;
        free.close();
        const first = listen(port);
        try {
          await listen(port).shutdown();
        } catch (error) {
          Deno.exit(error instanceof Deno.errors.AddrInUse ? 3 : 4);
        }
        await first.shutdown();
      `);
    assert.deepEqual(await serve("")(), { code: 0, stderr: "" });
    const tls = `cert: ${JSON.stringify(pair.cert)}, ` +
      `key: ${JSON.stringify(pair.key)}`;
    assert.equal((await serve(tls)()).code, 3);
  },
);

/**
 * Several workers on one port: from outside they are one proxy. Limits apply to
 * all of them together, each change reaches all, metrics and log lines are the
 * sum, and neither a stop nor a crash is worse than with one.
 *
 * @module
 */

import assert from "node:assert/strict";
import { denoPath, ROOT } from "../testing/tools.ts";
import { Load as Rush, request } from "./chaos/load.ts";
import { ADMIN_ENV, adminUrl, TOKEN } from "./harness/admin.ts";
import { type Handler, hang, rawBackend } from "./harness/backend.ts";
import {
  RawConnection,
  rawRequest,
  type RawResponse,
  requestText,
} from "./harness/client.ts";
import { Load } from "./harness/load.ts";
import {
  type ProxyProcess,
  runProgram,
  type Runtime,
  startProxy,
} from "./harness/proxy.ts";
import { forBoth, forOnce, skippedWithout } from "./harness/suite.ts";
import { until } from "./harness/wait.ts";
import {
  childrenOf,
  Crew,
  Numbered,
  runs,
  startWorkers,
  withWorkers,
} from "./harness/workers.ts";
import { Authority, HERE } from "./tls/certificates.ts";
import { ASKING, Frames, grant } from "./websocket/raw.ts";

const GET = requestText("GET", "/");

/** Probes that find out soon, and are not late on a busy machine. */
const QUICK = { HEALTH_INTERVAL: "200ms", HEALTH_TIMEOUT: "190ms" };

/** For tests that look at processes. */
const PROC = Deno.build.os === "linux" ? {} : { skip: "no /proc here" };

/** A backend's script that responds when it is released, and the release. */
function held(): { handler: Handler; release: () => void } {
  let gate = Promise.withResolvers<void>();
  return {
    release() {
      gate.resolve();
      gate = Promise.withResolvers();
    },
    handler: async (conn) => {
      await Promise.race([gate.promise, conn.closed]);
      await conn.reply({ body: "ok" });
    },
  };
}

/** Requests that are sent at once, each on its own connection. */
function sendMany(port: number, count: number): Promise<RawResponse>[] {
  return Array.from({ length: count }, () => rawRequest(port, GET));
}

/** Calls the admin port; returns the JSON of its response. */
async function call(url: string, method = "GET", body?: unknown) {
  const response = await fetch(url, {
    method,
    headers: { authorization: `Bearer ${TOKEN}` },
    body: body === undefined ? null : JSON.stringify(body),
  });
  const text = await response.text();
  assert.ok(response.ok, `${method} ${url}: ${response.status} ${text}`);
  return text === "" ? undefined : JSON.parse(text);
}

/** One sample of `/metrics`. */
async function sample(admin: string, name: string): Promise<number> {
  const page = await (await fetch(`${admin}/metrics`)).text();
  const line = page.split("\n").find((line) => line.startsWith(`${name} `));
  return Number(line?.slice(name.length) ?? NaN);
}

/** Waits until nothing listens on the port. */
async function refused(port: number): Promise<void> {
  await until(async () => {
    try {
      await using _ = await RawConnection.connect(port);
      return false;
    } catch {
      return true;
    }
  }, { what: "connections to be refused" });
}

/** Waits until something listens on the port. */
async function listens(port: number): Promise<void> {
  await until(async () => {
    try {
      await using _ = await RawConnection.connect(port);
      return true;
    } catch {
      return false;
    }
  }, { what: "connections to be accepted" });
}

/** A folder for what the program writes, to see that it leaves nothing. */
async function temporary() {
  const path = await Deno.makeTempDir();
  return {
    path,
    get left() {
      return [...Deno.readDirSync(path)].map(({ name }) => name);
    },
    [Symbol.asyncDispose]: () => Deno.remove(path, { recursive: true }),
  };
}

forBoth(
  "WORKERS: 3,000 requests over 3 backends are 1000 each, and all are counted",
  async (runtime) => {
    await using backends = await Numbered.start(3);
    await using proxy = await startWorkers(runtime, {
      env: { BACKENDS: backends.urls(), ...ADMIN_ENV },
    });
    const admin = await adminUrl(proxy);
    await Promise.all(Array.from({ length: 30 }, async () => {
      await using connection = await RawConnection.connect(proxy.port);
      for (let i = 0; i < 100; i++) {
        assert.equal((await connection.request(GET)).status, 200);
      }
    }));
    for (const count of backends.counts) {
      // Each worker's own shares are equal to within one.
      assert.ok(Math.abs(count - 1_000) <= 2, String(backends.counts));
    }
    const { backends: listed } = await call(`${admin}/backends`);
    assert.deepEqual(
      listed.map(({ requests }: { requests: number }) => requests),
      backends.counts,
    );
    const name = 'sluice_requests_total{code="200"}';
    // The last bytes are with the client a moment before they are counted.
    await until(async () => await sample(admin, name) >= 3_000);
    assert.equal(await sample(admin, name), 3_000);
    let sum = 0;
    for (const { url } of backends.all) {
      const of = `{backend="${url}",code="200"}`;
      sum += await sample(admin, `sluice_backend_requests_total${of}`);
    }
    assert.equal(sum, 3_000);
    assert.equal(
      await sample(admin, "sluice_request_duration_seconds_count"),
      3_000,
    );
  },
);

for (
  const [name, limit, settings, most] of [
    ["max_conns", " max_conns=3", {}, 3],
    ["MAX_IN_FLIGHT", "", { MAX_IN_FLIGHT: "4" }, 4],
  ] as const
) {
  forBoth(`WORKERS: ${name} holds for all of them together`, async (
    runtime,
  ) => {
    const { handler, release } = held();
    await using backend = await rawBackend(handler);
    await using proxy = await startWorkers(runtime, {
      env: { BACKENDS: `${backend.url}${limit}`, ...settings },
    });
    for (let round = 1; round <= 3; round++) {
      const answers = sendMany(proxy.port, 12);
      let full = 0;
      for (const answer of answers) {
        answer.then(({ status, header }) => {
          if (status !== 503) return;
          assert.equal(header("retry-after"), "1");
          full++;
        }).catch(() => {}); // is seen below
      }
      await until(() => full === 12 - most, {
        what: () => `${12 - most} to be refused, not ${full}`,
      });
      await backend.waitForRequests(round * most);
      assert.equal(backend.requests.length, round * most);
      release();
      const statuses = (await Promise.all(answers)).map(({ status }) => status);
      assert.equal(statuses.filter((one) => one === 200).length, most);
    }
  });
}

forBoth("WORKERS: outcomes that several have seen eject once, for all", async (
  runtime,
) => {
  await using backends = await Numbered.start(3);
  await using proxy = await startWorkers(runtime, {
    env: {
      BACKENDS: backends.urls(),
      EJECT_AFTER: "3",
      EJECT_TIME: "1s",
      ...ADMIN_ENV,
    },
  });
  const admin = await adminUrl(proxy);
  await using crew = await Crew.of(proxy, 2);
  const bad = backends.all[1]!;
  const state = async () =>
    (await call(`${admin}/backends`)).backends
      .find(({ url }: { url: string }) => url === bad.url).state;
  const { handler } = bad;
  bad.handler = (conn) => conn.reply({ status: 503 });
  // Good outcomes before it are forgotten.
  const before = bad.requests.length;
  const seen = () => bad.requests.length - before;

  // Alternating, so that neither worker alone sees three.
  for (let i = 0; seen() < 3; i++) {
    assert.ok(i < 30, "round robin reaches every worker");
    const { length } = crew.connections;
    await crew.connections[i % length]!.request(GET);
  }
  await until(async () => await state() === "ejected");
  await proxy.waitForLine(/is ejected .*3 bad outcomes in a row/);
  await crew.waitFor("0 2");
  assert.equal(seen(), 3);
  bad.handler = handler;
  await proxy.waitForLine(/is back after its ejection/);
  await crew.waitFor("0 1 2");
  assert.equal(await state(), "up");
  const lines = proxy.stderr.filter((line) => line.includes("is ejected"));
  assert.equal(lines.length, 1, proxy.log);
});

forBoth("WORKERS: a backend that dies under load costs no client an error", {
  timeoutMs: 60_000,
}, async (runtime) => {
  await using backends = await Numbered.start(3);
  await using proxy = await startWorkers(runtime, {
    env: { BACKENDS: backends.urls(), ...QUICK, EJECT_TIME: "100ms" },
  });
  await using crew = await Crew.of(proxy, 2);
  await using load = Load.start(proxy.port, { clients: 8 });
  await until(() => load.answered > 100);
  await backends.all[2]!.kill();
  await proxy.waitForLine(/ is down /, 20_000);
  await crew.waitFor("0 1");
  await backends.all[2]!.restart();
  await proxy.waitForLine(/ is up /, 20_000);
  await crew.waitFor("0 1 2");
  const { failures } = await load.stop();
  assert.deepEqual(failures, [], proxy.log);
});

forBoth("WORKERS: what the admin API changes reaches all of them", async (
  runtime,
) => {
  await using backends = await Numbered.start(4);
  await using proxy = await startWorkers(runtime, {
    workers: 3,
    env: { BACKENDS: backends.urls(0, 1, 2), ...ADMIN_ENV },
  });
  const admin = await adminUrl(proxy);
  await using crew = await Crew.of(proxy, 3);
  const { backends: listed } = await call(`${admin}/backends`);
  const ids: string[] = listed.map(({ id }: { id: string }) => id);
  const url = backends.all[3]!.url;
  const { id: added } = await call(`${admin}/backends`, "POST", { url });
  await crew.waitFor("0 1 2 3");
  await call(`${admin}/backends/${added}`, "PATCH", { weight: 0 });
  await crew.waitFor("0 1 2");
  await call(`${admin}/backends/${ids[0]}`, "PATCH", { draining: true });
  await crew.waitFor("1 2");
  await call(`${admin}/backends/${ids[1]}`, "DELETE");
  await crew.waitFor("2");
  await call(`${admin}/backends/${ids[0]}`, "PATCH", { draining: false });
  await call(`${admin}/backends/${added}`, "PATCH", { weight: 1 });
  await crew.waitFor("0 2 3");
});

forBoth("WORKERS: all of them follow BACKENDS_FILE", async (runtime) => {
  await using backends = await Numbered.start(3);
  await using folder = await temporary();
  const path = `${folder.path}/backends`;
  const put = async (text: string) => {
    await Deno.writeTextFile(`${path}.new`, text);
    await Deno.rename(`${path}.new`, path);
  };
  await put(backends.urls());
  await using proxy = await startWorkers(runtime, {
    env: { BACKENDS_FILE: path },
    reads: [folder.path],
  });
  await using crew = await Crew.of(proxy, 2);
  await put(backends.urls(1));
  await crew.waitFor("1");
  await put(backends.urls(0, 2));
  proxy.signal("SIGHUP");
  await crew.waitFor("0 2");
  await put("nonsense");
  proxy.signal("SIGHUP");
  await proxy.waitForLine(/BACKENDS_FILE was refused/);
  assert.deepEqual(await crew.answers(), ["0 2", "0 2"]);
  await put(backends.urls(2, 1));
  proxy.signal("SIGHUP");
  await crew.waitFor("1 2");
});

forBoth("WORKERS: the access log is one, with each request once", async (
  runtime,
) => {
  await using backend = await rawBackend();
  await using proxy = await startWorkers(runtime, {
    env: { BACKENDS: backend.url, ACCESS_LOG: "json" },
  });
  const COUNT = 2_000;
  // In total more than a pipe writes atomically, 4096 bytes.
  const target = (i: number) => `/${i}?${"x".repeat(i % 10 === 0 ? 1_500 : 9)}`;
  let next = 0;
  await Promise.all(Array.from({ length: 20 }, async () => {
    await using connection = await RawConnection.connect(proxy.port);
    while (next < COUNT) {
      const answer = await connection.request(requestText(
        "GET",
        target(next++),
      ));
      assert.equal(answer.status, 200);
    }
  }));
  // At once: what has not been written yet is not lost.
  proxy.signal("SIGTERM");
  assert.equal((await proxy.waitForExit()).code, 0, proxy.log);
  assert.equal(proxy.stdout.length, COUNT);
  const targets = new Set(proxy.stdout.map((line) => JSON.parse(line).target));
  for (let i = 0; i < COUNT; i++) assert.ok(targets.has(target(i)), String(i));
  assert.deepEqual(proxy.stderr.filter((line) => line.startsWith("{")), []);
});

forBoth("WORKERS: SIGTERM under load costs no request", async (runtime) => {
  const { promise, resolve } = Promise.withResolvers<void>();
  await using folder = await temporary();
  await using backend = await rawBackend(async (conn, { path }) => {
    if (path === "/slow") await promise;
    await conn.reply({ body: "ok" });
  });
  await using proxy = await startWorkers(runtime, {
    env: { BACKENDS: backend.url, TMPDIR: folder.path },
  });
  const options = { untilRefused: true, pauseMs: 1 };
  const loads = [
    new Rush(proxy.port, 12, () => request("GET", "/"), options),
    new Rush(
      proxy.port,
      4,
      () => request("POST", "/", { body: "x".repeat(999) }),
      options,
    ),
  ];
  // Each request on its own connection, which waits for a listener to accept it
  // just when that one closes.
  const failures: string[] = [];
  const fresh = Array.from({ length: 8 }, async () => {
    for (;;) {
      let connection: RawConnection;
      try {
        connection = await RawConnection.connect(proxy.port);
      } catch {
        return; // refused, as it should be
      }
      try {
        const { status, complete, problem } = await connection.request(GET);
        if (status !== 200 || !complete) failures.push(`${status} ${problem}`);
      } catch (error) {
        failures.push(String(error));
      }
      await connection.close();
    }
  });
  const slow = Array.from(
    { length: 4 },
    () => rawRequest(proxy.port, requestText("GET", "/slow")),
  );
  await until(() =>
    loads.every(({ tally }) => tally.good > 100) &&
    backend.requests.filter(({ path }) => path === "/slow").length === 4
  );
  proxy.signal("SIGTERM");
  await Promise.all(loads.map(({ done }) => done));
  await Promise.all(fresh);
  assert.deepEqual(failures, []);
  assert.equal(proxy.exited, undefined);
  resolve();
  for (const answer of slow) assert.equal((await answer).status, 200);
  assert.deepEqual(await proxy.waitForExit(), { code: 0, signal: null });
  for (const { tally } of loads) {
    assert.equal(tally.failed, tally.refused, `${tally}`);
  }
  assert.deepEqual(folder.left, []);
});

forBoth(
  "WORKERS: a second signal ends all of them at once with 1",
  PROC,
  async (runtime) => {
    await using folder = await temporary();
    await using backend = await rawBackend(hang);
    await using proxy = await startWorkers(runtime, {
      env: {
        BACKENDS: backend.url,
        DRAIN_TIMEOUT: "1m",
        TMPDIR: folder.path,
      },
    });
    const children = childrenOf(proxy.pid);
    assert.equal(children.length, runtime === "bun" ? 2 : 0);
    const clients = await Promise.all(
      Array.from({ length: 4 }, () => RawConnection.connect(proxy.port)),
    );
    for (const client of clients) await client.write(GET);
    await backend.waitForRequests(4);
    proxy.signal("SIGTERM");
    await proxy.waitForLine(/a second signal ends it at once/);
    proxy.signal("SIGTERM");
    assert.deepEqual(await proxy.waitForExit(3_000), { code: 1, signal: null });
    await until(() => !children.some(runs), { what: "the workers' end" });
    await refused(proxy.port);
    for (const client of clients) await client.close();
    assert.deepEqual(folder.left, [], "what is left in the folder for scraps");
  },
);

forBoth("WORKERS: one that is killed is replaced, and its part is free again", {
  ...PROC,
  // Threads of Deno end with their process.
  runtimes: ["bun"],
}, async (runtime) => {
  const { handler, release } = held();
  await using backend = await rawBackend(handler);
  await using proxy = await startWorkers(runtime, {
    env: { BACKENDS: `${backend.url} max_conns=6`, ...ADMIN_ENV },
  });
  const admin = await adminUrl(proxy);
  const workers = childrenOf(proxy.pid);
  assert.equal(workers.length, 2);
  const first = sendMany(proxy.port, 6);
  await backend.waitForRequests(6);
  let cut = 0;
  for (const answer of first) {
    answer.then(({ status }) => {
      if (status === 0) cut++;
    }, () => cut++);
  }
  Deno.kill(workers[0]!, "SIGKILL");
  await proxy.waitForLine(
    /worker \d has died \(SIGKILL\): a new one starts in 100 ms/,
  );
  // The kernel has closed its connections by then.
  await until(async () =>
    (await call(`${admin}/backends`)).backends[0].inFlight === 6 - cut
  );
  const second = sendMany(proxy.port, 12);
  await backend.waitForRequests(6 + cut);
  let full = 0;
  for (const answer of second) {
    answer.then(({ status }) => {
      if (status === 503) full++;
    }, () => {});
  }
  await until(() => full === 12 - cut, {
    what: () => `${12 - cut} to be refused, not ${full}`,
  });
  assert.equal(backend.requests.length, 6 + cut);
  release();
  const answers = await Promise.allSettled([...first, ...second]);
  const good = answers.filter((one) =>
    one.status === "fulfilled" && one.value.status === 200
  );
  assert.equal(good.length, 6);
  await until(() => childrenOf(proxy.pid).length === 2, { what: "a new one" });
  backend.handler = (conn) => conn.reply({ body: "ok" });
  for (let i = 0; i < 30; i++) {
    assert.equal((await rawRequest(proxy.port, GET)).status, 200);
  }
  const { backends: [{ inFlight }] } = await call(`${admin}/backends`);
  assert.equal(inFlight, 0);
  assert.ok(!runs(workers[0]!) && runs(workers[1]!));
});

forBoth("WORKERS: figures know what one that was killed has counted", {
  ...PROC,
  runtimes: ["bun"],
}, async (runtime) => {
  await using backends = await Numbered.start(3);
  await using proxy = await startWorkers(runtime, {
    env: { BACKENDS: backends.urls(), ...ADMIN_ENV },
  });
  const admin = await adminUrl(proxy);
  {
    await using crew = await Crew.of(proxy, 2);
    await crew.answers();
  }
  const sum = () => backends.counts.reduce((a, b) => a + b, 0);
  const name = 'sluice_requests_total{code="200"}';
  const counted = () => sample(admin, name);
  await until(async () => await counted() === sum());
  for (const worker of childrenOf(proxy.pid)) {
    Deno.kill(worker, "SIGKILL");
    await until(() => !runs(worker));
  }
  await proxy.waitForLines(/worker \d has died/, 2);
  await listens(proxy.port);
  {
    await using crew = await Crew.of(proxy, 2);
    await crew.waitFor("0 1 2");
  }
  await until(async () => await counted() === sum(), {
    what: () => `${sum()} requests to be counted`,
  });
});

forBoth("WORKERS: they end when the first process is killed", {
  ...PROC,
  runtimes: ["bun"],
}, async (runtime) => {
  await using folder = await temporary();
  await using backend = await rawBackend(hang);
  await using proxy = await startWorkers(runtime, {
    env: { BACKENDS: backend.url, TMPDIR: folder.path },
  });
  const workers = childrenOf(proxy.pid);
  assert.equal(workers.length, 2);
  await using client = await RawConnection.connect(proxy.port);
  await client.write(GET);
  await backend.waitForRequests(1);
  proxy.signal("SIGKILL");
  await until(() => !workers.some(runs), { what: "the workers' end" });
  // The killed process could not remove its file: the workers do.
  assert.deepEqual(folder.left, []);
  await refused(proxy.port);
  await using again = await startWorkers(runtime, {
    env: { BACKENDS: backend.url, PORT: String(proxy.port) },
  });
  assert.equal(again.port, proxy.port);
});

forBoth("WORKERS: a cookie of sticky:NAME is known to all", async (runtime) => {
  await using backends = await Numbered.start(3);
  await using proxy = await startWorkers(runtime, {
    env: { BACKENDS: backends.urls(), POLICY: "sticky:srv", REQUEST_ID: "on" },
  });
  const first = await rawRequest(proxy.port, GET);
  const cookie = first.header("set-cookie")!.split(";")[0]!;
  const ids = new Set([first.header("x-request-id")]);
  for (let i = 0; i < 20; i++) {
    const again = await rawRequest(
      proxy.port,
      requestText("GET", "/", { headers: { Cookie: cookie } }),
    );
    assert.equal(again.text, first.text);
    assert.equal(again.header("set-cookie"), undefined);
    ids.add(again.header("x-request-id"));
  }
  const arrived = backends.all.flatMap(({ requests }) => requests)
    .map((one) => one.header("x-request-id"));
  assert.equal(ids.size, 21);
  assert.deepEqual(new Set(arrived), ids);
});

forBoth("WORKERS: each worker detects a loop", async (
  runtime,
) => {
  let port = 0;
  await using backend = await rawBackend(async (conn, request) => {
    const headers = { Via: request.headerAll("via").join() };
    const { status } = await rawRequest(
      port,
      requestText("GET", "/", { headers }),
    );
    await conn.reply({ status });
  });
  await using proxy = await startWorkers(runtime, {
    env: { BACKENDS: backend.url },
  });
  port = proxy.port;
  for (let i = 1; i <= 20; i++) {
    assert.equal((await rawRequest(port, GET)).status, 508);
    assert.equal(backend.requests.length, i);
  }
});

forBoth("WORKERS: WebSockets go through each, and end with 1001", async (
  runtime,
) => {
  await using backends = await Numbered.start(3);
  const there: Frames[] = [];
  await using proxy = await startWorkers(runtime, {
    workers: 3,
    env: { BACKENDS: backends.urls() },
  });
  await using crew = await Crew.of(proxy, 3);
  for (const backend of backends.all) {
    backend.handler = async (conn, request) => {
      const frames = await grant(conn, request);
      there.push(frames);
      await frames.text(await frames.shown());
    };
  }
  const here: Frames[] = [];
  for (const connection of crew.connections) {
    const lines = ASKING.map(([name, value]) => `${name}: ${value}\r\n`);
    await connection.write(
      `GET / HTTP/1.1\r\nHost: sluice.test\r\n${lines.join("")}\r\n`,
    );
    assert.equal((await connection.readHead()).status, 101);
    const frames = new Frames(connection.wire, true);
    await frames.text("hello");
    assert.equal(await frames.shown(), "text text hello");
    here.push(frames);
  }
  proxy.signal("SIGTERM");
  for (const frames of [...here, ...there]) {
    assert.equal(await frames.shown(), "close 1001");
    await frames.close(1001);
  }
  assert.deepEqual(await proxy.waitForExit(), { code: 0, signal: null });
});

forBoth("WORKERS: during DRAIN_DELAY all serve, and /readyz is 503", async (
  runtime,
) => {
  await using backends = await Numbered.start(3);
  await using proxy = await startWorkers(runtime, {
    env: { BACKENDS: backends.urls(), DRAIN_DELAY: "60s", ...ADMIN_ENV },
  });
  const admin = await adminUrl(proxy);
  const readyz = async () => {
    const response = await fetch(`${admin}/readyz`);
    await response.body?.cancel();
    return response.status;
  };
  assert.equal(await readyz(), 200);
  proxy.signal("SIGTERM");
  await until(async () => await readyz() === 503);
  for (let i = 0; i < 20; i++) {
    const answer = await rawRequest(proxy.port, GET, { closeWaitMs: 0 });
    assert.equal(answer.status, 200);
  }
  assert.equal(await sample(admin, "sluice_draining"), 1);
});

forBoth("WORKERS=auto starts", async (runtime) => {
  await using backend = await rawBackend();
  await using proxy = await startWorkers(runtime, {
    workers: "auto",
    env: { BACKENDS: backend.url },
  });
  for (let i = 0; i < 8; i++) {
    assert.equal((await rawRequest(proxy.port, GET)).status, 200);
  }
});

forBoth("WORKERS: HTTPS from each of them", skippedWithout("openssl"), async (
  runtime,
) => {
  await using ca = await Authority.make();
  const { cert, key } = await ca.sign(HERE);
  await using backends = await Numbered.start(3);
  await using proxy = await startWorkers(runtime, {
    env: {
      BACKENDS: backends.urls(),
      TLS_CERT: await ca.write("front.pem", cert),
      TLS_KEY: await ca.write("front.key", key),
    },
    reads: [ca.folder],
  });
  assert.match(proxy.url, /^https:/);
  const tls = { ca: ca.cert, servername: "localhost" };
  await using crew = await Crew.of(proxy, 2, { tls });
  assert.deepEqual(await crew.answers(), ["0 1 2", "0 1 2"]);
});

forBoth(
  "WORKERS: a port in use makes it exit with 1 and a line",
  PROC,
  async (runtime) => {
    await using folder = await temporary();
    await using backend = await rawBackend();
    const taken = async (port: number) => {
      const { code, stderr } = await runProgram(
        runtime,
        withWorkers({
          env: {
            BACKENDS: backend.url,
            PORT: String(port),
            TMPDIR: folder.path,
          },
        }),
      );
      assert.equal(code, 1, stderr);
      assert.match(stderr, new RegExp(`cannot listen on 127.0.0.1:${port}: `));
      assert.deepEqual(folder.left, []);
    };
    await using holder = await rawBackend();
    await taken(holder.port);
    // Also by a process that would share it.
    await using proxy = await startWorkers(runtime, {
      env: { BACKENDS: backend.url },
    });
    await taken(proxy.port);
    assert.equal((await rawRequest(proxy.port, GET)).status, 200);
  },
);

/** Runs the program on Deno, which must refuse it with one line. */
async function refusal(
  env: Record<string, string>,
  permissions: readonly string[],
): Promise<string> {
  const { code, stderr, stdout } = await runProgram("deno", {
    env: { BACKENDS: "http://127.0.0.1:3000", WORKERS: "2", ...env },
    permissions,
  });
  assert.equal(code, 2, stderr);
  assert.equal(stdout, "");
  assert.equal(stderr.trim().split("\n").length, 1, stderr);
  assert.match(stderr, /^WORKERS: "2" is not possible/);
  return stderr;
}

forOnce("WORKERS: the missing permission on Deno is named", async () => {
  assert.match(await refusal({}, []), /--allow-read/);
  const elsewhere = ["--allow-read=/nowhere"];
  assert.match(await refusal({}, elsewhere), /--allow-read/);
});

// What is used of Deno to share a port for TLS obeys this variable.
forOnce(
  "WORKERS: the permission for TLS on Deno is named, also with a variable that compresses responses",
  skippedWithout("openssl"),
  async () => {
    await using ca = await Authority.make();
    const { cert, key } = await ca.sign(HERE);
    const env = {
      TLS_CERT: await ca.write("front.pem", cert),
      TLS_KEY: await ca.write("front.key", key),
      DENO_SERVE_AUTOMATIC_COMPRESSION: "1",
    };
    const reads = [`--allow-read=${ROOT},${ca.folder}`];
    assert.match(await refusal(env, reads), /--unstable-net/);
  },
);

/** A program for `deno eval`, with flags. */
function evaluated(body: string) {
  return async (...flags: string[]) => {
    const child = new Deno.Command(await denoPath(), {
      args: ["eval", ...flags, body],
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    });
    const { code, stdout, stderr } = await child.output();
    const decoder = new TextDecoder();
    return {
      code,
      stdout: decoder.decode(stdout),
      stderr: decoder.decode(stderr),
    };
  };
}

// When this fails, Deno has made it stable, and `runtime/sharing.ts` can do
// with the public option.
forOnce(
  "WORKERS: Deno ends a process that shares a port without a flag",
  async () => {
    const serve = evaluated(`
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

// If this fails, `sharing()` in `runtime/sharing.ts` needs another way.
forOnce(
  "WORKERS: Deno.serve() still asks for the option of `deno serve --parallel`",
  async () => {
    const { code, stdout, stderr } = await evaluated(`
    let asked = 0;
    const free = Deno.listen({ port: 0, hostname: "127.0.0.1" });
    const { port } = free.addr;
    free.close();
    const serve = () =>
      Deno.serve(
        new Proxy({ port, hostname: "127.0.0.1", onListen() {} }, {
          get(target, key) {
            if (key.description !== "kLoadBalanced") return target[key];
            asked++;
            return true;
          },
        }),
        () => new Response("a"),
      );
    const first = serve();
    const second = serve();
    console.log(asked, first.addr.port === second.addr.port);
    await Promise.all([first.shutdown(), second.shutdown()]);
  `)();
    assert.equal(code, 0, stderr);
    assert.equal(stdout, "2 true\n");
  },
);

/** The small program that uses Sluice as a library. */
function library(env: Record<string, string>) {
  return withWorkers({ entry: "e2e/workers/library.ts", env });
}

forBoth("serve() has workers in a user's program", PROC, async (
  runtime,
) => {
  await using backends = await Numbered.start(3);
  await using proxy: ProxyProcess = await startProxy(
    runtime,
    library({ BACKENDS: backends.urls() }),
  );
  const workers = childrenOf(proxy.pid);
  assert.equal(workers.length, runtime === "bun" ? 2 : 0);
  await using crew = await Crew.of(proxy, 2);
  assert.deepEqual(await crew.answers(), ["0 1 2", "0 1 2"]);
  const [, admin] = await proxy.waitForLine(/^admin (http:\S+)$/);
  const name = 'sluice_requests_total{code="200"}';
  const sum = backends.counts.reduce((a, b) => a + b, 0);
  await until(async () => await sample(admin!, name) === sum);
  proxy.signal("SIGTERM");
  assert.deepEqual(await proxy.waitForExit(), { code: 0, signal: null });
  assert.deepEqual(proxy.stdout.slice(1), ["stopped"]);
  assert.ok(!workers.some(runs));
});

// A thread of Deno's that exits sends no event: the first process waited for it
// until the last of its time limits, 13 seconds by default.
forBoth("serve() stops at once also before its workers listen", async (
  runtime,
) => {
  await using backend = await rawBackend();
  const began = performance.now();
  const { code, stdout, stderr } = await runProgram(
    runtime,
    library({ ODD: "early", BACKENDS: backend.url }),
  );
  assert.equal(code, 0, stderr);
  assert.equal(stdout, "stopped\n");
  assert.ok(performance.now() - began < 8_000);
});

for (const odd of ["backends", "fetch"]) {
  forBoth(`serve() hands no worker a function: ${odd}`, async (
    runtime: Runtime,
  ) => {
    const { code, stdout, stderr } = await runProgram(
      runtime,
      library({ ODD: odd, BACKENDS: "http://127.0.0.1:3000" }),
    );
    assert.equal(code, 0, stderr);
    assert.match(
      stdout,
      new RegExp(`^RangeError: Cannot serve: workers is 2, and ${odd} holds`),
    );
  });
}

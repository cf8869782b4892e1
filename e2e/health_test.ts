/**
 * Probes of the real program: which backends are marked down, when, and which
 * come back.
 *
 * @module
 */

import assert from "node:assert/strict";
import { type RawBackend, rawBackend } from "./harness/backend.ts";
import { rawRequest, requestText } from "./harness/client.ts";
import { type ProxyProcess, startProxy } from "./harness/proxy.ts";
import { forBoth } from "./harness/suite.ts";
import { until } from "./harness/wait.ts";

// Fast enough to wait for; slow enough that on a busy machine no probe, and
// never three in a row, is late.
const QUICK = {
  HEALTH_INTERVAL: "300ms",
  HEALTH_TIMEOUT: "290ms",
  HEALTH_RISE: "2",
  HEALTH_FALL: "3",
};

/** Milliseconds for a few probes, on a busy machine. */
const LONG = 20_000;

/** Sends `count` requests, all of which must be answered; gives each's share. */
async function shares(
  proxy: ProxyProcess,
  backends: readonly RawBackend[],
  count: number,
): Promise<number[]> {
  const before = backends.map(({ requests }) => requests.length);
  for (let i = 0; i < count; i++) {
    const { status } = await rawRequest(proxy.port, requestText("GET", "/"));
    assert.equal(status, 200, proxy.log);
  }
  return backends.map(({ requests }, i) => requests.length - before[i]!);
}

/** Lines about one backend's verdict. */
function verdicts(proxy: ProxyProcess, backend: RawBackend): string[] {
  return proxy.stderr.filter((line) =>
    line.includes(`${backend.url} is down`) ||
    line.includes(`${backend.url} is up`)
  );
}

forBoth(
  "a backend gets nothing after fall failed probes, and again after rise",
  { timeoutMs: 90_000 },
  async (runtime) => {
    await using a = await rawBackend();
    await using b = await rawBackend();
    await using proxy = await startProxy(runtime, {
      env: {
        ...QUICK,
        BACKENDS: `${a.url},${b.url}`,
      },
    });
    assert.deepEqual(await shares(proxy, [a, b], 10), [5, 5]);

    // Two failures and a pass, twice: too few in a row.
    const script = [500, 500, 200, 500, 500, 200];
    b.health = async (conn) =>
      await conn.reply({ status: script.shift() ?? 200 });
    await until(() => script.length === 0, { timeoutMs: LONG });
    const probes = b.probes.length;
    await until(() => b.probes.length > probes, { timeoutMs: LONG });
    assert.deepEqual(verdicts(proxy, b), []);
    assert.deepEqual(await shares(proxy, [a, b], 10), [5, 5]);

    let failed = 0;
    b.health = async (conn) => {
      failed++;
      await conn.reply({ status: 500 });
    };
    await proxy.waitForLine(/ is down /, LONG);
    assert.ok(failed >= 3, String(failed));
    assert.deepEqual(await shares(proxy, [a, b], 10), [10, 0]);

    // One pass is not enough, and one line was enough.
    const again = [200, 500, 200, 500];
    b.health = async (conn) =>
      await conn.reply({ status: again.shift() ?? 500 });
    await until(() => again.length === 0, { timeoutMs: LONG });
    assert.deepEqual(await shares(proxy, [a, b], 10), [10, 0]);
    assert.equal(verdicts(proxy, b).length, 1, proxy.log);

    b.health = 200;
    await proxy.waitForLine(/ is up /, LONG);
    assert.deepEqual(await shares(proxy, [a, b], 10), [5, 5]);
    assert.equal(verdicts(proxy, b).length, 2, proxy.log);
  },
);

forBoth("a backend that dies and recovers causes no client error", {
  timeoutMs: 90_000,
}, async (
  runtime,
) => {
  await using a = await rawBackend();
  await using b = await rawBackend();
  await using proxy = await startProxy(runtime, {
    env: { ...QUICK, BACKENDS: `${a.url},${b.url}`, EJECT_TIME: "100ms" },
  });
  await shares(proxy, [a, b], 10);
  await b.kill();
  assert.deepEqual(await shares(proxy, [a, b], 10), [10, 0]);
  await proxy.waitForLine(/ is down /, LONG);
  assert.deepEqual(await shares(proxy, [a, b], 10), [10, 0]);
  await b.restart();
  await proxy.waitForLine(/ is up /, LONG);
  await until(async () => (await shares(proxy, [a, b], 10))[1] === 5, {
    timeoutMs: LONG,
  });
});

forBoth(
  "all down is 503 until one is up",
  { timeoutMs: 90_000 },
  async (runtime) => {
    await using backend = await rawBackend(undefined, { health: 503 });
    await using proxy = await startProxy(runtime, {
      env: { ...QUICK, BACKENDS: backend.url },
    });
    const response = await rawRequest(proxy.port, requestText("GET", "/"));
    assert.equal(response.status, 503);
    assert.equal(response.header("retry-after"), "1");
    assert.equal(
      response.header("proxy-status"),
      "sluice; error=destination_unavailable",
    );
    assert.equal(backend.requests.length, 0);
    backend.health = 200;
    await proxy.waitForLine(/ is up /, LONG);
    assert.deepEqual(await shares(proxy, [backend], 3), [3]);
  },
);

forBoth(
  "a probe that is never answered holds up neither probes nor requests",
  { timeoutMs: 90_000 },
  async (
    runtime,
  ) => {
    await using good = await rawBackend();
    await using hung = await rawBackend();
    await using proxy = await startProxy(runtime, {
      env: { ...QUICK, BACKENDS: `${good.url},${hung.url}` },
    });
    hung.health = "hang";
    await proxy.waitForLine(
      / is down \(probe of \/health: no answer within 290 ms\)/,
      LONG,
    );
    const probes = good.probes.length;
    await until(() => good.probes.length >= probes + 3, { timeoutMs: LONG });
    assert.deepEqual(await shares(proxy, [good, hung], 10), [10, 0]);
    // Each is ended at its time limit: never two at a time.
    await until(() => hung.open <= 2, { timeoutMs: LONG });
  },
);

forBoth(
  "a probe has a User-Agent, follows no redirect, and uses a new connection",
  { timeoutMs: 90_000 },
  async (
    runtime,
  ) => {
    await using backend = await rawBackend(undefined, {
      health: async (conn) =>
        await conn.reply({ status: 302, headers: { Location: "/elsewhere" } }),
    });
    await using proxy = await startProxy(runtime, {
      env: { ...QUICK, BACKENDS: backend.url },
    });
    await until(() => backend.probes.length >= 3, { timeoutMs: LONG });
    assert.equal(backend.requests.length, 0);
    assert.deepEqual(verdicts(proxy, backend), []);
    for (const probe of backend.probes) {
      assert.equal(probe.method, "GET");
      assert.equal(probe.target, "/health");
      assert.equal(probe.header("host"), backend.authority);
      assert.match(probe.header("user-agent") ?? "", /^sluice\/\d+\.\d+\.\d+$/);
    }
    // On its own connection, since it checks whether new ones are accepted.
    const used = new Set(backend.probes.map(({ conn }) => conn.index));
    assert.equal(used.size, backend.probes.length);
  },
);

forBoth(
  "while HEALTH_PATH is unset a status under 500 is up, with one warning",
  { timeoutMs: 90_000 },
  async (runtime) => {
    // Only BACKENDS was set, and /health was not public: the whole site was 503.
    const statuses = [400, 401, 403, 404, 405, 426, 429];
    await using stack = new AsyncDisposableStack();
    const backends: RawBackend[] = [];
    for (const status of statuses) {
      backends.push(
        stack.use(await rawBackend(undefined, { health: status })),
      );
    }
    await using down = await rawBackend(undefined, { health: 501 });
    await using proxy = await startProxy(runtime, {
      env: {
        ...QUICK,
        BACKENDS: [...backends, down].map(({ url }) => url).join(),
      },
    });
    await until(() => backends.every(({ probes }) => probes.length >= 4), {
      timeoutMs: LONG,
    });
    const each = await shares(proxy, [...backends, down], 14);
    assert.deepEqual(each, [...statuses.map(() => 2), 0]);
    for (const [i, { url }] of backends.entries()) {
      const lines = proxy.stderr.filter((line) => line.includes(url));
      assert.equal(lines.length, 1, proxy.log);
      const { [i]: status } = statuses;
      assert.match(lines[0]!, new RegExp(`answers ${status} .*as up: set HEA`));
    }
    assert.equal(verdicts(proxy, down).length, 1);
  },
);

forBoth(
  "a 404 on a configured path is down",
  { timeoutMs: 90_000 },
  async (runtime) => {
    await using backend = await rawBackend(undefined, {
      health: 404,
      healthPath: "/base/alive",
    });
    await using proxy = await startProxy(runtime, {
      env: { ...QUICK, BACKENDS: `${backend.url}/base`, HEALTH_PATH: "/alive" },
    });
    assert.equal(backend.probes[0]!.target, "/base/alive");
    const response = await rawRequest(proxy.port, requestText("GET", "/"));
    assert.equal(response.status, 503);
  },
);

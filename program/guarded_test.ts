/**
 * A library user's callbacks, each of which fails in each way that a function
 * can, in a proxy that has to go on as if nothing were wrong.
 *
 * A `log` that threw left a backend ejected for good, since the timer that would
 * have ended it stood behind the line; it made `proxy.fetch` reject, which ends a
 * process; and a listener of the pool that threw ended it by itself.
 */

import assert from "node:assert/strict";
import {
  createProxy,
  type Lookup,
  type ProxyOptions,
  type ReverseProxy,
} from "../mod.ts";
import { FakeClock, settle } from "../testing/clock.ts";
import { guarded, guardedClock, guardedRandom } from "./guarded.ts";

const A = "http://10.0.0.1:3000";
const B = "http://10.0.0.2:3000";

/** Ways in which a function fails. */
const FAILING: readonly [how: string, fail: () => unknown][] = [
  ["throws", () => {
    throw new Error("the callback's fault");
  }],
  ["throws what has no words", () => {
    throw Object.create(null);
  }],
  ["throws nothing", () => {
    throw undefined;
  }],
  ["is rejected", () => Promise.reject(new Error("the callback's fault"))],
  ["gives a thenable that throws", () => ({
    then() {
      throw new Error("the callback's fault");
    },
  })],
  ["gives nonsense", () => Symbol("nonsense")],
];

/** Callbacks by name, and the options with one that fails. */
const CALLBACKS: readonly [
  name: string,
  options: (fail: () => never) => Partial<ProxyOptions>,
][] = [
  ["log", (log) => ({ log })],
  ["logAccess", (logAccess) => ({ logAccess, accessLog: "json" })],
  ["random", (random) => ({ random, policy: "p2c" })],
  ["a listener of the pool", () => ({})],
];

/** Backends that are well until they are told otherwise, by host. */
function network() {
  const sick = new Set<string>();
  const counts = { probes: 0, requests: 0 };
  const fetch = (input: RequestInfo | URL): Promise<Response> => {
    const url = new URL(String(input));
    const probe = url.pathname === "/health";
    counts[probe ? "probes" : "requests"]++;
    const status = sick.has(url.origin) ? 503 : 200;
    return Promise.resolve(new Response("answer", { status }));
  };
  return { sick, counts, fetch };
}

async function statuses(proxy: ReverseProxy, count: number): Promise<number[]> {
  const found: number[] = [];
  for (let i = 0; i < count; i++) {
    const response = await proxy.fetch(new Request("http://sluice.test/"));
    await response.text();
    found.push(response.status);
  }
  return found;
}

/** Fails if a rejection is left that nothing handles. */
async function handled(body: () => Promise<void>): Promise<void> {
  const left: unknown[] = [];
  const note = (event: PromiseRejectionEvent) => {
    event.preventDefault();
    left.push(event.reason);
  };
  addEventListener("unhandledrejection", note);
  try {
    await body();
    await settle();
    await new Promise((resolve) => setTimeout(resolve));
  } finally {
    removeEventListener("unhandledrejection", note);
  }
  assert.deepEqual(left, []);
}

for (const [name, options] of CALLBACKS) {
  for (const [how, fail] of FAILING) {
    Deno.test(`createProxy() works as usual when ${name} ${how}`, () =>
      handled(async () => {
        const clock = new FakeClock(1_000);
        const { sick, counts, fetch } = network();
        const lines: string[] = [];
        await using proxy = createProxy({
          backends: [A, B],
          fetch,
          clock,
          slowStartMs: 1_000,
          log: (line) => lines.push(line),
          eject: { after: 3, timeMs: 2_000 },
          health: { path: "/health", fall: 2, rise: 1 },
          ...options(fail as () => never),
        });
        if (name.startsWith("a listener")) {
          proxy.pool.subscribe(fail as () => void);
        }
        const told: string[] = [];
        proxy.pool.subscribe(({ type }) => told.push(type));
        await proxy.ready;
        assert.deepEqual(await statuses(proxy, 4), [200, 200, 200, 200]);

        // It ejects, on outcomes alone, and readmits.
        sick.add(B);
        const probed = counts.probes;
        for (let i = 0; i < 100 && !told.includes("ejected"); i++) {
          await statuses(proxy, 1);
        }
        assert.deepEqual(told, ["ejected"]);
        assert.equal(proxy.pool.get(B)!.ejected, true);
        assert.deepEqual(await statuses(proxy, 4), [200, 200, 200, 200]);
        sick.clear();
        await clock.advance(2_300);
        assert.equal(proxy.pool.get(B)!.ejected, false);

        // It goes on probing, takes down, and brings up again.
        sick.add(B);
        await clock.advance(15_000);
        assert.ok(counts.probes > probed + 3);
        assert.equal(proxy.pool.get(B)!.up, false);
        sick.clear();
        await clock.advance(10_000);
        assert.equal(proxy.pool.get(B)!.up, true);

        // The pool takes changes, and warms up what joins.
        const added = proxy.pool.add("http://10.0.0.3:3000");
        await clock.advance(2_000);
        assert.deepEqual([added.up, added.ramp], [true, 1]);
        proxy.pool.drain(added);
        proxy.pool.remove(added);
        assert.deepEqual(told, [
          "ejected",
          "readmitted",
          "down",
          "up",
          "added",
          "up",
          "draining",
          "removed",
        ]);
        assert.deepEqual(await statuses(proxy, 2), [200, 200]);
        assert.equal(proxy.pool.get(A)!.inFlight, 0);
        assert.match(proxy.metrics(), /sluice_backend_up/);
        await proxy.stop();
        assert.equal(clock.pending, 0);
        // What failed is told where it can be: once, or for each event.
        const failures = lines.filter((line) => /fail/.test(line)).length;
        if (how.startsWith("gives ")) {
          assert.equal(failures, name === "random" ? 1 : 0);
        } else if (name.startsWith("a listener")) {
          assert.equal(failures, told.length);
        } else if (name !== "log") assert.equal(failures, 1, String(lines));
      }));
  }
}

for (const [how, fail] of FAILING) {
  Deno.test(`createProxy() answers when fetch ${how}, and probes continue`, () =>
    handled(async () => {
      const clock = new FakeClock(1_000);
      await using proxy = createProxy({
        backends: [A],
        fetch: fail as typeof fetch,
        clock,
        log() {},
        retries: 0,
        health: { intervalMs: 1_000, timeoutMs: 100 },
      });
      const first = proxy.ready;
      await clock.advance(200);
      await first;
      assert.equal(proxy.pool.get(A)!.up, false);
      proxy.pool.get(A)!.up = true;
      const [status] = await statuses(proxy, 1);
      assert.ok([500, 502].includes(status!), String(status));
      assert.equal(proxy.pool.get(A)!.inFlight, 0);
      await clock.advance(5_000);
      assert.equal(proxy.pool.get(A)!.up, false);
    }));

  Deno.test(`createProxy() answers when a function backend ${how}`, () =>
    handled(async () => {
      await using proxy = createProxy({
        backends: [fail as () => Response],
        clock: new FakeClock(1_000),
        log() {},
      });
      const [status] = await statuses(proxy, 1);
      assert.ok([500, 502].includes(status!), String(status));
      assert.equal(proxy.pool.backends[0]!.inFlight, 0);
    }));

  Deno.test(`createProxy() keeps its backends when lookup ${how}`, () =>
    handled(async () => {
      const clock = new FakeClock(1_000);
      const lines: string[] = [];
      let well = true;
      await using proxy = createProxy({
        backends: [{ url: "http://app.test:3000", resolve: true }],
        lookup: (host) =>
          well
            ? Promise.resolve({ addresses: ["10.0.0.1"] })
            : (fail as Lookup)(host),
        fetch: () => Promise.resolve(new Response()),
        clock,
        health: false,
        log: (line) => lines.push(line),
      });
      await proxy.ready;
      assert.equal(proxy.pool.size, 1);
      well = false;
      await clock.advance(60_000);
      assert.equal(proxy.pool.size, 1);
      assert.equal(lines.length, 2, String(lines));
      assert.match(lines[1]!, /app\.test does not resolve .* are kept$/);
      well = true;
      await clock.advance(11_000);
      assert.match(lines[2]!, /app\.test resolves again/);
    }));

  Deno.test(`createProxy() works when each function of its clock ${how}`, () =>
    handled(async () => {
      const lines: string[] = [];
      await using proxy = createProxy({
        backends: [A],
        fetch: () => Promise.resolve(new Response()),
        clock: {
          now: fail as () => number,
          setTimeout: fail as () => void,
          setInterval: fail as () => void,
          clear: fail as () => void,
        },
        log: (line) => lines.push(line),
        health: { intervalMs: 100, timeoutMs: 50 },
      });
      await proxy.ready;
      assert.deepEqual(await statuses(proxy, 2), [200, 200]);
      await proxy.stop();
      assert.equal(lines.length, 1, String(lines));
      assert.match(lines[0]!, /^the option clock failed \(/);
    }));
}

Deno.test("proxy.fetch() answers 500 to an invalid request, and never throws", () =>
  handled(async () => {
    await using proxy = createProxy({ backends: [A], health: false, log() {} });
    for (const odd of [undefined, null, "http://a/", {}, 1]) {
      const response = await proxy.fetch(odd as unknown as Request);
      assert.equal(response.status, 500);
      assert.equal(await response.text(), "Internal error.\n");
    }
  }));

// ── The wrappers themselves ─────────────────────────────────────────────────

Deno.test("guarded() passes on its argument, and no errors", async () => {
  const failures: unknown[] = [];
  const told: number[] = [];
  guarded((n: number) => told.push(n), () => failures.push(1))(7);
  assert.deepEqual([told, failures], [[7], []]);
  const reasons: unknown[] = [];
  guarded(() => Promise.reject("later"), (error) => reasons.push(error))(1);
  guarded(() => {
    throw "now";
  }, (error) => reasons.push(error))(1);
  await settle();
  assert.deepEqual(reasons, ["now", "later"]);
});

Deno.test("guardedRandom() always returns a number in [0, 1)", () => {
  for (const given of [0, 0.5, 1, -1, NaN, Infinity, "0.5", undefined]) {
    let failures = 0;
    const random = guardedRandom(() => given as number, () => failures++);
    const value = random();
    const usable = given === 0 || given === 0.5;
    assert.equal(failures, usable ? 0 : 1, String(given));
    assert.ok(value >= 0 && value < 1);
    if (usable) assert.equal(value, given);
  }
});

Deno.test("guardedClock() falls back to the system clock", async () => {
  const broken = () => {
    throw new Error("no timer");
  };
  let failures = 0;
  const clock = guardedClock({
    now: () => 5,
    setTimeout: broken,
    setInterval: broken,
    clear: broken,
  }, () => failures++);
  assert.equal(clock.now(), 5);
  let fired = 0;
  const interval = clock.setInterval(() => fired++, 1);
  await new Promise<void>((resolve) => {
    clock.setTimeout(resolve, 20);
    // The machine's clock keeps no process alive.
    setTimeout(() => {}, 30);
  });
  clock.clear(interval);
  assert.ok(fired > 0);
  assert.equal(failures, 2);
  await new Promise((resolve) => setTimeout(resolve, 20));
});

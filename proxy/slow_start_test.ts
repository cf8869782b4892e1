import assert from "node:assert/strict";
import { type Backend, Pool } from "../balancer.ts";
import { FakeClock } from "../testing/clock.ts";
import { seeded } from "../testing/random.ts";
import { rampAfter, SlowStart } from "./slow_start.ts";

Deno.test("rampAfter() goes from a tenth to the whole", () => {
  for (
    const [elapsed, ramp] of [
      [-1, 0.1],
      [0, 0.1],
      [5_000, 0.55],
      [10_000, 1],
      [99_000, 1],
    ] as const
  ) assert.equal(rampAfter(elapsed, 10_000), ramp);
});

function started() {
  const clock = new FakeClock();
  const pool = new Pool(["http://a", "http://b"]);
  const slowStart = new SlowStart(pool, 10_000, clock);
  return { clock, pool, slowStart, a: pool.backends[0] as Backend };
}

Deno.test("SlowStart ramps up a backend that comes up, is readmitted, joins, or ends draining", async () => {
  for (const how of ["up", "readmitted", "added", "changed"] as const) {
    const { clock, pool, a } = started();
    let backend = a;
    if (how === "added") backend = pool.add("http://c");
    else if (how === "changed") {
      pool.drain(a);
      pool.drain(a, false);
    } else pool.emit({ type: how, backend: a });
    assert.equal(backend.ramp, 0.1, how);
    await clock.advance(5_000);
    assert.ok(Math.abs(backend.ramp - 0.55) < 0.02, how);
    assert.equal(pool.backends[1]!.ramp, 1);
    await clock.advance(5_000);
    assert.equal(backend.ramp, 1, how);
    assert.equal(clock.pending, 0, "no timer stays behind");
  }
});

Deno.test("SlowStart ignores backends at start, and other changes", () => {
  const { pool, a, clock } = started();
  pool.setWeight(a, 3);
  assert.equal(a.ramp, 1);
  assert.equal(clock.pending, 0);
});

Deno.test("SlowStart restarts for a backend that goes down and comes back", async () => {
  const { clock, pool, a } = started();
  pool.emit({ type: "up", backend: a });
  await clock.advance(9_000);
  pool.emit({ type: "up", backend: a });
  assert.equal(a.ramp, 0.1);
  await clock.advance(10_000);
  assert.equal(a.ramp, 1);
});

Deno.test("SlowStart drops a backend that is removed while it warms up", () => {
  const { clock, pool, a } = started();
  pool.emit({ type: "up", backend: a });
  pool.remove(a);
  assert.equal(clock.pending, 0);
});

Deno.test("SlowStart#stop() gives every backend its full share", () => {
  const { clock, pool, slowStart, a } = started();
  pool.emit({ type: "up", backend: a });
  slowStart.stop();
  slowStart.stop();
  assert.equal(a.ramp, 1);
  assert.equal(clock.pending, 0);
});

Deno.test("SlowStart has one timer at most, whatever joins, leaves and comes back", async () => {
  // It began a timer when nothing warmed up and forgot it when the last backend
  // that did was removed: five backends that came and went left five timers,
  // which stop() did not end.
  for (let seed = 1; seed <= 30; seed++) {
    const random = seeded(seed);
    const { clock, pool, slowStart } = started();
    const began = new Map<Backend, number>();
    let added = 0;
    for (let step = 0; step < 200; step++) {
      const { backends } = pool;
      const backend = backends[Math.floor(random() * backends.length)];
      const what = Math.floor(random() * 6);
      if (what === 0) began.set(pool.add(`http://n${added++}`), clock.now());
      else if (backend === undefined) continue;
      else if (what === 1) pool.remove(backend);
      else if (what === 2) pool.drain(backend);
      else if (what === 3) await clock.advance(random() * 4_000);
      else {
        const again = what === 4 ? "up" : "readmitted";
        pool.emit({ type: again, backend });
        began.set(backend, clock.now());
      }
      assert.ok(clock.pending <= 1, `seed ${seed}: ${clock.pending} timers`);
      for (const backend of pool) {
        const at = began.get(backend);
        const ramp = at === undefined ? 1 : rampAfter(clock.now() - at, 10_000);
        // As of the timer's last step, which is a fiftieth of the whole.
        const late = ramp - backend.ramp;
        assert.ok(late >= -1e-9 && late < 0.04, `seed ${seed}: ${late}`);
      }
    }
    if (seed % 2 === 0) await clock.advance(10_200);
    else slowStart.stop();
    assert.equal(clock.pending, 0, `seed ${seed}`);
    for (const backend of pool) assert.equal(backend.ramp, 1, `seed ${seed}`);
    slowStart.stop();
  }
});

Deno.test("SlowStart ignores events after stop()", () => {
  const clock = new FakeClock();
  const pool = new Pool(["http://a"]);
  // A listener that comes first and stops the proxy when a backend joins.
  const unsubscribe = pool.subscribe(() => slowStart.stop());
  const slowStart = new SlowStart(pool, 10_000, clock);
  const added = pool.add("http://b");
  assert.equal(added.ramp, 1);
  assert.equal(clock.pending, 0);
  unsubscribe();
});

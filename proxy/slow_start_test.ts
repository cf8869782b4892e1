import assert from "node:assert/strict";
import { type Backend, Pool } from "../balancer.ts";
import { FakeClock } from "../testing/clock.ts";
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

Deno.test("SlowStart warms up who comes up, is readmitted, joins, or drains no more", async () => {
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

Deno.test("SlowStart leaves alone who is there at the start, and who only changes", () => {
  const { pool, a, clock } = started();
  pool.setWeight(a, 3);
  assert.equal(a.ramp, 1);
  assert.equal(clock.pending, 0);
});

Deno.test("SlowStart begins anew for who falls and comes back", async () => {
  const { clock, pool, a } = started();
  pool.emit({ type: "up", backend: a });
  await clock.advance(9_000);
  pool.emit({ type: "up", backend: a });
  assert.equal(a.ramp, 0.1);
  await clock.advance(10_000);
  assert.equal(a.ramp, 1);
});

Deno.test("SlowStart#stop() leaves nobody with less than its share", () => {
  const { clock, pool, slowStart, a } = started();
  pool.emit({ type: "up", backend: a });
  slowStart.stop();
  slowStart.stop();
  assert.equal(a.ramp, 1);
  assert.equal(clock.pending, 0);
});

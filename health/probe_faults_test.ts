import assert from "node:assert/strict";
import type { ProbeResult } from "../health.ts";
import { A, B, world } from "../testing/probing.ts";

// ── A probe that could not be made ──────────────────────────────────────────

/** What a probe hears when this process has no descriptor left. */
const STARVED: ProbeResult = {
  error: "this process is out of file descriptors",
  fault: "proxy",
};

Deno.test("a probe that could not be sent is neither a pass nor a failure", async () => {
  // While clients held all descriptors every probe failed for want of one, and
  // all backends were taken down for what this process lacked.
  const w = world({ fall: 2, rise: 2 }, [A, B]);
  w.hear = (url) => ({ status: url === A ? 200 : 500 });
  await w.prober.start();
  const made = w.prober.report(w.pool.get(A)!)!.made;
  w.hear = () => STARVED;
  await w.clock.advance(30_000);
  assert.deepEqual(w.pool.backends.map(({ up }) => up), [true, false]);
  assert.equal(w.prober.report(w.pool.get(A)!)!.made, made);
  assert.deepEqual(w.log.slice(1), [
    "cannot probe (this process is out of file descriptors): " +
    "backends keep their state",
  ]);
  // Tried again within a fifth of an interval, give or take 15 % and a tick.
  const times = w.of(A).slice(-20).map(({ at }) => at);
  for (let i = 1; i < times.length; i++) {
    const gap = times[i]! - times[i - 1]!;
    assert.ok(gap >= 150 && gap <= 300, String(gap));
  }
  // A streak that had begun goes on where it was.
  w.hear = (url) => url === A ? { status: 500 } : { status: 200 };
  await w.clock.advance(300);
  w.hear = () => STARVED;
  await w.clock.advance(3_000);
  assert.deepEqual(w.pool.backends.map(({ up }) => up), [true, false]);
  w.hear = (url) => url === A ? { status: 500 } : { status: 200 };
  await w.clock.advance(1_000);
  assert.deepEqual(w.pool.backends.map(({ up }) => up), [false, true]);
  w.prober.stop();
});

Deno.test("start() waits for a probe that cannot be sent no longer than the timeout", async () => {
  const w = world();
  w.hear = () => STARVED;
  let started = false;
  w.prober.start().then(() => started = true);
  await w.clock.advance(350);
  assert.equal(started, false);
  await w.clock.advance(300);
  assert.equal(started, true);
  assert.equal(w.pool.get(A)!.up, true, "nothing is known of it");
  w.hear = () => ({ status: 500 });
  await w.clock.advance(300);
  assert.equal(w.pool.get(A)!.up, false, "the first result decides alone");
  w.prober.stop();
});

Deno.test("a backend that joins stays down while its probe cannot be sent", async () => {
  const w = world();
  await w.prober.start();
  w.hear = () => STARVED;
  const added = w.pool.add({ url: B });
  await w.clock.advance(5_000);
  assert.equal(added.up, false);
  w.hear = () => ({ status: 200 });
  await w.clock.advance(300);
  assert.equal(added.up, true);
  w.prober.stop();
});

// ── Faults of others ────────────────────────────────────────────────────────

Deno.test("a probe that throws any value, also synchronously, has failed", async () => {
  // What was thrown at once, or had no words, was a rejection that ended the
  // process, and the backend was never asked again.
  for (
    const thrown of [
      new Error("no way"),
      undefined,
      null,
      "no way",
      Object.create(null),
      Symbol("no way"),
    ]
  ) {
    for (const atOnce of [true, false]) {
      const w = world({
        probe: () => {
          if (atOnce) throw thrown;
          return Promise.reject(thrown);
        },
      });
      await w.prober.start();
      assert.equal(w.pool.get(A)!.up, false);
      await w.clock.advance(5_000);
      assert.ok(w.prober.report(w.pool.get(A)!)!.made > 3);
      w.prober.stop();
    }
  }
});

Deno.test("stop() in the middle of an event begins no probe", async () => {
  const w = world();
  // A listener that comes first, and stops the proxy when a backend joins.
  const pool = w.pool;
  const end = pool.subscribe(({ type }) => {
    if (type === "added") w.prober.stop();
  });
  await w.prober.start();
  pool.add({ url: B });
  assert.equal(w.of(B).length, 0);
  assert.equal(w.clock.pending, 0);
  end();
});

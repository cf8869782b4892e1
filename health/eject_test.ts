import assert from "node:assert/strict";
import { type Backend, Pool } from "../balancer.ts";
import { CLEAN_STANDING, Ejector, type Standing, weigh } from "../health.ts";
import { FakeClock } from "../testing/clock.ts";

const RULES = { after: 3, timeMs: 10_000, now: 0 };

/** Folds outcomes, `-` bad and `+` good; gives each ejection's milliseconds. */
function fold(outcomes: string, rules = RULES): (number | "")[] {
  // As if each ejection had just ended.
  let standing: Standing = { ...CLEAN_STANDING, since: rules.now };
  return [...outcomes].map((outcome) => {
    const next = weigh(standing, outcome === "+", rules);
    standing = next.standing;
    return next.eject || "";
  });
}

Deno.test("weigh() ejects after a number of bad outcomes in a row", () => {
  assert.deepEqual(fold("--"), ["", ""]);
  assert.deepEqual(fold("---"), ["", "", 10_000]);
  assert.deepEqual(fold("--+--+-"), ["", "", "", "", "", "", ""]);
  assert.deepEqual(fold("-", { ...RULES, after: 1 }), [10_000]);
});

Deno.test("weigh() doubles each ejection up to five minutes", () => {
  const times = fold("---".repeat(8)).filter((ms) => ms !== "");
  assert.deepEqual(
    times,
    [10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000, 300_000],
  );
});

Deno.test("weigh() forgets one ejection for each quiet stretch of its time", () => {
  const bad = { streak: 2, ejections: 3, since: 100_000 };
  const at = (now: number) => weigh(bad, false, { ...RULES, now }).eject;
  assert.equal(at(100_001), 80_000);
  assert.equal(at(109_999), 80_000);
  assert.equal(at(110_000), 40_000);
  assert.equal(at(130_000), 10_000);
  assert.equal(at(9e9), 10_000);
});

Deno.test("weigh() does not change its input", () => {
  const standing = Object.freeze({ streak: 1, ejections: 1, since: 0 });
  assert.equal(weigh(standing, false, RULES).standing.streak, 2);
  assert.equal(weigh(standing, true, RULES).standing.streak, 0);
  assert.equal(standing.streak, 1);
});

/** A pool of so many, an ejector without jitter, its lines and its events. */
function setUp(
  size: number,
  { after = 3, timeMs = 10_000, jitter = 0.5 } = {},
) {
  const clock = new FakeClock();
  const pool = new Pool(
    Array.from({ length: size }, (_, i) => ({ url: `http://10.0.0.${i + 1}` })),
  );
  const lines: string[] = [];
  const events: string[] = [];
  pool.subscribe(({ type }) => events.push(type));
  const ejector = new Ejector(pool, {
    after,
    timeMs,
    clock,
    random: () => jitter,
    log: (line) => lines.push(line),
  });
  const say = (backend: Backend, outcomes: string, startedAt = clock.now()) => {
    for (const outcome of outcomes) {
      ejector.outcome(backend, outcome === "+", startedAt, "reset");
    }
  };
  const [a, b, c, d] = pool.backends as [Backend, Backend, Backend, Backend];
  return { clock, pool, ejector, lines, events, say, a, b, c, d };
}

Deno.test("Ejector ejects a backend once, with one log line", async () => {
  const { clock, a, say, lines, events } = setUp(3);
  say(a, "--");
  assert.equal(a.ejected, false);
  // A hundred that failed together are one event.
  say(a, "-".repeat(100));
  assert.equal(a.ejected, true);
  assert.deepEqual(events, ["ejected"]);
  assert.deepEqual(lines, [
    "backend http://10.0.0.1 is ejected for 10.0 s " +
    "(3 bad outcomes in a row, the last: reset)",
  ]);
  await clock.advance(9_999);
  assert.equal(a.ejected, true);
  await clock.advance(1);
  assert.equal(a.ejected, false);
  assert.deepEqual(events, ["ejected", "readmitted"]);
  assert.equal(lines.length, 2);
  assert.equal(clock.pending, 0);
});

Deno.test("Ejector ignores outcomes of a backend that was removed", () => {
  const { clock, pool, a, say, lines, events } = setUp(4);
  say(a, "--");
  pool.remove(a);
  say(a, "---");
  assert.deepEqual(events, ["removed"]);
  assert.deepEqual(lines, []);
  assert.equal(clock.pending, 0);
});

Deno.test("Ejector ignores attempts that began before the readmission", async () => {
  const { clock, a, say } = setUp(3);
  say(a, "---");
  await clock.advance(10_000);
  say(a, "-".repeat(50), 9_999);
  assert.equal(a.ejected, false);
  say(a, "---", 10_000);
  assert.equal(a.ejected, true);
});

Deno.test("Ejector doubles the time if a backend fails again", async () => {
  const { clock, a, say, lines } = setUp(3);
  for (let i = 0; i < 3; i++) {
    say(a, "---");
    await clock.advance(10_000 * 2 ** i);
    assert.equal(a.ejected, false);
  }
  assert.deepEqual(
    lines.flatMap((line) => /for (\S+) s/.exec(line)?.[1] ?? []),
    ["10.0", "20.0", "40.0"],
  );
});

for (
  const [size, most] of [[1, 0], [2, 1], [3, 1], [4, 2], [5, 2], [
    6,
    3,
  ]] as const
) {
  Deno.test(`Ejector ejects at most ${most} of ${size}`, () => {
    const { pool, say } = setUp(size);
    for (const backend of pool) say(backend, "----");
    const out = pool.backends.filter((b) => b.ejected).length;
    assert.equal(out, most);
  });
}

Deno.test("Ejector counts only usable backends", () => {
  const { a, b, c, d, say } = setUp(4);
  b.up = false;
  c.draining = true;
  d.weight = 0;
  say(a, "-".repeat(10));
  assert.equal(a.ejected, false, "it is the last");
  b.up = true;
  say(a, "-");
  assert.equal(a.ejected, true, "it stood at the brink");
});

Deno.test("Ejector resets the streak just below the threshold too", () => {
  const { a, b, say } = setUp(2);
  say(a, "---");
  say(b, "-----");
  assert.equal(b.ejected, false);
  say(b, "+");
  a.ejected = false;
  say(b, "-");
  assert.equal(b.ejected, false);
});

Deno.test("Ejector spreads the returns by 10 % either way", () => {
  for (const [jitter, seconds] of [[0, "9.0"], [0.5, "10.0"], [1, "11.0"]]) {
    const { a, say, lines } = setUp(3, { jitter: jitter as number });
    say(a, "---");
    assert.match(lines[0]!, new RegExp(`for ${seconds} s`));
  }
});

Deno.test("Ejector keeps nothing of a backend that never failed", () => {
  const { a, b, say } = setUp(3);
  say(a, "+".repeat(1_000));
  assert.deepEqual([a.ejected, b.ejected], [false, false]);
});

Deno.test("Ejector.stop() leaves no timer, and may be called twice", () => {
  const { a, clock, ejector, say } = setUp(3);
  say(a, "---");
  assert.equal(clock.pending, 1);
  ejector.stop();
  ejector.stop();
  assert.equal(clock.pending, 0);
  assert.equal(a.ejected, true);
});

Deno.test("Ejector drops the state of a removed backend", async () => {
  // Enough backends that one of those left may be ejected.
  const { a, b, clock, pool, say, events } = setUp(4);
  say(a, "---");
  pool.remove(a);
  await clock.advance(60_000);
  assert.deepEqual(events, ["ejected", "removed"]);
  assert.equal(clock.pending, 0);
  say(b, "--");
  pool.remove(b);
  say(b, "---");
  assert.equal(b.ejected, false);
  const again = pool.add({ url: a.url });
  say(again, "--");
  assert.equal(again.ejected, false);
});

Deno.test("ejected backends are used if no other is left, with one event", async () => {
  const { a, b, c, clock, pool, say, events } = setUp(3);
  say(a, "---");
  b.up = c.up = false;
  for (let i = 0; i < 5; i++) assert.equal(pool.pick(), a);
  assert.deepEqual(events, ["ejected", "panic"]);
  b.up = true;
  for (let i = 0; i < 5; i++) assert.equal(pool.pick(), b);
  b.up = false;
  assert.equal(pool.pick(), a);
  assert.deepEqual(events, ["ejected", "panic", "panic"]);
  await clock.advance(10_000);
  assert.deepEqual(events.at(-1), "readmitted");
});

Deno.test("Ejector readmits a backend even if listeners throw", async () => {
  // The timer was set behind the line of the log: a log that threw left the
  // backend ejected for good.
  const { clock, pool, a } = setUp(3);
  const broken = new Ejector(pool, {
    after: 3,
    timeMs: 10_000,
    clock,
    random: () => 0.5,
    log: () => {
      throw new Error("a log's fault");
    },
  });
  const tell = () => broken.outcome(a, false, clock.now(), "reset");
  tell();
  tell();
  assert.throws(tell, /a log's fault/);
  assert.equal(a.ejected, true);
  await assert.rejects(clock.advance(10_000), /a log's fault/);
  assert.equal(a.ejected, false);
  assert.equal(clock.pending, 0);
});

Deno.test("Ejector#stop() prevents further ejections", () => {
  const { clock, ejector, a, say } = setUp(3);
  ejector.stop();
  say(a, "-----");
  assert.equal(a.ejected, false);
  assert.equal(clock.pending, 0);
});

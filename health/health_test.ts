import assert from "node:assert/strict";
import { type Health, observe, UNKNOWN } from "../health.ts";
import { settle } from "../testing/clock.ts";
import { A, B, probing, world } from "../testing/probing.ts";

// ── observe() ───────────────────────────────────────────────────────────────

/** Folds results, `+` a pass and `-` a failure, into the verdicts after each. */
function verdicts(results: string, thresholds = {}): string {
  let health: Health = UNKNOWN;
  return [...results].map((result) => {
    health = observe(health, result === "+", { ...probing, ...thresholds });
    return health.up ? "u" : "d";
  }).join("");
}

const FOLDS: [results: string, verdicts: string, thresholds?: object][] = [
  // The first result decides alone.
  ["+", "u"],
  ["-", "d"],
  // By default three failures take it down and two passes bring it back.
  ["+---", "uuud"],
  ["+--+--+---", "uuuuuuuuud"],
  ["-++", "ddu"],
  ["-+-+-++", "ddddddu"],
  ["+----++---", "uuuddduuud"],
  // One is enough where it is said to be.
  ["+-+-", "udud", { rise: 1, fall: 1 }],
  ["-+++", "dddu", { rise: 3 }],
];

for (const [results, wanted, thresholds] of FOLDS) {
  const given = thresholds === undefined ? "" : JSON.stringify(thresholds);
  Deno.test(`observe() takes ${results} for ${wanted} ${given}`, () => {
    assert.equal(verdicts(results, thresholds), wanted);
  });
}

Deno.test("observe() assumes an unknown backend to be up", () => {
  assert.equal(UNKNOWN.up, true);
  assert.equal(UNKNOWN.known, false);
  assert.equal(observe(UNKNOWN, true, probing).known, true);
});

Deno.test("observe() returns the same object if nothing changes", () => {
  const up = observe(UNKNOWN, true, probing);
  assert.equal(observe(up, true, probing), up);
});

// ── Prober ──────────────────────────────────────────────────────────────────

Deno.test("Prober does nothing until start()", async () => {
  const w = world();
  await w.clock.advance(10_000);
  assert.equal(w.asked.length, 0);
  assert.equal(w.clock.pending, 0);
});

Deno.test("start() probes every backend at once, and resolves after the results", async () => {
  const w = world({ path: "/alive" }, [A, B]);
  w.hear = (url) => url === A ? { status: 200 } : "hang";
  let known = false;
  const ready = w.prober.start().then(() => known = true);
  assert.deepEqual(w.asked.map(({ url, path, at }) => [url, path, at]), [
    [A, "/alive", 500],
    [B, "/alive", 500],
  ]);
  await w.clock.advance(399);
  assert.equal(known, false);
  // The one that hangs has run into its time limit.
  await w.clock.advance(1);
  await ready;
  assert.equal(w.pool.get(A)!.up, true);
  assert.equal(w.pool.get(B)!.up, false);
  w.prober.stop();
});

Deno.test("the first result sets the verdict, and a first pass is not logged", async () => {
  const w = world({ fall: 3 }, [A, B]);
  w.hear = (url) => ({ status: url === A ? 500 : 200 });
  await w.prober.start();
  assert.equal(w.pool.get(A)!.up, false);
  assert.equal(w.pool.get(B)!.up, true);
  assert.deepEqual(w.log, [
    `backend ${A} is down (probe of /health: status 500)`,
  ]);
  assert.deepEqual(w.events, [`down ${A}`]);
  w.prober.stop();
});

Deno.test("only a change of the verdict is logged, in one line", async () => {
  const w = world();
  await w.prober.start();
  const until = async (count: number) => {
    while (w.asked.length < count) await w.clock.advance(10);
    await settle();
  };
  await until(5);
  w.hear = () => ({ status: 503 });
  await until(7);
  assert.deepEqual(w.log, []);
  await until(20);
  assert.equal(w.log.length, 1);
  w.hear = () => new Error("no way");
  await until(25);
  assert.equal(w.log.length, 1);
  w.hear = () => ({ status: 204 });
  await until(40);
  assert.deepEqual(w.log, [
    `backend ${A} is down (probe of /health: status 503)`,
    `backend ${A} is up (status 204)`,
  ]);
  assert.deepEqual(w.events, [`down ${A}`, `up ${A}`]);
  w.prober.stop();
});

Deno.test("a probe that throws has failed, and says why", async () => {
  const w = world();
  w.hear = () => new Error("refused");
  await w.prober.start();
  assert.match(w.log[0]!, /is down \(probe of \/health: refused\)$/);
  w.prober.stop();
});

Deno.test("probes of a backend are an interval apart, give or take 15 %", async () => {
  for (
    const [random, gap] of [[0, 850], [0.5, 1_000], [0.999, 1_150]] as const
  ) {
    const w = world({ random: () => random });
    w.prober.start();
    await w.clock.advance(20_000);
    const times = w.asked.map(({ at }) => at);
    // The first gap is spread wider, see below.
    for (let i = 2; i < times.length; i++) {
      const found = times[i]! - times[i - 1]!;
      // To the tick of the timer that looks who is due.
      assert.ok(found >= gap - 1 && found <= gap + 50, `${found} for ${gap}`);
    }
    assert.ok(times.length > 15);
    w.prober.stop();
  }
});

Deno.test("the second round is spread over an interval", async () => {
  for (const [random, gap] of [[0, 150], [0.999, 1_000]] as const) {
    const w = world({ random: () => random });
    w.prober.start();
    await w.clock.advance(1_100);
    const found = w.asked[1]!.at - w.asked[0]!.at;
    assert.ok(found >= gap - 1 && found <= gap + 50, `${found} for ${gap}`);
    w.prober.stop();
  }
});

Deno.test("two probes of one backend never overlap, whatever they do", async () => {
  // This one ignores that it was aborted, and ends when it likes.
  const w = world({ timeoutMs: 990 }, [A, B]);
  w.hear = (url) => url === A ? "hang" : { status: 200 };
  w.prober.start();
  let open = 0;
  for (let i = 0; i < 1_000; i++) {
    await w.clock.advance(10);
    open = w.of(A).filter(({ signal }) => !signal.aborted).length;
    assert.ok(open <= 1, `${open} at once`);
  }
  // The neighbour is asked all the same.
  assert.ok(w.of(B).length >= 9);
  assert.ok(w.of(A).length >= 5);
  w.prober.stop();
});

Deno.test("a probe that times out has failed", async () => {
  const w = world();
  w.hear = () => "hang";
  const ready = w.prober.start();
  await w.clock.advance(399);
  assert.equal(w.asked[0]!.signal.aborted, false);
  await w.clock.advance(1);
  await ready;
  assert.equal(w.asked[0]!.signal.aborted, true);
  assert.deepEqual(w.log, [
    `backend ${A} is down (probe of /health: no answer within 400 ms)`,
  ]);
  // What it says later is not heard.
  w.asked[0]!.end({ status: 200 });
  await settle();
  assert.equal(w.prober.report(w.pool.get(A)!)!.made, 1);
  w.prober.stop();
});

Deno.test("a redirect is a pass by its status alone", async () => {
  const w = world();
  w.hear = () => ({ status: 302 });
  await w.prober.start();
  assert.equal(w.pool.get(A)!.up, true);
  assert.equal(w.asked.length, 1);
  w.prober.stop();
});

Deno.test("`passes` decides which statuses pass", async () => {
  const w = world({ passes: (status) => status === 418 });
  w.hear = () => ({ status: 200 });
  await w.prober.start();
  assert.equal(w.pool.get(A)!.up, false);
  w.prober.stop();
});

Deno.test("while lenient every status under 500 passes, with one warning per backend", async () => {
  // Only BACKENDS was set, and /health was there for users only, or for POST,
  // or not for this name: the whole site answered 503.
  for (const status of [400, 401, 403, 404, 405, 421, 426, 429, 499]) {
    const w = world({ lenient: true }, [A, B]);
    w.hear = () => ({ status });
    await w.prober.start();
    await w.clock.advance(10_000);
    assert.equal(w.pool.get(A)!.up && w.pool.get(B)!.up, true);
    assert.equal(w.log.length, 2);
    const checksNames = status === 400 || status === 421;
    for (const [i, url] of [A, B].entries()) {
      assert.equal(
        w.log[i],
        `backend ${url} answers ${status} on /health, which counts as up: ` +
          "set HEALTH_PATH to a path that reports its health, or to off" +
          (checksNames
            ? "; where the backend checks Host, set HEALTH_HOST too"
            : ""),
      );
    }
    w.prober.stop();
  }
});

Deno.test("while lenient 500 fails, and so does an interim status", async () => {
  for (const status of [101, 500, 501, 503, 999]) {
    const w = world({ lenient: true });
    w.hear = () => ({ status });
    await w.prober.start();
    assert.equal(w.pool.get(A)!.up, false, String(status));
    w.prober.stop();
  }
});

Deno.test("log lines and events of probes have no query", async () => {
  // A key in HEALTH_PATH came to each reader of the events.
  for (const status of [500, 404]) {
    const w = world({ path: "/h?key=S3cret", lenient: true });
    const reasons: string[] = [];
    w.pool.subscribe(({ reason }) => reasons.push(reason ?? ""));
    w.hear = () => ({ status });
    await w.prober.start();
    assert.equal(w.asked[0]!.path, "/h?key=S3cret");
    assert.equal(w.log.length, 1);
    assert.match(w.log[0]!, / \/h[,:]/);
    assert.doesNotMatch(`${w.log} ${reasons}`, /S3cret/);
    w.prober.stop();
  }
});

Deno.test("when not lenient a 404 is a failure", async () => {
  const w = world({ lenient: false });
  w.hear = () => ({ status: 404 });
  await w.prober.start();
  assert.equal(w.pool.get(A)!.up, false);
  w.prober.stop();
});

Deno.test("a backend that joins is down until its first probe has passed", async () => {
  const w = world();
  await w.prober.start();
  w.hear = (url) => url === B ? "hang" : { status: 200 };
  const added = w.pool.add({ url: B });
  assert.equal(added.up, false);
  // Asked at once and not at the next tick.
  assert.equal(w.of(B).length, 1);
  w.of(B)[0]!.end({ status: 200 });
  await settle();
  assert.equal(added.up, true);
  // Its first pass is no news for the log, but is for who shows the pool.
  assert.deepEqual(w.log, []);
  assert.deepEqual(w.events, [`added ${B}`, `up ${B}`]);
  w.prober.stop();
});

Deno.test("a backend that joins and fails stays down until rise", async () => {
  const w = world({ rise: 2 });
  await w.prober.start();
  w.hear = (url) => ({ status: url === B ? 500 : 200 });
  const added = w.pool.add({ url: B });
  await settle();
  assert.equal(added.up, false);
  w.hear = () => ({ status: 200 });
  while (w.of(B).length < 2) await w.clock.advance(10);
  assert.equal(added.up, false);
  while (w.of(B).length < 3) await w.clock.advance(10);
  assert.equal(added.up, true);
  w.prober.stop();
});

Deno.test("a removed backend is not probed any more, and pending results are dropped", async () => {
  const w = world({}, [A, B]);
  await w.prober.start();
  w.hear = (url) => url === B ? "hang" : { status: 200 };
  while (w.of(B).length < 2) await w.clock.advance(10);
  const gone = w.pool.get(B)!;
  w.pool.remove(gone);
  w.of(B)[1]!.end({ status: 500 });
  await w.clock.advance(5_000);
  assert.equal(w.of(B).length, 2);
  assert.equal(gone.up, true);
  assert.deepEqual(w.log, []);
  assert.equal(w.prober.report(gone), undefined);
  w.prober.stop();
});

Deno.test("a function is not probed, and is up", async () => {
  const w = world({}, []);
  const backend = w.pool.add({
    url: "function:x",
    answer: () => new Response(),
  });
  await w.prober.start();
  const late = w.pool.add({ url: "function:y", answer: () => new Response() });
  await w.clock.advance(10_000);
  assert.equal(w.asked.length, 0);
  assert.equal(backend.up && late.up, true);
  w.prober.stop();
});

Deno.test("stop() ends the timer and what is under way, and start() resolves", async () => {
  const w = world();
  w.hear = () => "hang";
  const ready = w.prober.start();
  await w.clock.advance(10);
  w.prober.stop();
  await ready;
  assert.equal(w.asked[0]!.signal.aborted, true);
  assert.equal(w.clock.pending, 0);
  // Nothing was learned by that.
  assert.equal(w.pool.get(A)!.up, true);
  assert.deepEqual(w.log, []);
  w.pool.add({ url: B });
  await w.clock.advance(10_000);
  assert.equal(w.asked.length, 1);
  w.prober.stop();
});

Deno.test("report() has the number of probes, and the last result", async () => {
  const w = world();
  w.hear = () => "hang";
  w.prober.start();
  await w.clock.advance(120);
  w.asked[0]!.end({ status: 500 });
  await settle();
  const report = w.prober.report(w.pool.get(A)!)!;
  assert.deepEqual(
    [report.made, report.failed, report.lastMs, report.last],
    [1, 1, 120, { status: 500 }],
  );
  assert.deepEqual(report.health, { up: false, streak: 0, known: true });
  w.prober.stop();
});

// ── Prober without timers ───────────────────────────────────────────────────

Deno.test("on demand, a Prober asks at requests alone, and no sooner than is due", async () => {
  const w = world({ onDemand: true, fall: 2, rise: 1 });
  await w.prober.start();
  await w.clock.advance(60_000);
  assert.equal(w.asked.length, 0);
  assert.equal(w.clock.pending, 0);
  await w.prober.probeDue();
  assert.equal(w.asked.length, 1);
  assert.equal(w.prober.probeDue(), undefined);
  await w.clock.advance(1_000);
  w.hear = () => ({ status: 500 });
  await w.prober.probeDue();
  await w.clock.advance(1_000);
  assert.equal(w.pool.get(A)!.up, true);
  await w.prober.probeDue();
  assert.equal(w.pool.get(A)!.up, false);
  await w.clock.advance(1_000);
  w.hear = () => ({ status: 200 });
  await w.prober.probeDue();
  assert.equal(w.pool.get(A)!.up, true);
  assert.equal(w.clock.pending, 0);
  w.prober.stop();
});

Deno.test("on demand, a verdict that is out of date is none until it is renewed", async () => {
  const w = world({ onDemand: true });
  await w.prober.start();
  w.hear = () => ({ status: 500 });
  await w.prober.probeDue();
  assert.equal(w.pool.get(A)!.up, false);
  await w.clock.advance(2_000);
  w.hear = () => "hang";
  w.prober.probeDue();
  assert.equal(w.pool.get(A)!.up, false);
  await w.clock.advance(400);
  await w.clock.advance(10_000);
  const renewed = w.prober.probeDue();
  assert.equal(w.pool.get(A)!.up, true);
  w.asked.at(-1)!.end({ status: 500 });
  await renewed;
  // As at the start, the first result decides alone.
  assert.equal(w.pool.get(A)!.up, false);
  w.prober.stop();
});

Deno.test("on demand, a probe whose request was ended is made again", async () => {
  const w = world({ onDemand: true });
  await w.prober.start();
  w.hear = () => "hang";
  w.prober.probeDue();
  assert.equal(w.asked.length, 1);
  // Its own time limit has gone with the request.
  w.clock.drop();
  await w.clock.advance(900);
  w.prober.probeDue();
  assert.equal(w.asked.length, 1);
  await w.clock.advance(200);
  w.prober.probeDue();
  assert.equal(w.asked.length, 2);
  w.prober.stop();
});

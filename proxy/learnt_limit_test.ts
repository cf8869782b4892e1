import assert from "node:assert/strict"; // built in to both runtimes
import { Agenda } from "../testing/agenda.ts";
import { seeded } from "../testing/random.ts";
import { LearntLimit } from "./learnt_limit.ts";

/** Requests that come at a rate, each of which takes as long as it is told. */
class Traffic {
  now = 0;
  /** In the last run. */
  refused = 0;
  /** Milliseconds that a request takes. */
  waitMs = 20;
  readonly limit: LearntLimit;
  readonly #answers = new Agenda<{ at: number; startedAt: number }>();

  /** Begins at `startMs` of the wall clock. */
  constructor(startMs = 0) {
    this.limit = new LearntLimit({ wallMs: () => startMs + this.now });
  }

  /** Has `rate` requests a second come for so many seconds. */
  run(rate: number, seconds: number): void {
    const end = this.now + seconds * 1_000;
    this.refused = 0;
    for (let at = this.now; at < end; at += 1_000 / rate) {
      this.#answerUntil(at);
      this.now = at;
      if (this.limit.enter(at)) {
        this.#answers.add({ at: at + this.waitMs, startedAt: at });
      } else this.refused++;
    }
    this.#answerUntil(end);
    this.now = end;
  }

  #answerUntil(end: number): void {
    for (let answer; (answer = this.#answers.next()) !== undefined;) {
      const { at, startedAt } = answer;
      if (at > end) return this.#answers.add(answer);
      this.now = at;
      this.limit.leave();
      this.limit.answered(startedAt, at - startedAt, at);
    }
  }
}

Deno.test("LearntLimit starts at 100", () => {
  const limit = new LearntLimit();
  for (let i = 0; i < 100; i++) assert.ok(limit.enter(10 * i));
  assert.equal(limit.enter(1_000), false);
  assert.equal(limit.waiting, 100);
  assert.equal(limit.refused, 1);
  limit.leave();
  assert.ok(limit.enter(1_000));
});

Deno.test("LearntLimit divides its start among workers, down to 10", () => {
  const limits = [1, 3, 4, 64].map((parts) => new LearntLimit({ parts }).limit);
  assert.deepEqual(limits, [100, 34, 25, 10]);
});

Deno.test("LearntLimit admits twice as many after a calm", () => {
  // A process that stood still for a second hands over what came meanwhile, and
  // a limit that is right on average would refuse a part of it.
  const limit = new LearntLimit();
  for (let i = 0; i < 200; i++) assert.ok(limit.enter(0));
  assert.equal(limit.enter(0), false);
  // A moment later they are no surprise any more.
  for (let i = 0; i < 100; i++) limit.leave();
  assert.equal(limit.enter(300), false);
  for (let i = 0; i < 50; i++) limit.leave();
  for (let i = 0; i < 150; i++) assert.ok(limit.enter(301));
});

Deno.test("LearntLimit leaves room for a burst of what comes through, and no more", () => {
  const t = new Traffic();
  // 20 wait at once, and none of them in a queue.
  t.run(1_000, 30);
  assert.equal(t.refused, 0);
  const { limit } = t.limit;
  assert.ok(limit > 700 && limit < 900, String(limit));
  // No answer comes for half a second.
  t.waitMs = 500;
  t.run(1_000, 0.5);
  t.waitMs = 20;
  t.run(1_000, 5);
  assert.equal(t.refused, 0);
  // Less comes, which is no reason for a smaller one, and nothing makes it grow.
  t.run(10, 30);
  assert.ok(t.limit.limit <= 900, String(t.limit.limit));
});

Deno.test("LearntLimit grows before anything is refused", () => {
  const t = new Traffic();
  t.run(1_000, 5);
  // Twice as many come each second: 100 wait at once in the end.
  for (const rate of [2_000, 4_000, 5_000]) t.run(rate, 2);
  assert.equal(t.refused, 0);
  assert.ok(t.limit.limit > 1_000, String(t.limit.limit));
});

Deno.test("LearntLimit refuses nothing of backends that got slow and keep up", () => {
  // A database that is slow for a while makes each request wait, but no more
  // wait than are asked: that is no overload, and a limit that takes latency
  // alone for one would turn a slow site into one that is down.
  const t = new Traffic();
  t.run(100, 20);
  assert.ok(Math.abs(t.limit.baseMs - 20) < 0.1);
  t.waitMs = 600;
  t.run(100, 60);
  assert.equal(t.refused, 0);
  // Long ones are no part of a queue after some seconds: the next burst has room.
  t.waitMs = 20;
  t.run(100, 10);
  assert.equal(t.refused, 0);
});

Deno.test("LearntLimit adapts when backends are slower for good", () => {
  // 300 wait at once, three times what the limit was: most is refused at first.
  const t = new Traffic();
  t.run(150, 20);
  t.waitMs = 2_000;
  t.run(150, 60);
  assert.ok(t.refused > 0);
  t.run(150, 10);
  assert.equal(t.refused, 0);
  assert.ok(t.limit.limit >= 300);
  assert.ok(t.limit.baseMs > 1_000, String(t.limit.baseMs));
});

Deno.test("LearntLimit stops counting long polls", () => {
  // 200 clients each wait half a minute for something to happen, beside quick
  // requests, of which the limit is half as large as that.
  const t = new Traffic();
  t.run(200, 20);
  assert.ok(t.limit.staleMs < 4_000);
  const { limit } = t;
  for (let i = 0; i < 90; i++) assert.ok(limit.enter(t.now));
  // This is what the sweep does to those that wait for longer.
  for (let i = 0; i < 90; i++) limit.leave();
  t.run(200, 5);
  assert.equal(t.refused, 0);
});

Deno.test("LearntLimit stays between 10 and 10,000", () => {
  for (let seed = 1; seed <= 30; seed++) {
    const random = seeded(seed);
    const t = new Traffic(random() * 10_000);
    for (let i = 0; i < 12; i++) {
      t.waitMs = 1 + random() ** 4 * 5_000;
      t.run(1 + random() ** 3 * 2_000, 1 + 5 * random());
      const { limit, waiting } = t.limit;
      assert.ok(limit >= 2 && limit <= 10_000, `${limit}, seed ${seed}`);
      assert.ok(waiting >= 0);
    }
  }
});

Deno.test("LearntLimit counts what enters and leaves, and never more than twice the limit", () => {
  const random = seeded(1);
  const limit = new LearntLimit({ wallMs: () => now });
  let now = 0;
  const started: number[] = [];
  let refused = 0;
  for (let i = 0; i < 200_000; i++) {
    now += random() * 2;
    if (random() < 0.6) {
      const room = limit.waiting < limit.limit;
      const before = limit.limit;
      const entered = limit.enter(now);
      if (entered) started.push(now);
      else refused++;
      // It may have closed a window meanwhile.
      if (limit.limit !== before) continue;
      if (room) assert.ok(entered);
      if (entered) assert.ok(limit.waiting <= 2 * limit.learnt + 1);
    } else if (started.length > 0) {
      const at = started.splice(Math.floor(random() * started.length), 1)[0]!;
      limit.leave();
      if (random() < 0.9) limit.answered(at, now - at, now);
    }
    assert.equal(limit.waiting, started.length);
  }
  assert.equal(limit.refused, refused);
  assert.ok(refused > 0);
});

/**
 * A server that works on `workers` requests at once, each for `workMs`: at half
 * load for three seconds, and then at twice its capacity.
 */
function saturated(
  { workers, workMs, seconds, startMs = 0, held = 0 }: {
    workers: number;
    workMs: number;
    seconds: number;
    startMs?: number;
    /** Milliseconds for which the queue of others keeps each waiting then. */
    held?: number;
  },
) {
  let now = 0;
  const limit = new LearntLimit({ wallMs: () => startMs + now });
  const queue: number[] = [];
  const ends: { at: number; startedAt: number }[] = [];
  const lulls: { at: number; limit: number }[] = [];
  let busy = 0;
  for (; now < seconds * 1_000; now++) {
    const usual = limit.limit;
    while (ends.length > 0 && ends[0]!.at <= now) {
      const { startedAt } = ends.shift()!;
      busy--;
      limit.leave();
      const others = now > 4_000 ? held : 0;
      limit.answered(startedAt, now - startedAt + others, now);
    }
    const load = now < 3_000 ? 0.5 : 2;
    for (let i = 0; i < load * workers / workMs; i++) {
      if (limit.enter(now)) queue.push(now);
    }
    while (busy < workers && queue.length > 0) {
      busy++;
      ends.push({ at: now + workMs, startedAt: queue.shift()! });
    }
    if (limit.limit < usual / 4) lulls.push({ at: now, limit: limit.limit });
  }
  return { limit, lulls };
}

Deno.test("LearntLimit measures the wait without a queue in lulls at set times", () => {
  // Replicas whose lulls come at different times would each see the others'
  // queue, take it for the work, and allow ever longer ones.
  const { limit, lulls } = saturated({
    workers: 40,
    workMs: 20,
    seconds: 80,
    startMs: 14_000,
  });
  // At 30 s, 60 s and 90 s of the wall clock.
  const turns = new Set(
    lulls.map(({ at }) => Math.floor((at + 14_000) / 30_000)),
  );
  assert.deepEqual([...turns], [1, 2, 3]);
  // Half of what the backends have in hand.
  for (const { limit } of lulls) assert.ok(limit >= 15 && limit <= 25);
  assert.ok(Math.abs(limit.baseMs - 20) < 3, String(limit.baseMs));
  // 40 in hand, and a queue of some 200 ms.
  assert.ok(limit.limit > 250 && limit.limit < 600, String(limit.limit));
});

Deno.test("LearntLimit does not take the queue of other replicas for work", () => {
  // Others hold back at no time: each lull finds a wait of 320 ms.
  const { limit } = saturated({
    workers: 40,
    workMs: 20,
    seconds: 80,
    held: 300,
  });
  assert.ok(limit.baseMs < 21, String(limit.baseMs));
});

import assert from "node:assert/strict"; // built in to both runtimes
import { COURSES, overload, type Second, STEP, summary } from "./overload.ts";
import { csv } from "./overload_report.ts";

/** Numbers of backends and of workers per backend. */
const POOLS = [[1, 8], [3, 4], [3, 16]] as const;
const UNEVEN = ["bimodal", "lognormal", "skewed"];

function told(seconds: readonly Second[]): string {
  return `\n${csv(seconds)}`;
}

for (const work of UNEVEN) {
  for (const [backends, workers] of POOLS) {
    Deno.test(`overload() ${work} work, ${backends} × ${workers}: next to nothing is refused at 70 %, little is lost at 200 %, and 5 s later all is well`, () => {
      for (const seed of [1, 2]) {
        const seconds = overload({
          ...STEP,
          work,
          backends,
          workers: () => workers,
          nominal: workers,
          seed,
        });
        const why = `seed ${seed}${told(seconds)}`;
        const before = summary(seconds, 0, 20);
        assert.ok(before.refused <= 0.01, why);
        // From the first second, in which the limit has no data yet.
        const over = summary(seconds, 20, 50);
        assert.ok(over.goodput >= 0.8, `${over.goodput} ${why}`);
        const after = summary(seconds, 55, 70);
        assert.ok(after.refused <= 0.01, why);
        assert.ok(after.p50 <= 2 * before.p50 + 10, why);
      }
    });
  }
}

Deno.test("overload() without a limit: next to no answer comes while it is waited for", () => {
  const seconds = overload({ ...STEP, unlimited: true });
  assert.ok(summary(seconds, 25, 50).goodput < 0.1);
});

Deno.test("overload(): backends that get slower or faster are followed within 10 s", () => {
  for (const seed of [1, 2]) {
    const slower = overload({ ...COURSES["slower"]!, seed });
    assert.ok(summary(slower, 30, 40).goodput >= 0.8, told(slower));
    assert.ok(summary(slower, 45, 60).refused <= 0.01, told(slower));
    const faster = overload({ ...COURSES["faster"]!, seed });
    assert.ok(summary(faster, 30, 40).goodput >= 0.8, told(faster));
    assert.ok(summary(faster, 50, 60).goodput >= 0.8, told(faster));
    // The same work by half as many, and by four times as many as then.
    const workers = overload({ ...COURSES["workers"]!, seed });
    const [before, half, twice] = [[10, 20], [30, 40], [50, 60]].map((
      [from, to],
    ) => summary(workers, from!, to!));
    for (const part of [before!, half!, twice!]) {
      assert.ok(part.goodput >= 0.8, told(workers));
    }
    assert.ok(half!.limit < 0.75 * before!.limit, told(workers));
    assert.ok(twice!.limit > 2 * half!.limit, told(workers));
  }
});

Deno.test("overload(): backends at half their load may become half as fast", () => {
  const seconds = overload({
    load: () => 0.35,
    speed: (s) => s < 20 ? 1 : 0.5,
    seconds: 40,
  });
  assert.equal(summary(seconds, 0, 40).refused, 0);
});

Deno.test("overload(): a proxy that is started in the middle of it learns in seconds", () => {
  for (const seed of [1, 2]) {
    const seconds = overload({ ...COURSES["cold"]!, seed });
    assert.ok(summary(seconds, 5, 30).goodput >= 0.8, told(seconds));
  }
});

Deno.test("overload(): many proxies that share backends hold the queue down together", () => {
  for (const seed of [1, 2]) {
    const seconds = overload({ ...COURSES["fleet"]!, seed });
    const why = `seed ${seed}${told(seconds)}`;
    assert.ok(summary(seconds, 0, 20).refused <= 0.01, why);
    assert.ok(summary(seconds, 20, 50).goodput >= 0.8, why);
    assert.ok(summary(seconds, 40, 50).p50 < 700, why);
    assert.ok(summary(seconds, 55, 70).refused <= 0.01, why);
  }
});

Deno.test("overload(): many proxies whose clocks differ do so too", () => {
  for (const skewMs of [300, 10_000]) {
    const seconds = overload({ ...COURSES["fleet"]!, skewMs });
    assert.ok(summary(seconds, 20, 50).goodput >= 0.8, told(seconds));
    assert.ok(summary(seconds, 40, 50).p50 < 700, told(seconds));
  }
});

Deno.test("overload(): a proxy that joins others in it does not drive them out", () => {
  for (const seed of [1, 2]) {
    const seconds = overload({ ...COURSES["newcomer"]!, seed });
    assert.ok(summary(seconds, 20, 60).goodput >= 0.8, told(seconds));
    assert.ok(summary(seconds, 40, 60).p50 < 700, told(seconds));
  }
});

Deno.test("overload(): a backend that hangs does not use up the limit for the others", () => {
  for (const seed of [1, 2]) {
    const seconds = overload({ ...COURSES["hung"]!, seed });
    // More requests hang each second, and as many as before get through.
    assert.ok(summary(seconds, 0, 40).refused <= 0.01, told(seconds));
    assert.ok(summary(seconds, 15, 40).refused <= 0.001, told(seconds));
    assert.ok(summary(seconds, 15, 40).p50 < 50, told(seconds));
    // With two such backends half of all requests would hang and set the limit.
    const two = overload({
      ...COURSES["hung"]!,
      backends: 2,
      load: () => 0.35,
      seed,
    });
    assert.ok(summary(two, 0, 40).refused <= 0.001, told(two));
  }
});

Deno.test("overload() says the same each time", () => {
  const course = { ...COURSES["cold"]!, seconds: 3 };
  assert.equal(csv(overload(course)), csv(overload(course)));
});

import assert from "node:assert/strict";
import { FakeClock } from "./clock.ts";

Deno.test("FakeClock fires timers in order, at their own time", async () => {
  const clock = new FakeClock(100);
  const fired: string[] = [];
  const note = (name: string) => () => fired.push(`${name}@${clock.now()}`);
  clock.setTimeout(note("c"), 20);
  clock.setTimeout(note("a"), 10);
  clock.setTimeout(note("b"), 10);
  clock.setTimeout(note("late"), 31);
  await clock.advance(30);
  assert.deepEqual(fired, ["a@110", "b@110", "c@120"]);
  assert.equal(clock.now(), 130);
  assert.equal(clock.pending, 1);
  await clock.advance(1);
  assert.equal(fired.at(-1), "late@131");
  assert.equal(clock.pending, 0);
});

Deno.test("FakeClock lets promises settle between two timers", async () => {
  const clock = new FakeClock();
  const order: string[] = [];
  clock.setTimeout(async () => {
    for (let i = 0; i < 100; i++) await Promise.resolve();
    order.push("after 100 awaits");
    clock.setTimeout(() => order.push("set on the way"), 5);
  }, 1);
  clock.setTimeout(() => order.push("second"), 2);
  await clock.advance(10);
  assert.deepEqual(order, ["after 100 awaits", "second", "set on the way"]);
});

Deno.test("FakeClock repeats intervals until they are cleared", async () => {
  const clock = new FakeClock();
  const at: number[] = [];
  const handle = clock.setInterval(() => {
    at.push(clock.now());
    if (at.length === 3) clock.clear(handle);
  }, 10);
  assert.equal(clock.pending, 1);
  await clock.advance(1_000);
  assert.deepEqual(at, [10, 20, 30]);
  assert.equal(clock.pending, 0);
  clock.clear(handle);
});

Deno.test("FakeClock fires nothing that was cleared, and fires at 0", async () => {
  const clock = new FakeClock();
  const fired: string[] = [];
  const second = clock.setTimeout(() => fired.push("second"), 2);
  clock.setTimeout(() => clock.clear(second), 1);
  clock.setTimeout(() => fired.push("now"), 0);
  await clock.advance(0);
  assert.deepEqual(fired, ["now"]);
  await clock.advance(5);
  assert.deepEqual(fired, ["now"]);
});

Deno.test("FakeClock hands on what a callback throws", async () => {
  const clock = new FakeClock();
  clock.setTimeout(() => {
    throw new RangeError("told so");
  }, 1);
  await assert.rejects(clock.advance(2), RangeError);
});

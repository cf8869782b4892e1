import assert from "node:assert/strict";
import { FakeClock } from "../testing/clock.ts";
import { InFlight, Swept, TICK_MS } from "./in_flight.ts";

class Item extends Swept {
  readonly seen: number[] = [];
  then: (() => void) | undefined;

  override sweep(now: number): void {
    this.seen.push(now);
    this.then?.();
  }
}

function items(count: number): Item[] {
  return Array.from({ length: count }, () => new Item());
}

Deno.test("InFlight keeps its items in any order of removal", () => {
  const list = new InFlight(new FakeClock());
  const [a, b, c] = items(3) as [Item, Item, Item];
  for (const item of [a, b, c]) list.add(item);
  assert.equal(list.size, 3);
  assert.deepEqual(new Set(list), new Set([a, b, c]));
  list.remove(b);
  assert.deepEqual(new Set(list), new Set([a, c]));
  list.remove(c);
  assert.deepEqual([...list], [a]);
  list.remove(a);
  assert.deepEqual([...list], []);
  assert.equal(list.size, 0);
  list.add(b);
  assert.deepEqual([...list], [b]);
});

Deno.test("InFlight sweeps all items on each tick, and no removed one", async () => {
  const clock = new FakeClock();
  const list = new InFlight(clock);
  const [a, b] = items(2) as [Item, Item];
  list.add(a);
  await clock.advance(TICK_MS / 2);
  list.add(b);
  await clock.advance(TICK_MS / 2);
  list.remove(a);
  await clock.advance(TICK_MS);
  assert.deepEqual(a.seen, [TICK_MS]);
  assert.deepEqual(b.seen, [TICK_MS, 2 * TICK_MS]);
});

Deno.test("InFlight allows removal during a sweep", async () => {
  const clock = new FakeClock();
  const list = new InFlight(clock);
  const all = items(3);
  for (const item of all) {
    list.add(item);
    item.then = () => list.remove(item);
  }
  await clock.advance(TICK_MS);
  assert.deepEqual(all.map(({ seen }) => seen.length), [1, 1, 1]);
  assert.equal(list.size, 0);
});

Deno.test("InFlight has one timer, and none once there is nothing to do", async () => {
  const clock = new FakeClock();
  const list = new InFlight(clock);
  assert.equal(clock.pending, 0);
  const all = items(100);
  for (const item of all) list.add(item);
  assert.equal(clock.pending, 1);
  for (const item of all) list.remove(item);
  // It stays until its next tick, for the request that comes right after.
  assert.equal(clock.pending, 1);
  await clock.advance(TICK_MS);
  assert.equal(clock.pending, 0);
  list.add(all[0]!);
  assert.equal(clock.pending, 1);
});

Deno.test("stopIfIdle() stops the timer at once, but only without items", () => {
  const clock = new FakeClock();
  const list = new InFlight(clock);
  const item = new Item();
  list.add(item);
  list.stopIfIdle();
  assert.equal(clock.pending, 1);
  list.remove(item);
  list.stopIfIdle();
  assert.equal(clock.pending, 0);
  list.stopIfIdle();
  list.add(item);
  assert.equal(clock.pending, 1);
});

Deno.test("InFlight has a timer per item if a shared one would end with a request", async () => {
  const clock = new FakeClock();
  const list = new InFlight(clock, undefined, true);
  const [a, b] = items(2) as [Item, Item];
  list.add(a);
  list.add(b);
  assert.equal(clock.pending, 2);
  await clock.advance(TICK_MS);
  assert.deepEqual([a.seen, b.seen], [[TICK_MS], [TICK_MS]]);
  list.remove(a);
  assert.equal(clock.pending, 1);
  list.remove(b);
  assert.equal(clock.pending, 0);
});

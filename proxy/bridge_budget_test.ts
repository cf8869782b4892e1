import assert from "node:assert/strict";
import { BridgeBudget, FREE, type Holder } from "./bridge_budget.ts";

class FakeHolder implements Holder {
  counted = 0;
  shedding = false;
  sheds = 0;
  constructor(public held: number, readonly frees = true) {}
  shed(): void {
    this.sheds++;
    this.shedding = true;
    if (this.frees) this.held = 0;
  }
}

const K = 1024;

Deno.test("BridgeBudget counts only large buffers", () => {
  const budget = new BridgeBudget(1, 1000 * K);
  const holder = new FakeHolder(FREE);
  budget.count(holder);
  assert.equal(budget.total, 0);
  holder.held = FREE + 1;
  budget.count(holder);
  budget.count(holder);
  assert.equal(budget.total, FREE + 1);
  holder.held = 100 * K;
  budget.count(holder);
  assert.equal(budget.total, 100 * K);
  holder.held = 1;
  budget.count(holder);
  assert.equal(budget.total, 0);
});

Deno.test("BridgeBudget sheds the largest holder", () => {
  const budget = new BridgeBudget(1, 1000 * K);
  const [a, b, c] = [500, 300, 100].map((size) => new FakeHolder(size * K)) as [
    FakeHolder,
    FakeHolder,
    FakeHolder,
  ];
  for (const holder of [a, b, c]) budget.count(holder);
  // What has left since it was counted does not count.
  a.held = 200 * K;
  c.held = 400 * K;
  budget.count(c);
  assert.deepEqual([a.sheds, b.sheds, c.sheds], [0, 0, 0]);
  assert.equal(budget.total, 900 * K);
  b.held = 500 * K;
  budget.count(b);
  assert.deepEqual([a.sheds, b.sheds, c.sheds], [0, 1, 0]);
  assert.equal(budget.total, 600 * K);
});

Deno.test("BridgeBudget sheds another one if the first cannot release", () => {
  const budget = new BridgeBudget(1, 1000 * K);
  const stuck = new FakeHolder(900 * K, false);
  const next = new FakeHolder(90 * K);
  budget.count(stuck);
  budget.count(next);
  next.held = 200 * K;
  budget.count(next);
  assert.deepEqual([stuck.sheds, next.sheds], [1, 0]);
  assert.equal(budget.total, 1100 * K);
  next.held = 201 * K;
  budget.count(next);
  assert.deepEqual([stuck.sheds, next.sheds], [1, 1]);
  // It is counted until it is gone.
  assert.equal(budget.total, 900 * K);
  budget.remove(stuck);
  assert.equal(budget.total, 0);
});

Deno.test("BridgeBudget has room for four of the largest messages", () => {
  const budget = new BridgeBudget(64 * K * K);
  const four = Array.from({ length: 4 }, () => new FakeHolder(64 * K * K));
  for (const holder of four) budget.count(holder);
  assert.deepEqual(four.map(({ sheds }) => sheds), [0, 0, 0, 0]);
});

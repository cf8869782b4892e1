import assert from "node:assert/strict";
import {
  decide,
  type Decision,
  isIdempotent,
  RetryBudget,
  type Situation,
} from "./retry.ts";

/** A lost connection in a GET's first attempt, with a budget. */
const LOST: Situation = {
  clientGone: false,
  timedOut: false,
  sent: true,
  idempotent: true,
  replayable: true,
  retries: 0,
  refusals: 0,
  maxRetries: 2,
  budget: () => true,
};
const REFUSED: Situation = { ...LOST, sent: false };

const CASES: readonly [string, Situation, Partial<Situation>, Decision][] = [
  ["a lost GET", LOST, {}, "retry"],
  ["a lost POST", LOST, { idempotent: false }, "not repeatable"],
  ["a lost PUT whose body is gone", LOST, { replayable: false }, "body spent"],
  ["a lost GET, once more", LOST, { retries: 1 }, "retry"],
  ["a lost GET, retried twice", LOST, { retries: 2 }, "enough tried"],
  ["a lost GET after refusals", LOST, { refusals: 9 }, "retry"],
  ["a lost GET without budget", LOST, { budget: () => false }, "budget spent"],
  ["a refused GET", REFUSED, {}, "retry"],
  ["a refused POST", REFUSED, { idempotent: false }, "retry"],
  ["a refused GET, retried twice", REFUSED, { retries: 2 }, "retry"],
  ["a refused GET without budget", REFUSED, { budget: () => false }, "retry"],
  ["a refused body that is gone", REFUSED, { replayable: false }, "body spent"],
  ["refused 99 times", REFUSED, { refusals: 99 }, "retry"],
  ["refused a hundred times", REFUSED, { refusals: 100 }, "enough tried"],
  ["refused, RETRIES=0", REFUSED, { maxRetries: 0 }, "retries off"],
  ["lost, RETRIES=0", LOST, { maxRetries: 0 }, "retries off"],
  ["a client that left", REFUSED, { clientGone: true }, "client gone"],
  ["past the time limit", REFUSED, { timedOut: true }, "timed out"],
];

for (const [name, situation, change, wanted] of CASES) {
  Deno.test(`decide(): ${name} is "${wanted}"`, () => {
    assert.equal(decide({ ...situation, ...change }), wanted);
  });
}

Deno.test("decide() takes from the budget only for what is then retried", () => {
  let taken = 0;
  const budget = () => {
    taken++;
    return true;
  };
  for (const [, situation, change, wanted] of CASES) {
    if (wanted === "budget spent") continue;
    taken = 0;
    decide({ ...situation, ...change, budget });
    const { sent } = { ...situation, ...change };
    assert.equal(taken, wanted === "retry" && sent ? 1 : 0, wanted);
  }
});

Deno.test("isIdempotent() knows RFC 9110's methods and no others", () => {
  for (const method of ["GET", "HEAD", "OPTIONS", "PUT", "DELETE"]) {
    assert.equal(isIdempotent(method), true, method);
  }
  for (const method of ["POST", "PATCH", "QUERY", "PURGE", "get", "X", ""]) {
    assert.equal(isIdempotent(method), false, method);
  }
});

/** How many retries are granted at `now`, up to 10,000. */
function granted(budget: RetryBudget, now: number): number {
  let count = 0;
  while (count < 10_000 && budget.take(now)) count++;
  return count;
}

Deno.test("RetryBudget grants 100 retries without any request", () => {
  const budget = new RetryBudget(0.2);
  assert.equal(granted(budget, 0), 100);
  assert.equal(budget.refused, 1);
});

Deno.test("RetryBudget grants its share of the requests in addition", () => {
  const budget = new RetryBudget(0.2);
  for (let i = 0; i < 1_000; i++) budget.request(i * 5);
  assert.equal(granted(budget, 5_000), 300);
});

Deno.test("RetryBudget divides what is always allowed among workers", () => {
  assert.equal(granted(new RetryBudget(0, 4), 0), 25);
  assert.equal(granted(new RetryBudget(0, 3), 0), 34);
});

Deno.test("RetryBudget never grants a part of a retry too much", () => {
  const budget = new RetryBudget(0.2);
  for (let i = 0; i < 9; i++) budget.request(0);
  assert.equal(granted(budget, 0), 101);
});

Deno.test("RetryBudget drops counts after ten seconds", () => {
  const budget = new RetryBudget(0.2);
  for (let i = 0; i < 1_000; i++) budget.request(500);
  assert.equal(granted(budget, 500), 300);
  assert.equal(granted(budget, 9_999), 0);
  // The requests are gone, and so are the retries.
  assert.equal(granted(budget, 10_000), 100);
  assert.equal(granted(budget, 3_600_000), 100);
});

Deno.test("RetryBudget counts a second on its own as it goes out", () => {
  const budget = new RetryBudget(0);
  for (let second = 0; second < 10; second++) {
    for (let i = 0; i < 10; i++) {
      assert.equal(budget.take(second * 1_000), true);
    }
  }
  assert.equal(budget.take(9_000), false);
  assert.equal(granted(budget, 10_000), 10);
  assert.equal(granted(budget, 11_500), 10);
});

Deno.test("RetryBudget covers the death of one of three backends under load", () => {
  // 3,000 requests a second; a third of what is under way at 10 ms each, and of
  // what comes in the 10 ms until it is ejected.
  const budget = new RetryBudget(0.2);
  for (let ms = 0; ms < 10_000; ms++) {
    for (let i = 0; i < 3; i++) budget.request(ms);
  }
  for (let i = 0; i < 1_000; i++) assert.equal(budget.take(10_000), true);
});

import assert from "node:assert/strict";
import { MAX_LISTED } from "../config/backends.ts";
import { MAX_SHARED } from "./capacity.ts";
import { Places, Table, tableBytes } from "./table.ts";

function tableOf(workers: number) {
  const buffer = new SharedArrayBuffer(tableBytes(workers));
  return {
    first: new Table(buffer, workers),
    of: (own: number) => new Table(buffer, workers, own),
  };
}

Deno.test("a table has room for a list of the greatest length and its replacement", () => {
  assert.ok(MAX_SHARED >= 2 * MAX_LISTED, `${MAX_SHARED}, ${MAX_LISTED}`);
});

Deno.test("Table sums what its workers have under way", () => {
  const { first, of } = tableOf(3);
  const [a, b] = [of(0).place(7), of(2).place(7)];
  assert.ok(a.enter(Infinity) && a.enter(Infinity) && b.enter(Infinity));
  const seen = first.place(7);
  assert.equal(seen.inFlight, 3);
  assert.equal(seen.requests, 3);
  assert.equal(seen.readOnly, true);
  assert.equal(a.readOnly, false);
  a.leave();
  assert.equal(b.inFlight, 2);
  assert.equal(seen.requests, 3);
  assert.equal(first.place(8).inFlight, 0, "another backend's place");
});

Deno.test("Place.enter() lets no more in than the limit, whoever asks", () => {
  const { of } = tableOf(2);
  const [a, b] = [of(0).place(1), of(1).place(1)];
  assert.deepEqual([a.enter(2), b.enter(2), a.enter(2), b.enter(2)], [
    true,
    true,
    false,
    false,
  ]);
  assert.equal(a.inFlight, 2, "a refusal leaves no trace");
  b.leave();
  assert.equal(a.enter(2), true);
});

Deno.test("Table counts all requests beside those of a backend", () => {
  const { first, of } = tableOf(2);
  assert.equal(of(1).all.enter(1), true);
  assert.equal(of(0).all.enter(1), false);
  assert.equal(first.all.inFlight, 1);
});

Deno.test("Table.forget() takes out what a dead worker had under way", () => {
  const { first, of } = tableOf(2);
  const [a, b] = [of(0), of(1)];
  a.all.enter(Infinity);
  a.place(3).enter(Infinity);
  a.place(3).enter(Infinity);
  b.place(3).enter(Infinity);
  first.forget(0);
  assert.equal(first.all.inFlight, 0);
  assert.equal(first.place(3).inFlight, 1, "the other goes on");
  assert.equal(first.place(3).requests, 3, "what was counted stays");
  first.forget(0);
  assert.equal(first.place(3).inFlight, 1, "once is enough");
});

Deno.test("Place.suspect is set by the first process and read by workers", () => {
  const { first, of } = tableOf(1);
  const worker = of(0).place(2);
  assert.equal(worker.suspect, false);
  first.place(2).suspect = true;
  assert.equal(worker.suspect, true);
  first.clear(2);
  assert.equal(worker.suspect, false);
});

Deno.test("Places gives a place away anew only when there is no other", () => {
  const cleared: number[] = [];
  const places = new Places((at) => cleared.push(at));
  const first = places.take();
  assert.notEqual(first, 0, "0 is for all requests");
  places.give(first);
  const seen = new Set<number>();
  let at = places.take();
  while (at !== first) {
    assert.ok(!seen.has(at));
    seen.add(at);
    at = places.take();
  }
  assert.deepEqual(cleared, [first]);
  assert.equal(seen.size, MAX_SHARED - 1);
  assert.throws(() => places.take(), RangeError);
});

Deno.test("Place counts for the first process too, though that one only looks", () => {
  // A request that was handed to the first process's own handler was answered
  // with 500, and had been counted for all by then: nothing ever took it out.
  const { first, of } = tableOf(2);
  const [own, worker] = [first.place(5), of(0).place(5)];
  assert.equal(own.enter(2), true);
  assert.equal(worker.enter(2), true);
  assert.equal(own.enter(2), false, "one limit for all of them");
  assert.equal(worker.inFlight, 2);
  assert.equal(own.requests, 2);
  own.leave();
  worker.leave();
  assert.equal(own.inFlight, 0);
  assert.equal(first.all.enter(1), true);
  first.all.leave();
  assert.equal(of(1).all.inFlight, 0);
});

Deno.test("Place.adopt() takes over what was counted before it was shared", () => {
  const { first, of } = tableOf(1);
  const own = first.place(3);
  own.adopt(2, 7);
  assert.equal(of(0).place(3).inFlight, 2);
  assert.equal(own.requests, 7);
  own.leave();
  own.leave();
  assert.equal(own.inFlight, 0);
});

Deno.test("Table.place() refuses a number that it has no place for", () => {
  const { first } = tableOf(1);
  for (const at of [-1, 0.5, NaN, Infinity, MAX_SHARED + 1]) {
    assert.throws(() => first.place(at), RangeError, String(at));
  }
  assert.equal(first.place(MAX_SHARED).inFlight, 0);
});

Deno.test("Table.unowned() finds what a worker has counted for all and not for itself", () => {
  const buffer = new SharedArrayBuffer(tableBytes(1));
  const first = new Table(buffer, 1);
  const worker = new Table(buffer, 1, 0);
  worker.place(4).enter(Infinity);
  assert.deepEqual([...first.unowned()], []);
  // Killed between its two steps, as far as memory can tell.
  worker.place(9).enter(Infinity);
  halve(buffer, 9);
  assert.deepEqual([...first.unowned()], [[9, 1]]);
  first.disown(9, 1);
  assert.deepEqual([...first.unowned()], []);
  assert.equal(first.place(9).inFlight, 0);
});

/** Takes a worker's own part of a place back, and leaves the sum. */
function halve(buffer: SharedArrayBuffer, at: number): void {
  const all = new Int32Array(buffer);
  // The rows of parts are the last ones: the worker's, and the first process's.
  const places = MAX_SHARED + 1;
  all[all.length - 2 * places + at]! -= 1;
}

import assert from "node:assert/strict";
import { Places, Table, tableBytes } from "./table.ts";

function tableOf(workers: number) {
  const buffer = new SharedArrayBuffer(tableBytes(workers));
  return {
    first: new Table(buffer, workers),
    of: (own: number) => new Table(buffer, workers, own),
  };
}

Deno.test("Table sums what its workers have under way", () => {
  const { first, of } = tableOf(3);
  const [a, b] = [of(0).place(7, 0), of(2).place(7, 2)];
  assert.ok(a.enter(Infinity) && a.enter(Infinity) && b.enter(Infinity));
  const seen = first.place(7);
  assert.equal(seen.inFlight, 3);
  assert.equal(seen.requests, 3);
  assert.equal(seen.looks, true);
  assert.equal(a.looks, false);
  a.leave();
  assert.equal(b.inFlight, 2);
  assert.equal(seen.requests, 3);
  assert.equal(first.place(8).inFlight, 0, "another backend's place");
});

Deno.test("Place.enter() lets no more in than the limit, whoever asks", () => {
  const { of } = tableOf(2);
  const [a, b] = [of(0).place(1, 0), of(1).place(1, 1)];
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
  a.place(3, 0).enter(Infinity);
  a.place(3, 0).enter(Infinity);
  b.place(3, 1).enter(Infinity);
  first.forget(0);
  assert.equal(first.all.inFlight, 0);
  assert.equal(first.place(3).inFlight, 1, "the other goes on");
  assert.equal(first.place(3).requests, 3, "what was counted stays");
  first.forget(0);
  assert.equal(first.place(3).inFlight, 1, "once is enough");
});

Deno.test("Place.suspect is set by the first process and read by workers", () => {
  const { first, of } = tableOf(1);
  const worker = of(0).place(2, 0);
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
  assert.equal(seen.size, 8190);
  assert.throws(() => places.take(), RangeError);
});

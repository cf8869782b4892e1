import assert from "node:assert/strict";
import { Backend, Pool } from "../balancer.ts";
import { applyStates, type BackendState, stateOf } from "./replica.ts";
import { Table, tableBytes } from "./table.ts";

function states(...urls: string[]): BackendState[] {
  return urls.map((url, i) => stateOf(new Backend({ url }), i + 1));
}

const table = new Table(new SharedArrayBuffer(tableBytes(1)), 1, 0);
const place = (at: number) => table.place(at);

Deno.test("applyStates() adds, changes and removes, and tells of each difference", () => {
  const pool = new Pool([]);
  const [a, b] = states("http://a.test:80", "http://b.test:80");
  applyStates(pool, [a!, b!], place);
  const events: string[] = [];
  pool.subscribe(({ type, backend }) =>
    events.push(`${type} ${backend?.authority}`)
  );
  const before = pool.get("http://a.test:80")!;
  before.inFlight = 2;

  applyStates(pool, [{ ...a!, up: false, weight: 3 }, b!], place);
  assert.deepEqual(events.splice(0), ["changed a.test:80", "down a.test:80"]);
  assert.equal(pool.get("http://a.test:80"), before, "it is the same one");
  assert.equal(before.inFlight, 2);
  assert.equal(before.weight, 3);
  assert.equal(before.up, false);

  applyStates(pool, [a!, { ...b!, ejected: true, draining: true }], place);
  assert.deepEqual(events.splice(0), [
    "changed a.test:80",
    "up a.test:80",
    "ejected b.test:80",
    "draining b.test:80",
  ]);

  const [, , c] = states("", "", "http://c.test:80");
  applyStates(pool, [b!, c!], place);
  assert.deepEqual(events.splice(0), [
    "removed a.test:80",
    "readmitted b.test:80",
    "changed b.test:80",
    "added c.test:80",
  ]);
  assert.deepEqual(pool.backends.map(({ authority }) => authority), [
    "b.test:80",
    "c.test:80",
  ]);
});

Deno.test("applyStates() does nothing when nothing is new", () => {
  const pool = new Pool([]);
  const all = states("http://a.test:80", "http://b.test:80");
  applyStates(pool, all, place);
  pool.subscribe(({ type }) => assert.fail(type));
  applyStates(pool, structuredClone(all), place);
});

Deno.test("applyStates() joins counts that others see", () => {
  const pool = new Pool([]);
  applyStates(pool, states("http://a.test:80"), place);
  const [backend] = pool;
  assert.equal(backend!.enter(), true);
  assert.equal(place(1).inFlight, 1);
  backend!.leave();
  assert.equal(place(1).inFlight, 0);
});

Deno.test("applyStates() takes a backend that was removed and added again for another", () => {
  // In one message it is the same URL as before, and nothing but its place tells
  // that the first process has a new one. The worker went on to count where
  // it was read no more, so that no limit held.
  const pool = new Pool([]);
  const [a] = states("http://a.test:80");
  applyStates(pool, [a!], place);
  const before = pool.backends[0]!;
  before.enter();
  const events: string[] = [];
  pool.subscribe(({ type }) => events.push(type));
  applyStates(pool, [{ ...a!, place: 7 }], place);
  assert.deepEqual(events, ["removed", "added"]);
  const after = pool.get("http://a.test:80")!;
  assert.notEqual(after, before);
  after.enter();
  assert.equal(place(7).inFlight, 1);
  assert.equal(place(1).inFlight, 1, "what it was answering is its own");
  before.leave();
  assert.equal(place(1).inFlight, 0);
  after.leave();
});

Deno.test("applyStates() has the ids and the names of the first process", () => {
  const pool = new Pool([]);
  const [a, b] = states("http://a.test:80", "http://b.test:80");
  applyStates(pool, [
    { ...a!, id: "00000001", name: "one" },
    { ...b!, id: "00000002", name: "two" },
  ], place);
  const [first, second] = pool.backends as [Backend, Backend];
  assert.deepEqual([first.id, second.id], ["00000001", "00000002"]);
  // They change their names with each other, and one goes as another comes.
  applyStates(pool, [
    { ...a!, id: "00000001", name: "two" },
    { ...b!, id: "00000002", name: "one" },
  ], place);
  assert.deepEqual(pool.backends, [first, second]);
  assert.deepEqual([first.label, second.label], ["two", "one"]);
  const [, , c] = states("", "", "http://c.test:80");
  applyStates(pool, [
    { ...b!, id: "00000002", name: "one" },
    { ...c!, id: "00000001", name: "two" },
  ], place);
  assert.equal(pool.get("00000001")!.url, "http://c.test:80");
  assert.equal(pool.get("two")!.url, "http://c.test:80");
});

Deno.test("applyStates() keeps the name behind an address", () => {
  const pool = new Pool([]);
  const one = new Backend({
    url: "http://10.0.0.1:80",
    authority: "name.test:80",
  });
  applyStates(pool, [stateOf(one, 1)], place);
  assert.equal(pool.backends[0]!.authority, "name.test:80");
});

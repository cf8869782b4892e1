import assert from "node:assert/strict";
import {
  type Backend,
  type BackendFunction,
  hash,
  policyOf,
  Pool,
  type PoolEvent,
  roundRobin,
} from "../balancer.ts";

/** Two URLs of which FNV-1a makes the same 32 bits. */
const TWINS = ["http://10.0.104.4:3002", "http://127.0.30.165:24899"] as const;

/** What a pool tells a listener, as words. */
function listened(pool: Pool): string[] {
  const told: string[] = [];
  pool.subscribe(({ type, backend }) =>
    told.push(backend === undefined ? type : `${type} ${backend.label}`)
  );
  return told;
}

// ── Ids ─────────────────────────────────────────────────────────────────────

Deno.test("Pool gives different ids to backends whose URLs have the same hash", () => {
  // They shared figures and the path in the admin API, the sticky cookie of one
  // led to the other, and no hashed key ever came to the second.
  assert.equal(hash(TWINS[0]), hash(TWINS[1]));
  const pool = new Pool(TWINS, policyOf("uri_hash"));
  const [a, b] = pool.backends as [Backend, Backend];
  assert.equal(
    a.id,
    hash(TWINS[0]).toString(16),
    "the usual one for the first",
  );
  assert.notEqual(a.id, b.id);
  assert.match(b.id, /^[0-9a-f]{8}$/);
  assert.equal(pool.get(a.id), a);
  assert.equal(pool.get(b.id), b);
  const picked = new Set(
    Array.from({ length: 64 }, (_, i) => pool.pick(`/${i}`)),
  );
  assert.equal(picked.size, 2, "keys come to both");
  // The same list gives the same ids, in each process and after a restart.
  assert.deepEqual(new Pool(TWINS).backends.map(({ id }) => id), [a.id, b.id]);
  // Once the first has left, its id is free, and no other changes for that.
  pool.remove(a);
  assert.equal(pool.get(b.id), b);
  assert.equal(pool.get(a.id), undefined);
  assert.equal(pool.add(TWINS[0]).id, a.id);
});

Deno.test("Pool keeps a configured id if it is free", () => {
  const pool = new Pool(["http://a"]);
  const [a] = pool.backends as [Backend];
  assert.equal(pool.add({ url: "http://b", id: "0000abcd" }).id, "0000abcd");
  assert.notEqual(pool.add({ url: "http://c", id: a.id }).id, a.id);
});

// ── Names ───────────────────────────────────────────────────────────────────

Deno.test("Pool finds a backend by its name, which is unique", () => {
  const pool = new Pool([{ url: "http://a", name: "web-1" }, "http://b"]);
  const [a, b] = pool.backends as [Backend, Backend];
  assert.deepEqual([a.label, b.label], ["web-1", "http://b"]);
  assert.equal(pool.get("web-1"), a);
  assert.equal(pool.get("http://a"), a);
  assert.throws(
    () => pool.add({ url: "http://c", name: "web-1" }),
    /^RangeError: Cannot add "http:\/\/c": "http:\/\/a" is called "web-1"/,
  );
  pool.remove(a);
  assert.equal(pool.get("web-1"), undefined);
  assert.equal(pool.add({ url: "http://c", name: "web-1" }).label, "web-1");
});

Deno.test("Pool#replace() moves a name to the backend that has it in the list", () => {
  const pool = new Pool([
    { url: "http://a", name: "one" },
    { url: "http://b", name: "two" },
    "http://c",
  ]);
  const [a, b, c] = pool.backends as [Backend, Backend, Backend];
  // Two change their names with each other.
  pool.replace([
    { url: "http://a", name: "two" },
    { url: "http://b", name: "one" },
    "http://c",
  ]);
  assert.deepEqual([a.label, b.label], ["two", "one"]);
  assert.deepEqual([pool.get("two"), pool.get("one")], [a, b]);
  // A backend that is on its way out goes by its URL, so that no two series of
  // figures have one label while both are there.
  pool.replace([{ url: "http://d", name: "one" }], () => true);
  assert.deepEqual(
    pool.backends.map(({ label }) => label),
    ["two", "http://b", "http://c", "one"],
  );
  assert.equal(pool.get("one")!.url, "http://d");
  // A name that is taken away is free.
  pool.replace(["http://d", { url: "http://c", name: "one" }]);
  assert.deepEqual(pool.backends.map(({ label }) => label), [
    "one",
    "http://d",
  ]);
  assert.equal(pool.get("one"), c);
});

Deno.test("Pool#replace() refuses a list that names or lists one twice, and changes nothing", () => {
  const pool = new Pool(["http://a"]);
  const told = listened(pool);
  for (
    const list of [
      ["http://b", "http://b"],
      ["http://b", { url: "http://b", weight: 2 }],
      [{ url: "http://b", name: "x" }, { url: "http://c", name: "x" }],
    ]
  ) assert.throws(() => pool.replace(list), /^RangeError: Cannot replace: /);
  assert.deepEqual(told, []);
  assert.deepEqual(pool.backends.map(({ url }) => url), ["http://a"]);
});

// ── Functions ───────────────────────────────────────────────────────────────

/** A pool whose functions get a number, as those of `createProxy()` do. */
function poolOfFunctions(...given: (string | BackendFunction)[]): Pool {
  let count = 0;
  return new Pool(given, roundRobin(), {
    read: (one) =>
      typeof one === "function"
        ? { url: `function:${one.name}-${count++}`, answer: one }
        : typeof one === "string"
        ? { url: one }
        : { ...one, url: `function:x-${count++}` },
  });
}

Deno.test("Pool#replace() keeps a function that is given again, with its state", () => {
  // A function has no URL to be known by, and the one that was made up for it
  // was another each time: every reload replaced it.
  const page = () => new Response();
  const other = () => new Response();
  const pool = poolOfFunctions("http://a", page, other);
  const [, first, second] = pool.backends as Backend[];
  first!.inFlight = 2;
  const told = listened(pool);
  assert.deepEqual(pool.replace(["http://a", page, other]), {
    added: 0,
    removed: 0,
    changed: 0,
  });
  assert.deepEqual(told, []);
  // Also as an object, which can bring other settings.
  const written = { url: "", answer: page, weight: 3 };
  assert.deepEqual(pool.replace([other, written]), {
    added: 0,
    removed: 1,
    changed: 1,
  });
  assert.deepEqual(pool.backends, [first, second]);
  assert.deepEqual([first!.weight, first!.inFlight], [3, 2]);
});

Deno.test("Pool#replace() keeps one backend per entry of the same function", () => {
  const page = () => new Response();
  const pool = poolOfFunctions(page, page);
  const [first] = pool.backends;
  assert.equal(pool.replace([page, page, page]).added, 1);
  assert.deepEqual(pool.replace([page]), { added: 0, removed: 2, changed: 0 });
  assert.deepEqual(pool.backends, [first]);
});

// ── Room ────────────────────────────────────────────────────────────────────

Deno.test("Pool#limit() refuses more, and a list that does not fit changes nothing", () => {
  const pool = new Pool(["http://a", "http://b"]);
  assert.throws(() => pool.limit(1), RangeError);
  pool.limit(3);
  pool.add("http://c");
  const told = listened(pool);
  const full = /the pool can hold 3 backends and would hold 4$/;
  assert.throws(() => pool.add("http://d"), full);
  // The new ones come before the old ones go.
  assert.throws(() => pool.replace(["http://a", "http://d"]), full);
  assert.deepEqual(told, []);
  assert.equal(pool.replace(["http://a"]).removed, 2);
  assert.equal(pool.replace(["http://d", "http://e"]).added, 2);
});

// ── Listeners ───────────────────────────────────────────────────────────────

Deno.test("Pool reports what a listener throws or rejects with", async () => {
  // It surfaced as a rejection that nothing handled, which ends a process.
  const failures: unknown[] = [];
  const pool = new Pool([], roundRobin(), {
    failed: (error) => failures.push((error as Error).message),
  });
  pool.subscribe(() => {
    throw new Error("at once");
  });
  // deno-lint-ignore require-await -- it is its rejection that is meant
  pool.subscribe(async () => {
    throw new Error("later");
  });
  const told = listened(pool);
  pool.add("http://a");
  assert.deepEqual(told, ["added http://a"]);
  await Promise.resolve();
  assert.deepEqual(failures, ["at once", "later"]);
});

Deno.test("Pool sends all events to all listeners in the same order", () => {
  // A listener that removes what has just joined made those behind it hear that
  // it left before they heard that it came, and look after it for ever.
  const pool = new Pool(["http://a"]);
  pool.subscribe(({ type, backend }: PoolEvent) => {
    if (type === "added") pool.remove(backend!);
  });
  const told = listened(pool);
  pool.add("http://b");
  assert.deepEqual(told, ["added http://b", "removed http://b"]);
  assert.equal(pool.size, 1);
});

Deno.test("Pool survives a listener that answers each change with another", () => {
  const failures: string[] = [];
  const pool = new Pool(["http://a"], roundRobin(), {
    failed: (error) => failures.push(String(error)),
  });
  const [a] = pool.backends as [Backend];
  pool.subscribe(() => pool.setWeight(a, a.weight === 1 ? 2 : 1));
  pool.setWeight(a, 3);
  assert.deepEqual(failures, [
    "RangeError: the pool's listeners never come to rest",
  ]);
  // It goes on working.
  assert.equal(pool.pick(), a);
  pool.drain(a);
  assert.equal(failures.length, 2);
});

Deno.test("Pool sends an event for a weight only if it differs", () => {
  const pool = new Pool(["http://a"]);
  const told = listened(pool);
  pool.setWeight(pool.backends[0]!, 1);
  assert.deepEqual(told, []);
  pool.setWeight(pool.backends[0]!, 2);
  assert.deepEqual(told, ["changed http://a"]);
});

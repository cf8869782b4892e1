import assert from "node:assert/strict";
import { type Backend, Pool } from "../balancer.ts";
import { FakeClock, settle } from "../testing/clock.ts";
import type { LookupResult } from "../config/options.ts";
import { Resolver } from "./resolve.ts";

function made(
  answers: Record<string, LookupResult | Error | Promise<LookupResult>>,
  settled: () => Promise<void> = () => Promise.resolve(),
  refuses: (url: string) => string | undefined = () => undefined,
) {
  const clock = new FakeClock();
  const pool = new Pool(["http://fixed"]);
  const log: string[] = [];
  const asked: [host: string, at: number][] = [];
  const resolver = new Resolver(pool, {
    clock,
    settled,
    refuses,
    log: (line) => log.push(line),
    async lookup(host) {
      asked.push([host, clock.now()]);
      const answer = answers[host]!;
      if (answer instanceof Error) throw answer;
      return await answer;
    },
  });
  const urls = () => [...pool].slice(1).map(({ url }) => url).sort();
  return { answers, clock, pool, resolver, log, asked, urls };
}

const NAME = { url: "http://app.test:3000/base", weight: 3 };

Deno.test("Resolver keeps one backend per address, with the authority of the name", async () => {
  const { resolver, pool, urls } = made({
    "app.test": { addresses: ["10.0.0.1", "2001:db8::1", "fe80::1%eth0"] },
  });
  await resolver.follow([NAME]);
  assert.deepEqual(urls(), [
    "http://10.0.0.1:3000/base",
    "http://[2001:db8::1]:3000/base",
  ]);
  for (const backend of [...pool].slice(1) as Backend[]) {
    assert.equal(backend.authority, "app.test:3000");
    assert.equal(backend.ownOrigin, "http://app.test:3000");
    assert.equal(backend.basePath, "/base");
    assert.equal(backend.weight, 3);
    assert.equal(resolver.owns(backend), true);
  }
  assert.equal(resolver.owns(pool.backends[0] as Backend), false);
  resolver.stop();
});

Deno.test("Resolver adds the address to the name of a named entry", async () => {
  const { resolver, pool } = made({
    "app.test": { addresses: ["10.0.0.1", "2001:db8::1"] },
  });
  await resolver.follow([{ ...NAME, name: "web" }]);
  assert.deepEqual([...pool].slice(1).map(({ label }) => label), [
    "web@10.0.0.1:3000",
    "web@[2001:db8::1]:3000",
  ]);
  await resolver.follow([{ ...NAME, name: "app" }]);
  assert.equal(pool.get("app@10.0.0.1:3000"), pool.backends[1]);
  await resolver.follow([NAME]);
  assert.equal(pool.backends[1]!.name, undefined);
  resolver.stop();
});

Deno.test("Resolver adds addresses up to the pool's limit, and logs that once", async () => {
  // An address too many was an error in the middle of the list: those behind it
  // never joined, and those that had gone stayed.
  const { resolver, pool, log, clock, urls, answers } = made({
    "app.test": { addresses: ["10.0.0.1", "10.0.0.2", "10.0.0.3"] },
  });
  pool.limit(3);
  await resolver.follow([NAME]);
  assert.deepEqual(urls(), [
    "http://10.0.0.1:3000/base",
    "http://10.0.0.2:3000/base",
  ]);
  await clock.advance(30_000);
  const full = log.filter((line) => /the pool can hold 3 backends/.test(line));
  assert.equal(full.length, 1, String(log));
  // One leaves, and there is room for the other.
  answers["app.test"] = { addresses: ["10.0.0.2", "10.0.0.3"] };
  await clock.advance(11_000);
  await clock.advance(11_000);
  assert.deepEqual(urls(), [
    "http://10.0.0.2:3000/base",
    "http://10.0.0.3:3000/base",
  ]);
  assert.equal(log.filter((line) => /resolves again/.test(line)).length, 1);
  resolver.stop();
});

Deno.test("Resolver handles invalid results of a custom look-up", async () => {
  for (
    const nonsense of [
      undefined,
      null,
      {},
      { addresses: "10.0.0.1" },
      { addresses: [7] },
      { addresses: ["10.0.0.1"], ttlMs: NaN },
    ]
  ) {
    const { resolver, pool, log, clock, asked } = made({
      "app.test": nonsense as LookupResult,
    });
    await resolver.follow([NAME]);
    const usable = Array.isArray(nonsense?.addresses) && log.length === 1 &&
      /new address/.test(log[0]!);
    assert.equal(pool.size, usable ? 2 : 1);
    if (!usable) {
      assert.match(log[0]!, /does not resolve \(the look-up gave no list/);
    }
    await clock.advance(10_000);
    assert.ok(asked.length >= 2, "it is asked again");
    resolver.stop();
  }
});

Deno.test("Resolver#stop() ends the wait for the first look-up, and its timer", async () => {
  const { resolver, clock, log } = made({
    "app.test": new Promise<LookupResult>(() => {}),
  });
  const followed = resolver.follow([NAME]);
  assert.ok(clock.pending > 0);
  resolver.stop();
  await followed;
  assert.equal(clock.pending, 0);
  assert.deepEqual(log, []);
});

Deno.test("Resolver looks up every 10 s, or sooner by the TTL, at most once a second", async () => {
  for (
    const [ttlMs, times] of [
      [undefined, 3],
      [60_000, 3],
      [4_000, 8],
      [0, 31],
    ] as const
  ) {
    const { resolver, clock, asked } = made({
      "app.test": { addresses: ["10.0.0.1"], ttlMs },
    });
    await resolver.follow([NAME]);
    await clock.advance(29_999);
    assert.ok(Math.abs(asked.length - times) <= 1, `${ttlMs}: ${asked.length}`);
    resolver.stop();
    assert.equal(clock.pending, 0);
  }
});

Deno.test("Resolver adds new addresses, and drains vanished ones until they are idle", async () => {
  const { answers, resolver, clock, pool, urls } = made({
    "app.test": { addresses: ["10.0.0.1", "10.0.0.2"] },
  });
  await resolver.follow([NAME]);
  const gone = pool.get("http://10.0.0.1:3000/base")!;
  const stays = pool.get("http://10.0.0.2:3000/base")!;
  gone.inFlight = 1;
  answers["app.test"] = { addresses: ["10.0.0.2", "10.0.0.3"] };
  await clock.advance(10_000);
  assert.equal(urls().length, 3);
  assert.equal(gone.draining, true);
  assert.equal(pool.get("http://10.0.0.2:3000/base"), stays);
  gone.inFlight = 0;
  await clock.advance(1_000);
  assert.deepEqual(urls(), [
    "http://10.0.0.2:3000/base",
    "http://10.0.0.3:3000/base",
  ]);
  resolver.stop();
});

Deno.test("Resolver keeps a draining backend whose address returns", async () => {
  const { answers, resolver, clock, pool } = made({
    "app.test": { addresses: ["10.0.0.1", "10.0.0.2"] },
  });
  await resolver.follow([NAME]);
  const first = pool.get("http://10.0.0.1:3000/base")!;
  first.inFlight = 1;
  answers["app.test"] = { addresses: ["10.0.0.2"] };
  await clock.advance(10_000);
  assert.equal(first.draining, true);
  answers["app.test"] = { addresses: ["10.0.0.1"] };
  await clock.advance(10_000);
  assert.equal(first.draining, false);
  assert.equal(pool.get("http://10.0.0.1:3000/base"), first);
  resolver.stop();
});

Deno.test("Resolver drains no backend before the new ones were probed", async () => {
  const probed = Promise.withResolvers<void>();
  let proving = false;
  const { answers, resolver, clock, pool } = made(
    { "app.test": { addresses: ["10.0.0.1"] } },
    () => proving ? probed.promise : Promise.resolve(),
  );
  await resolver.follow([NAME]);
  const old = pool.get("http://10.0.0.1:3000/base")!;
  proving = true;
  answers["app.test"] = { addresses: ["10.0.0.2"] };
  await clock.advance(15_000);
  assert.ok(pool.get("http://10.0.0.2:3000/base") !== undefined);
  assert.equal(old.draining, false);
  probed.resolve();
  await clock.advance(0);
  assert.equal(old.draining, true);
  resolver.stop();
});

Deno.test("Resolver keeps its backends when a look-up fails, and logs that once", async () => {
  const { answers, resolver, clock, log, urls } = made({
    "app.test": { addresses: ["10.0.0.1"] },
  });
  await resolver.follow([NAME]);
  log.length = 0;
  answers["app.test"] = new Error("no server");
  await clock.advance(30_000);
  answers["app.test"] = { addresses: [] };
  await clock.advance(30_000);
  assert.deepEqual(urls(), ["http://10.0.0.1:3000/base"]);
  assert.equal(log.length, 2, log.join("\n"));
  assert.match(log[0]!, /does not resolve \(no server\): its 1 known/);
  answers["app.test"] = { addresses: ["10.0.0.1"] };
  await clock.advance(10_000);
  assert.match(log[2]!, /resolves again/);
  resolver.stop();
});

Deno.test("Resolver#follow() waits for the first look-up, with a time limit", async () => {
  const { resolver, clock } = made({ "app.test": new Promise(() => {}) });
  let done = false;
  resolver.follow([NAME]).then(() => done = true);
  await clock.advance(4_999);
  assert.equal(done, false);
  await clock.advance(1);
  assert.equal(done, true);
  resolver.stop();
});

Deno.test("Resolver never runs two look-ups of a name at once", async () => {
  const { resolver, clock, asked } = made({
    "app.test": new Promise(() => {}),
  });
  resolver.follow([NAME]);
  await clock.advance(60_000);
  assert.equal(asked.length, 1);
  resolver.stop();
});

Deno.test("Resolver ignores an address that is configured as a backend", async () => {
  const { resolver, pool } = made({
    "app.test": { addresses: ["10.0.0.1"] },
    "same.test": { addresses: ["10.0.0.1"] },
  });
  await resolver.follow([NAME, { url: "http://same.test:3000/base" }]);
  assert.equal(pool.size, 2);
  resolver.stop();
});

Deno.test("Resolver#forget() removes the backends of other names", async () => {
  const { resolver, urls } = made({
    "app.test": { addresses: ["10.0.0.1"] },
    "b.test": { addresses: ["10.0.0.2"] },
  });
  const other = { url: "http://b.test" };
  await resolver.follow([NAME, other]);
  resolver.forget([other]);
  assert.deepEqual(urls(), ["http://10.0.0.2"]);
  resolver.stop();
  await settle();
});

// A name can come to stand for the proxy itself while it runs.
Deno.test("Resolver skips a refused address, and logs that once", async () => {
  const { resolver, answers, clock, log, urls } = made(
    { "app.test": { addresses: ["10.0.0.1", "127.0.0.1"] } },
    () => Promise.resolve(),
    (url) => url.includes("127.0.0.1") ? "is this proxy" : undefined,
  );
  const left = () => log.filter((line) => line.includes("is ignored"));
  await resolver.follow([NAME]);
  assert.deepEqual(urls(), ["http://10.0.0.1:3000/base"]);
  await clock.advance(30_000);
  assert.deepEqual(left(), [
    "app.test has an address that is ignored: " +
    "http://127.0.0.1:3000/base is this proxy",
  ]);
  answers["app.test"] = { addresses: ["10.0.0.1"] };
  await clock.advance(10_000);
  answers["app.test"] = { addresses: ["10.0.0.1", "127.0.0.1"] };
  await clock.advance(10_000);
  assert.equal(left().length, 2);
  assert.deepEqual(urls(), ["http://10.0.0.1:3000/base"]);
  resolver.stop();
});

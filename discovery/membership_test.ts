import assert from "node:assert/strict";
import { Pool } from "../balancer.ts";
import { FakeClock, settle } from "../testing/clock.ts";
import { Membership, splitByResolve } from "./membership.ts";
import type { LookupResult } from "../config/options.ts";
import { Resolver } from "./resolve.ts";

function made(answers: Record<string, LookupResult> = {}) {
  const clock = new FakeClock();
  const pool = new Pool(["http://a", "http://b"]);
  let probed: Promise<void> = Promise.resolve();
  const settled = () => probed;
  const resolver = new Resolver(pool, {
    clock,
    settled,
    log: () => {},
    lookup: (host) => Promise.resolve(answers[host]!),
  });
  const members = new Membership(pool, resolver, settled);
  return {
    pool,
    resolver,
    members,
    answers,
    clock,
    /** No new backend is probed until the returned function is called. */
    hold(): () => void {
      const gate = Promise.withResolvers<void>();
      probed = gate.promise;
      return gate.resolve;
    },
    urls: () => [...pool].map(({ url }) => url.slice("http://".length)),
  };
}

const list = (...names: string[]) =>
  names.map((name) => ({ url: `http://${name}` }));

Deno.test("splitByResolve() separates names from other entries", () => {
  const named = { url: "http://app", resolve: true, weight: 2 };
  assert.deepEqual(splitByResolve([...list("a"), named]), {
    fixed: list("a"),
    named: [{ url: "http://app", weight: 2 }],
  });
});

Deno.test("Membership removes no backend before the new ones were probed", async () => {
  const { pool, members, hold, urls } = made();
  const probed = hold();
  const events: string[] = [];
  pool.subscribe(({ type }) => events.push(type));
  const done = members.replace(list("c"));
  await settle();
  assert.deepEqual(urls(), ["a", "b", "c"]);
  probed();
  assert.deepEqual(await done, { added: 1, removed: 2, changed: 0 });
  assert.deepEqual(urls(), ["c"]);
  assert.deepEqual(events, ["added", "removed", "removed", "reloaded"]);
});

Deno.test("Membership applies lists one at a time, and the last one wins", async () => {
  const { members, hold, urls } = made();
  const probed = hold();
  const all = [
    members.replace(list("c")),
    members.replace(list("d", "a")),
    members.replace(list("a", "e")),
  ];
  await settle();
  probed();
  await Promise.all(all);
  assert.deepEqual(urls().sort(), ["a", "e"]);
});

Deno.test("Membership exchanges names and addresses for each other", async () => {
  const { members, resolver, clock, urls } = made({
    app: { addresses: ["10.0.0.1", "10.0.0.2"] },
  });
  const named = { url: "http://app", resolve: true };
  assert.deepEqual(await members.replace([named]), {
    added: 2,
    removed: 2,
    changed: 0,
  });
  assert.deepEqual(urls(), ["10.0.0.1", "10.0.0.2"]);
  // Again the same: what a name was looked up to is not in the list, and stays.
  await members.replace([named]);
  assert.deepEqual(urls(), ["10.0.0.1", "10.0.0.2"]);
  await members.replace(list("a"));
  assert.deepEqual(urls(), ["a"]);
  resolver.stop();
  assert.equal(clock.pending, 0);
});

Deno.test("Membership passes a name's new weight on to its backends", async () => {
  const { members, resolver, pool } = made({
    app: { addresses: ["10.0.0.1"] },
  });
  await members.replace([{ url: "http://app", resolve: true }]);
  await members.replace([{ url: "http://app", resolve: true, weight: 7 }]);
  assert.deepEqual([...pool].map(({ weight }) => weight), [7]);
  resolver.stop();
});

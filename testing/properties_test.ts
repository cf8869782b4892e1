/**
 * Properties of the pure parts, over random cases that are the same in each run:
 * what must hold for every input, beside models that are too simple to be wrong.
 * Grammars and framing have theirs beside them (`config/fuzz_test.ts`,
 * `http/client_fuzz_test.ts`).
 *
 * @module
 */

import assert from "node:assert/strict";
import { Backend, policyOf } from "../balancer.ts";
import { parseAddress } from "../config/address.ts";
import { observe, UNKNOWN } from "../health/verdict.ts";
import {
  type Fields,
  type RequestFacts,
  RequestRules,
} from "../proxy/headers.ts";
import { decide, RetryBudget, type Situation } from "../proxy/retry.ts";
import { seeded } from "./random.ts";

/** Draws from one seed. */
class Draw {
  readonly number: () => number;
  constructor(seed: number) {
    this.number = seeded(seed);
  }
  /** An integer from 0 to `below`, which it is not. */
  below(below: number): number {
    return Math.floor(this.number() * below);
  }
  chance(share: number): boolean {
    return this.number() < share;
  }
  of<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }
}

const POLICIES = [
  "round_robin",
  "least_conn",
  "random",
  "p2c",
  "ewma",
  "ip_hash",
  "uri_hash",
  "header:x",
  "cookie:x",
  "sticky:x",
];

function randomPool(draw: Draw): Backend[] {
  return Array.from({ length: 1 + draw.below(12) }, (_, i) => {
    const weight = draw.chance(0.2) ? 0 : 1 + draw.below(20);
    const backend = new Backend({ url: `http://b${i}.test`, weight });
    backend.inFlight = draw.below(6);
    return backend;
  });
}

for (const name of POLICIES) {
  Deno.test(`${name} picks an accepted backend with weight, or none if there is none`, () => {
    const draw = new Draw(1);
    for (let round = 0; round < 1_000; round++) {
      const pool = randomPool(draw);
      const policy = policyOf(name, { random: draw.number, now: () => round });
      const accepted = new Set(pool.filter(() => draw.chance(0.6)));
      // The pool has no backend without weight among those that it accepts.
      const accepts = (backend: Backend) =>
        backend.weight > 0 && accepted.has(backend);
      const wanted = pool.some(accepts);
      for (let i = 0; i < 5; i++) {
        const key = draw.chance(0.5) ? `key ${draw.below(50)}` : undefined;
        const picked = policy(pool, accepts, key);
        assert.equal(picked !== undefined, wanted);
        assert.ok(picked === undefined || accepts(picked));
      }
    }
  });
}

Deno.test("hash policies move only the keys of a backend that is lost", () => {
  const draw = new Draw(2);
  for (let round = 0; round < 300; round++) {
    const pool = randomPool(draw).filter(({ weight }) => weight > 0);
    if (pool.length < 2) continue;
    const lost = draw.of(pool);
    const policy = policyOf(draw.of(["uri_hash", "ip_hash", "header:x"]));
    for (let i = 0; i < 50; i++) {
      const key = `key ${i}`;
      const before = policy(pool, () => true, key)!;
      const after = policy(pool, (backend) => backend !== lost, key)!;
      assert.ok(before === lost || after === before);
      assert.equal(policy(pool, () => true, key), before);
    }
  }
});

Deno.test("round_robin is never two requests away from a backend's share", () => {
  const draw = new Draw(3);
  for (let round = 0; round < 200; round++) {
    const pool = randomPool(draw).filter(({ weight }) => weight > 0);
    if (pool.length === 0) continue;
    const total = pool.reduce((sum, { weight }) => sum + weight, 0);
    const policy = policyOf("round_robin");
    const counts = new Map<Backend, number>(pool.map((b) => [b, 0]));
    for (let picks = 1; picks <= 200; picks++) {
      const picked = policy(pool, () => true)!;
      counts.set(picked, counts.get(picked)! + 1);
      for (const [backend, count] of counts) {
        assert.ok(Math.abs(count - picks * backend.weight / total) < 2);
      }
    }
  }
});

Deno.test("observe() says what the last results say, for every threshold", () => {
  const draw = new Draw(4);
  for (let round = 0; round < 500; round++) {
    const rise = 1 + draw.below(5);
    const fall = 1 + draw.below(5);
    const results: boolean[] = [];
    let health = UNKNOWN;
    let up = true;
    const share = draw.number();
    for (let i = 0; i < 60; i++) {
      const passed = draw.chance(share);
      results.push(passed);
      health = observe(health, passed, { rise, fall });
      // The model: the first result decides; later a verdict turns when the last
      // `rise` or `fall` results all contradict it.
      const needed = up ? fall : rise;
      const last = results.slice(-needed);
      if (i === 0) up = passed;
      else if (last.length === needed && last.every((r) => r !== up)) up = !up;
      assert.equal(health.up, up, `${results}`);
      assert.ok(health.known);
      assert.ok(health.streak < (health.up ? fall : rise));
    }
  }
});

Deno.test("decide() never repeats what may have been carried out, and asks the budget last", () => {
  const draw = new Draw(5);
  for (let round = 0; round < 20_000; round++) {
    let asked = 0;
    const spare = draw.chance(0.5);
    const situation: Situation = {
      clientGone: draw.chance(0.2),
      timedOut: draw.chance(0.2),
      sent: draw.chance(0.5),
      idempotent: draw.chance(0.5),
      replayable: draw.chance(0.8),
      retries: draw.below(5),
      refusals: draw.below(120),
      maxRetries: draw.below(4),
      budget: () => {
        asked++;
        return spare;
      },
    };
    const decision = decide(situation);
    const { sent, idempotent, replayable, clientGone, timedOut } = situation;
    if (decision === "retry") {
      assert.ok(!clientGone && !timedOut && replayable);
      assert.ok(situation.maxRetries > 0);
      assert.ok(
        !sent || idempotent && situation.retries < situation.maxRetries,
      );
    }
    const paid = sent && (decision === "retry" || decision === "budget spent");
    assert.equal(asked, paid ? 1 : 0);
    if (asked === 1) assert.equal(decision === "retry", spare);
  }
});

Deno.test("RetryBudget gives what a list of the last ten seconds gives", () => {
  const draw = new Draw(6);
  for (let round = 0; round < 50; round++) {
    const share = draw.number();
    const budget = new RetryBudget(share);
    let events: { second: number; retry: boolean }[] = [];
    let now = 1_000 * draw.below(1_000_000);
    let refused = 0;
    for (let i = 0; i < 1_500; i++) {
      now += draw.chance(0.01) ? draw.below(30_000) : draw.below(40);
      const second = Math.floor(now / 1_000);
      events = events.filter((event) => event.second > second - 10);
      if (draw.chance(0.5)) {
        budget.request(now);
        events.push({ second, retry: false });
        continue;
      }
      const retries = events.filter(({ retry }) => retry).length;
      const wanted = retries + 1 <= (events.length - retries) * share + 100;
      assert.equal(budget.take(now), wanted);
      if (wanted) events.push({ second, retry: true });
      else refused++;
    }
    assert.equal(budget.refused, refused);
  }
});

const FACTS: RequestFacts = {
  method: "GET",
  peer: "192.0.2.7",
  host: "a.test",
  scheme: "http",
  backendHost: "b.test",
  backendScheme: "http",
  basePath: "",
};

const HOP_BY_HOP = [
  "connection",
  "keep-alive",
  "proxy-connection",
  "te",
  "transfer-encoding",
  "trailer",
  "upgrade",
  "expect",
];

const END_TO_END = [
  "accept",
  "accept-encoding",
  "authorization",
  "cache-control",
  "if-none-match",
  "origin",
  "range",
  "user-agent",
  "x-a",
  "x-b",
  "x-connection",
  "x-keep",
];

Deno.test("fields() drops all of one connection, and nothing and only that of the rest", () => {
  const draw = new Draw(7);
  const rules = new RequestRules({
    trusts: undefined,
    pseudonym: undefined,
    isAddress: (text) => parseAddress(text) !== undefined,
  });
  for (let round = 0; round < 3_000; round++) {
    const sent: Fields = [];
    const listed = new Set<string>();
    for (let i = draw.below(14); i > 0; i--) {
      const name = draw.of([...HOP_BY_HOP, ...END_TO_END]);
      if (sent.some(([other]) => other === name)) continue;
      if (name !== "connection") {
        sent.push([name, `value ${draw.below(100)}`]);
        continue;
      }
      const names = Array.from(
        { length: draw.below(4) },
        () => draw.of([...END_TO_END, "close", "keep-alive"]),
      );
      for (const one of names) listed.add(one);
      sent.push([
        "connection",
        names.map((one) => draw.chance(0.3) ? one.toUpperCase() : one)
          .join(draw.of([",", ", ", " ,\t", ",,"])),
      ]);
    }
    const got = rules.fields(new Headers(sent), FACTS);
    const wanted = sent
      .filter(([name]) => END_TO_END.includes(name) && !listed.has(name))
      .map(([name, value]) => `${name}: ${value}`).sort();
    assert.deepEqual(
      got.filter(([name]) => END_TO_END.includes(name))
        .map(([name, value]) => `${name}: ${value}`).sort(),
      wanted,
      JSON.stringify(sent),
    );
    for (const [name] of got) assert.ok(!HOP_BY_HOP.includes(name), name);
  }
});

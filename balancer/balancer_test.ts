import assert from "node:assert/strict";
import {
  Backend,
  type BackendInit,
  type Policy,
  policyOf,
  Pool,
  type PoolEvent,
  roundRobin,
} from "../balancer.ts";
import { seeded } from "../testing/random.ts";

const NAMES = [
  "round_robin",
  "least_conn",
  "random",
  "p2c",
  "ewma",
  "ip_hash",
  "uri_hash",
  "header:X-Key",
  "cookie:key",
  "sticky:key",
];

const yes = () => true;

/** Backends `a`, `b`, … with these weights. */
function backendsOf(...weights: number[]): Backend[] {
  return weights.map((weight, i) =>
    new Backend({ url: `http://${String.fromCharCode(97 + i)}`, weight })
  );
}

const nameOf = (backend: Backend | undefined) => backend?.url.at(-1) ?? "-";

/** The names of the next `count` picks, as one word. */
function picks(
  policy: Policy,
  backends: readonly Backend[],
  count: number,
  accepts: (backend: Backend) => boolean = yes,
): string {
  return Array.from(
    { length: count },
    () => nameOf(policy(backends, accepts)),
  ).join("");
}

/** How often each was picked. */
function counted(
  pick: (round: number) => Backend | undefined,
  rounds: number,
): Map<Backend, number> {
  const counts = new Map<Backend, number>();
  for (let round = 0; round < rounds; round++) {
    const backend = pick(round);
    assert.ok(backend !== undefined);
    counts.set(backend, (counts.get(backend) ?? 0) + 1);
  }
  return counts;
}

/**
 * Asserts that the counts follow the shares, by Pearson's χ². The bound is the
 * quantile that a right distribution passes in all but one of a million runs
 * (Wilson and Hilferty's approximation); the runs are seeded, so it is no
 * chance whether a test passes.
 */
function assertFollows(
  counts: ReadonlyMap<Backend, number>,
  backends: readonly Backend[],
  rounds: number,
): void {
  const total = backends.reduce((sum, { share }) => sum + share, 0);
  let chi = 0;
  for (const backend of backends) {
    const expected = rounds * backend.share / total;
    chi += ((counts.get(backend) ?? 0) - expected) ** 2 / expected;
  }
  const freedom = backends.length - 1;
  const z = 4.753; // of one in a million
  const bound = freedom *
    (1 - 2 / (9 * freedom) + z * Math.sqrt(2 / (9 * freedom))) ** 3;
  assert.ok(chi <= bound, `χ² is ${chi}, over ${bound}`);
}

Deno.test("roundRobin() spreads weights smoothly, as nginx does", () => {
  for (
    const [weights, word] of [
      [[5, 1, 1], "aabacaaaabacaa"],
      [[1, 1, 1], "abcabcabc"],
      [[3, 2, 1], "abacbaabacba"],
      [[0, 1, 0], "bbb"],
    ] as const
  ) {
    assert.equal(
      picks(roundRobin(), backendsOf(...weights), word.length),
      word,
    );
  }
});

Deno.test("roundRobin() is exact in every round, whatever the weights", () => {
  const backends = backendsOf(7, 1, 13, 4, 25);
  const policy = roundRobin();
  for (let round = 0; round < 40; round++) {
    const counts = counted(() => policy(backends, yes), 50);
    for (const backend of backends) {
      assert.equal(counts.get(backend), backend.weight);
    }
  }
});

Deno.test("roundRobin() spreads the share of a skipped backend over all others", () => {
  const backends = backendsOf(1, 1, 1, 1);
  const word = picks(roundRobin(), backends, 30, (b) => b !== backends[1]);
  assert.equal(word, "acd".repeat(10));
});

Deno.test("roundRobin() skips and repeats no backend when one leaves within a round", () => {
  for (let size = 2; size <= 8; size++) {
    for (let before = 0; before <= 2 * size; before++) {
      for (let leaving = 0; leaving < size; leaving++) {
        const all = backendsOf(...Array<number>(size).fill(1));
        const left = all.filter((_, i) => i !== leaving);
        const policy = roundRobin();
        const gone = nameOf(all[leaving]);
        const word = picks(policy, all, before).replaceAll(gone, "") +
          picks(policy, left, 4 * size);
        // Any run as long as the pool has each of those that stay once.
        for (let at = 0; at + left.length <= word.length; at++) {
          const run = word.slice(at, at + left.length);
          assert.equal(new Set(run).size, left.length, `${word} at ${at}`);
        }
      }
    }
  }
});

Deno.test("roundRobin() gives a new backend no more than its share", () => {
  const backends = backendsOf(1, 1, 1);
  const policy = roundRobin();
  picks(policy, backends, 100);
  const [newcomer] = [new Backend({ url: "http://z" })];
  const word = picks(policy, [...backends, newcomer!], 40);
  assert.ok(!word.includes("zz"), word);
  assert.equal(word.replaceAll(/[^z]/g, "").length, 10);
});

Deno.test("roundRobin() allocates nothing for a pick", () => {
  const pool = new Pool(backendsOf(3, 1, 2, 1, 1).map(({ url }) => url));
  const rounds = 30_000;
  const pick = () => {
    for (let i = 0; i < rounds; i++) pool.pick();
  };
  // Compiled first; then the best of many, as a collection or the compiler may
  // come in between. One number a pick would be 12 bytes.
  for (let i = 0; i < 20; i++) pick();
  let least = Infinity;
  for (let i = 0; i < 30; i++) {
    const before = Deno.memoryUsage().heapUsed;
    pick();
    const grown = Deno.memoryUsage().heapUsed - before;
    if (grown >= 0) least = Math.min(least, grown);
  }
  assert.ok(least < 2 * rounds, `${least / rounds} bytes a pick`);
});

Deno.test("roundRobin() follows a weight that changes", () => {
  const backends = backendsOf(1, 1);
  const policy = roundRobin();
  picks(policy, backends, 7);
  backends[0]!.weight = 3;
  const word = picks(policy, backends, 40);
  assert.equal(word.replaceAll("b", "").length, 30, word);
});

Deno.test("policies pick an accepted backend, if there is one", () => {
  for (const name of NAMES) {
    const random = seeded(1);
    const policy = policyOf(name, { random, now: () => 0 });
    const backends = backendsOf(...Array<number>(20).fill(0).map((_, i) => i));
    for (let round = 0; round < 3_000; round++) {
      // From none to all, and often just one.
      const share = [0, 0.05, 0.5, 1][round % 4]!;
      const accepted = new Set(
        backends.filter((b) => b.weight > 0 && random() < share),
      );
      const key = round % 3 === 0 ? undefined : `key ${round}`;
      const backend = policy(backends, (b) => accepted.has(b), key);
      if (accepted.size === 0) assert.equal(backend, undefined, name);
      else assert.ok(backend !== undefined && accepted.has(backend), name);
      if (backend !== undefined) {
        if (random() < 0.7) backend.inFlight++;
        backend.observed(random() * 100, 0);
      }
    }
    assert.equal(policy([], yes), undefined, name);
  }
});

Deno.test("policies follow the weights, slow start included", () => {
  // Nothing is in flight and no backend is slow, so that weights alone decide. What
  // goes by load is held to its weights under load below.
  const rounds = 60_000;
  for (const name of ["round_robin", "least_conn", "random", "ip_hash"]) {
    const policy = policyOf(name, { random: seeded(7), now: () => 0 });
    const backends = backendsOf(1, 2, 3, 10, 1, 5);
    backends[3]!.ramp = 0.1;
    const counts = counted(
      (round) =>
        policy(backends, yes, name === "ip_hash" ? `client ${round}` : ""),
      rounds,
    );
    assertFollows(counts, backends, rounds);
  }
});

Deno.test("random policies follow very uneven weights, also in the linear draw", () => {
  const rounds = 60_000;
  const backends = backendsOf(1000, ...Array<number>(24).fill(5));
  const policy = policyOf("random", { random: seeded(3) });
  assertFollows(counted(() => policy(backends, yes), rounds), backends, rounds);
  // Raised and lowered while it works: what it held for the heaviest is wrong.
  backends[0]!.weight = 5;
  backends[1]!.weight = 100;
  assertFollows(counted(() => policy(backends, yes), rounds), backends, rounds);
});

Deno.test("policies are fair from the start", () => {
  const rounds = 60_000;
  for (const name of ["p2c", "ewma"]) {
    const backends = backendsOf(...Array<number>(10).fill(1));
    const policy = policyOf(name, { random: seeded(5), now: () => 0 });
    const counts = counted(() => policy(backends, yes), rounds);
    assertFollows(counts, backends, rounds);
  }
});

Deno.test("least_conn picks the fewest requests in flight per weight", () => {
  const backends = backendsOf(1, 1, 4);
  const policy = policyOf("least_conn");
  for (
    const [inFlight, name] of [
      [[1, 0, 1], "b"],
      [[0, 0, 1], "a"],
      [[1, 1, 3], "c"],
      [[2, 1, 7], "b"],
      [[1, 1, 5], "a"],
    ] as const
  ) {
    backends.forEach((b, i) => {
      b.inFlight = inFlight[i]!;
      b.turn = 0;
    });
    assert.equal(nameOf(policy(backends, yes)), name, String(inFlight));
  }
});

Deno.test("least_conn and p2c fill a pool by its weights", () => {
  for (const [name, spread] of [["least_conn", 1], ["p2c", 12]] as const) {
    const backends = backendsOf(1, 2, 3, 4);
    const policy = policyOf(name, { random: seeded(11) });
    for (let i = 0; i < 1_000; i++) policy(backends, yes)!.inFlight++;
    for (const { weight, inFlight } of backends) {
      assert.ok(Math.abs(inFlight - 100 * weight) <= spread * weight, name);
    }
  }
});

Deno.test("p2c picks the emptier of two", () => {
  const backends = backendsOf(1, 1);
  const policy = policyOf("p2c", { random: seeded(1) });
  backends[0]!.inFlight = 1;
  assert.equal(picks(policy, backends, 50), "b".repeat(50));
});

Deno.test("p2c stays within log log n of even (Azar et al. 1999)", () => {
  const size = 1_000;
  const backends = backendsOf(...Array<number>(size).fill(1));
  const policy = policyOf("p2c", { random: seeded(2) });
  for (let i = 0; i < size; i++) policy(backends, yes)!.inFlight++;
  const most = Math.max(...backends.map(({ inFlight }) => inFlight));
  // ln ln 1000 / ln 2 is 2.8, and Θ(1) besides; chance alone gives 5 to 6.
  assert.ok(most <= 4, `${most}`);
});

Deno.test("Backend#observed() counts a peak at once and lets it fade with time", () => {
  const [backend] = backendsOf(1);
  assert.ok(Number.isNaN(backend!.latencyMs));
  backend!.observed(10, 0);
  assert.equal(backend!.latencyMs, 10);
  backend!.observed(500, 1_000);
  assert.equal(backend!.latencyMs, 500);
  // A burst is one experience, however many answers it has.
  for (let i = 0; i < 100; i++) backend!.observed(10, 1_001);
  assert.ok(backend!.latencyMs > 490);
  backend!.observed(10, 11_001);
  assert.ok(Math.abs(backend!.latencyMs - (10 + 490 / Math.E)) < 1);
});

Deno.test("ewma avoids a slow backend, and tries it again", () => {
  let now = 0;
  const random = seeded(6);
  const backends = backendsOf(1, 1, 1);
  const policy = policyOf("ewma", { random, now: () => now });
  const [slow] = backends;
  const work = (rounds: number) => {
    let word = "";
    for (let i = 0; i < rounds; i++) {
      now += 100;
      const backend = policy(backends, yes)!;
      word += nameOf(backend);
      backend.observed((backend === slow ? 100 : 5) * (0.5 + random()), now);
    }
    return word;
  };
  work(50);
  // Five seconds: what is held against it has faded by less than a half.
  assert.ok(!work(50).includes("a"));
  // Two minutes.
  const later = work(1_200);
  assert.ok(later.includes("a"));
  assert.ok(later.replaceAll(/[^a]/g, "").length < 1_200 / 20, later);
});

Deno.test("ewma neither floods nor starves a new backend", () => {
  const random = seeded(4);
  const backends = backendsOf(...Array<number>(10).fill(1));
  const policy = policyOf("ewma", { random, now: () => 0 });
  for (let i = 0; i < 2_000; i++) {
    policy(backends, yes)!.observed(20 + 10 * random(), 0);
  }
  const newcomer = new Backend({ url: "http://z" });
  const all = [...backends, newcomer];
  // A thousand requests of which none is answered yet: 91 would be its part.
  for (let i = 0; i < 1_000; i++) policy(all, yes)!.inFlight++;
  assert.ok(newcomer.inFlight > 60 && newcomer.inFlight < 130);
});

Deno.test("hash policies move only the keys of a backend that leaves or joins, at most 1/n", () => {
  const keys = Array.from({ length: 20_000 }, (_, i) => `key-${i}`);
  for (const size of [2, 3, 10, 40]) {
    for (const weigh of [() => 1, (i: number) => 1 + i % 3]) {
      const all = Array.from(
        { length: size },
        (_, i) => new Backend({ url: `http://10.0.0.${i}`, weight: weigh(i) }),
      );
      const policy = policyOf("uri_hash");
      const placed = keys.map((key) => policy(all, yes, key)!);
      const total = all.reduce((sum, { weight }) => sum + weight, 0);
      const leaving = all[size >> 1]!;
      // One policy on two pools: so both "goes" and "comes" are seen.
      const left = all.filter((backend) => backend !== leaving);
      let moved = 0;
      for (const [i, key] of keys.entries()) {
        const backend = policy(left, yes, key);
        if (backend === placed[i]) continue;
        assert.equal(placed[i], leaving, "a key moved without need");
        moved++;
      }
      // Its part, and five standard deviations of a binomial.
      const part = leaving.weight / total;
      const deviation = Math.sqrt(keys.length * part * (1 - part));
      assert.ok(Math.abs(moved - keys.length * part) <= 5 * deviation);
      // Down for a while is the same as gone.
      assert.deepEqual(
        keys.map((key) => policy(all, (b) => b !== leaving, key)),
        keys.map((key) => policy(left, yes, key)),
      );
    }
  }
});

Deno.test("hash policies move keys only towards a weight that grows", () => {
  const backends = backendsOf(1, 1, 1, 1);
  const policy = policyOf("ip_hash");
  const keys = Array.from({ length: 5_000 }, (_, i) => `192.0.2.${i}`);
  const placed = keys.map((key) => policy(backends, yes, key));
  backends[2]!.weight = 2;
  for (const [i, key] of keys.entries()) {
    const backend = policy(backends, yes, key);
    assert.ok(backend === placed[i] || backend === backends[2]);
  }
});

Deno.test("hash policies place a key equally in each process", () => {
  // Told by number: another hash would move every key when the program is updated.
  const backends = backendsOf(1, 1, 1, 1, 1);
  const policy = policyOf("cookie:key");
  const word = ["", "a", "b", "c", "192.0.2.1", "2001:db8::1", "/index.html"]
    .map((key) => nameOf(policy(backends, yes, key))).join("");
  assert.equal(word, "addeace");
});

Deno.test("hash policies and sticky use round robin without a key", () => {
  for (const name of NAMES.filter((name) => /hash|:/.test(name))) {
    assert.equal(picks(policyOf(name), backendsOf(1, 1, 1), 6), "abcabc", name);
  }
});

Deno.test("sticky keeps to the backend of its key while that is available", () => {
  const backends = backendsOf(1, 1, 1);
  const [, b] = backends;
  const policy = policyOf("sticky:key");
  for (let i = 0; i < 5; i++) assert.equal(policy(backends, yes, b!.id), b);
  assert.notEqual(policy(backends, (x) => x !== b, b!.id), b);
  assert.notEqual(policy(backends, yes, "http://b"), undefined);
});

Deno.test("policyOf() refuses an unknown policy", () => {
  for (
    const name of ["", "best", "header", "ip_hash:x", "toString", "__proto__"]
  ) {
    assert.throws(() => policyOf(name), RangeError, name);
  }
});

Deno.test("policyOf() tells which figures a policy reads", () => {
  assert.deepEqual(NAMES.map((name) => policyOf(name).needs), [
    undefined,
    "in flight",
    undefined,
    "in flight",
    "latency",
    ...Array<undefined>(5).fill(undefined),
  ]);
});

Deno.test("Pool#pick() applies up, draining, weight, limits and backup to every policy", () => {
  for (const name of NAMES) {
    const pool = new Pool([
      { url: "http://a" },
      { url: "http://b", maxConns: 2 },
      { url: "http://c" },
      { url: "http://d", weight: 0 },
      { url: "http://e", backup: true },
      { url: "http://f" },
    ], policyOf(name, { random: seeded(9), now: () => 0 }));
    const [a, b, c, , , f] = pool.backends as Backend[];
    const seen = (rounds = 400) =>
      [
        ...new Set(
          Array.from(
            { length: rounds },
            (_, i) => nameOf(pool.pick(`key ${i}`)),
          ),
        ),
      ].sort().join("");
    assert.equal(seen(), "abcf", name);
    a!.up = false;
    b!.inFlight = 2;
    pool.drain(c!);
    assert.equal(seen(), "f", name);
    f!.ejected = true;
    assert.equal(seen(), "e", `${name}: a backup before an ejected one`);
    pool.remove(pool.get("http://e")!);
    assert.equal(seen(), "f", `${name}: an ejection is a guess`);
    assert.equal(pool.pick("key", [f!]), undefined, name);
    pool.remove(f!);
    assert.equal(pool.pick("key"), undefined, name);
    b!.inFlight = 1;
    assert.equal(seen(), "b", name);
  }
});

Deno.test("Pool starts its rounds by `random`, and keeps them fair", () => {
  const urls = backendsOf(1, 1, 1, 1, 1).map(({ url }) => url);
  const firsts = new Set<string>();
  for (let seed = 1; seed <= 40; seed++) {
    const pool = new Pool(urls, roundRobin(), { random: seeded(seed) });
    const word = Array.from({ length: 15 }, () => nameOf(pool.pick())).join("");
    firsts.add(word[0]!);
    assert.match(word, /^(.....)\1\1$/);
    assert.equal(new Set(word).size, 5);
  }
  assert.equal(firsts.size, 5);
});

Deno.test("Pool#replace() keeps the state of backends that stay", () => {
  const pool = new Pool(["http://a", "http://b", { url: "http://c" }]);
  const [a, b, c] = pool.backends as Backend[];
  b!.up = false;
  b!.requests = 7;
  b!.observed(12, 0);
  const events: PoolEvent[] = [];
  pool.subscribe((event) => events.push(event));
  const replaced = pool.replace([
    { url: "http://b", weight: 4 },
    "http://d",
    "http://c",
  ]);
  assert.deepEqual(replaced, { added: 1, removed: 1, changed: 1 });
  assert.deepEqual(pool.backends.map(nameOf), ["b", "c", "d"]);
  assert.equal(pool.get("http://b"), b);
  assert.equal(pool.get("http://c"), c);
  assert.deepEqual([b!.weight, b!.up, b!.requests], [4, false, 7]);
  assert.equal(a!.draining, true);
  assert.deepEqual(
    events.map(({ type, backend }) => `${type} ${nameOf(backend)}`),
    ["changed b", "added d", "removed a"],
  );
  assert.deepEqual(pool.replace([], yes), { added: 0, removed: 0, changed: 0 });
  assert.equal(pool.size, 3);
});

Deno.test("Pool checks its arguments, and changes nothing if one is invalid", () => {
  const read = (given: unknown): BackendInit => {
    if (given === "wrong") throw new TypeError("wrong");
    return { url: `http://${given}` };
  };
  const pool = new Pool(["a", "b"], roundRobin(), { read });
  assert.throws(() => pool.add("wrong"), TypeError);
  assert.throws(() => pool.add("a"), RangeError);
  assert.throws(() => pool.replace(["c", "wrong"]), TypeError);
  assert.deepEqual([...pool].map(nameOf), ["a", "b"]);
  for (const weight of [-1, 1001, NaN]) {
    assert.throws(
      () => pool.setWeight(pool.backends[0]!, weight),
      RangeError,
    );
  }
});

Deno.test("Pool#subscribe() keeps a listener that throws from stopping the others", async () => {
  const pool = new Pool(["http://a"]);
  const heard: string[] = [];
  pool.subscribe(() => {
    throw new Error("a listener's fault");
  });
  const end = pool.subscribe(({ type }) => heard.push(type));
  const surfaced = new Promise<string>((resolve) => {
    addEventListener("unhandledrejection", (event) => {
      event.preventDefault();
      resolve(event.reason.message);
    }, { once: true });
  });
  pool.add("http://b");
  assert.deepEqual(heard, ["added"]);
  assert.equal(await surfaced, "a listener's fault");
  end();
});

Deno.test("Pool#remove() lets the requests of a backend finish", () => {
  const pool = new Pool(["http://a", "http://b"]);
  const [a] = pool.backends as Backend[];
  a!.inFlight = 3;
  assert.equal(pool.remove(a!), true);
  assert.equal(pool.remove(a!), false);
  assert.equal(a!.inFlight, 3);
  assert.equal(a!.draining, true);
});

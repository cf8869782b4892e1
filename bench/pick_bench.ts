/**
 * How long does one pick take, by policy and by the size of the pool?
 *
 * ```sh
 * deno bench bench/pick_bench.ts
 * bun run bench/pick_bench.ts
 * ```
 *
 * @module
 */

import { Backend, type Policy, policyOf, Pool } from "../balancer.ts";

/** The subject: a policy and a pool of so many backends. */
const CASES: readonly (readonly [policy: string, size: number])[] = [
  ["round_robin", 10],
  ["round_robin", 1_000],
  ["least_conn", 10],
  ["least_conn", 1_000],
  ["random", 10],
  ["random", 1_000],
  ["p2c", 10],
  ["p2c", 1_000],
  ["ewma", 10],
  ["ewma", 1_000],
  ["ip_hash", 10],
  ["ip_hash", 100],
];

/** A pool as it is in use: some load, some latencies. */
function poolOf(policy: Policy, size: number): Pool {
  const pool = new Pool(
    Array.from({ length: size }, (_, i) => `http://10.0.${i >> 8}.${i & 255}`),
    policy,
  );
  for (const [i, backend] of [...pool].entries()) {
    if (!(backend instanceof Backend)) continue;
    backend.inFlight = i % 7;
    backend.observed(5 + i % 11, 0);
  }
  return pool;
}

const KEYS = Array.from({ length: 256 }, (_, i) => `203.0.113.${i}`);

/** One pick of a case. */
function pickOf(policy: string, size: number): () => void {
  const pool = poolOf(policyOf(policy, { now: () => 1 }), size);
  let turn = 0;
  return () => void pool.pick(KEYS[turn++ & 255]);
}

if ("Bun" in globalThis) {
  // No `deno bench` there: the best of five runs of a fifth of a second.
  for (const [policy, size] of CASES) {
    const pick = pickOf(policy, size);
    let best = Infinity;
    for (let round = 0; round < 5; round++) {
      const start = performance.now();
      let picks = 0;
      for (; performance.now() - start < 200; picks += 100) {
        for (let i = 0; i < 100; i++) pick();
      }
      best = Math.min(best, (performance.now() - start) / picks);
    }
    console.log(
      `${policy} over ${size}: ${(best * 1e6).toFixed(0)} ns, ` +
        `${Math.round(1000 / best).toLocaleString("en")} picks/s`,
    );
  }
} else {
  for (const [policy, size] of CASES) {
    Deno.bench({
      name: `${policy} over ${size}`,
      group: policy,
      fn: pickOf(policy, size),
    });
  }
}

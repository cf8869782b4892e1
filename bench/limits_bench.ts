// What do RATE_LIMIT and MAX_IN_FLIGHT=auto cost a request, where they are on?
// (Where they are off, it is a look whether something is undefined.)
//
// `deno bench bench/limits_bench.ts`, and `bun run bench/limits_bench.ts`.

import { Pool } from "../balancer.ts";
import { LearntLimit } from "../proxy/learnt_limit.ts";
import { RateLimiter } from "../proxy/rate_limit.ts";
import { Waiting, type WaitingRequest } from "../proxy/waiting.ts";

/** Where there is no `Deno.bench`: the median of ten rounds, printed. */
function timed(name: string, step: () => unknown): void {
  const rounds: number[] = [];
  for (let round = 0; round <= 10; round++) {
    const began = performance.now();
    for (let i = 0; i < 100_000; i++) step();
    // The first one is for the compiler.
    if (round > 0) rounds.push((performance.now() - began) / 100_000 * 1e6);
  }
  rounds.sort((a, b) => a - b);
  console.log(`${rounds[5]!.toFixed(0).padStart(8)} ns  ${name}`);
}

const bench: (name: string, step: () => unknown) => void = "Deno" in globalThis
  ? (name, step) => Deno.bench(name, () => void step())
  : timed;

const request = new Request("http://site.test/", {
  headers: { "x-api-key": "0123456789abcdef0123456789abcdef" },
});

function rates(key?: (request: Request) => string | undefined): RateLimiter {
  return new RateLimiter({
    requests: 1_000_000,
    perMs: 1_000,
    key,
    clientAddress: (_headers, peer) => peer!,
    log: () => {},
  });
}

/** Addresses as separate strings, as a runtime supplies them. */
const v4 = Array.from(
  { length: 4_096 },
  (_, i) => `10.${i & 15}.${i >> 4}.${i & 255}`,
);
const v6 = v4.map((_, i) => `2001:db8:${i.toString(16)}::${i.toString(16)}`);
let turn = 0;
let now = 0;
const asked = (peer: string) => ({
  request,
  fields: request.headers,
  peer,
  at: now,
});

for (const [name, list] of [["IPv4", v4], ["IPv6", v6]] as const) {
  const limiter = rates();
  bench(`RATE_LIMIT, ${name}`, () => {
    now += 0.05;
    return limiter.refusal(asked(list[turn++ & 4_095]!));
  });
}
const keyed = rates((request) => request.headers.get("x-api-key") ?? undefined);
bench("RATE_LIMIT, a key of 32 characters", () => {
  now += 0.05;
  return keyed.refusal(asked("10.0.0.1"));
});

const pool = new Pool(["http://a", "http://b", "http://c"]);
for (const start of [100, 1]) {
  const waiting = new Waiting(pool, new LearntLimit({ start }));
  bench(
    start === 1
      ? "MAX_IN_FLIGHT=auto, near the limit"
      : "MAX_IN_FLIGHT=auto, a request that is let through",
    () => {
      now += 0.05;
      if (!waiting.enter(now)) return;
      const backend = pool.pick(undefined, undefined);
      const x = {
        waitsSince: now,
        room: waiting as WaitingRequest["room"],
        backend,
      };
      waiting.full(backend!);
      waiting.assigned(x);
      waiting.answered(x, 200, 1, now + 1);
    },
  );
}
bench("(a pick by round robin, which is part of both)", () => {
  return pool.pick(undefined, undefined);
});
const full = new LearntLimit({ start: 10 });
for (let i = 0; i < 10; i++) full.enter(0);
bench("MAX_IN_FLIGHT=auto, a request that is refused", () => full.enter(0));

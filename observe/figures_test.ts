import assert from "node:assert/strict"; // built in to both runtimes
import { Pool } from "../balancer.ts";
import { FakeClock } from "../testing/clock.ts";
import { FigureKeeper, type Figures, KEPT_S } from "./figures.ts";
import { Metrics } from "./metrics.ts";

Deno.test("FigureKeeper makes rates of counters, second by second", async () => {
  const clock = new FakeClock();
  const pool = new Pool([{ url: "http://a.test" }]);
  const [a] = [...pool];
  let refused = 0;
  const metrics = new Metrics(pool, {
    inFlight: () => 3,
    webSocketsOpen: () => 0,
    retriesRefused: () => 0,
    linesLost: () => 0,
    admission: () => ({
      rateLimited: refused,
      refusedFull: refused,
      inFlightLimit: 99.99,
      waiting: 5,
    }),
    connections: () => ({ busy: 1, idle: 2 }),
  });
  const ticks: Figures[] = [];
  const keeper = new FigureKeeper({
    clock,
    snapshot: () => metrics.snapshot(),
    tick: (figures) => ticks.push(figures),
  });
  keeper.start();
  await clock.advance(0);
  for (let i = 0; i < 10; i++) {
    metrics.answered(a!, i < 8 ? 200 : 500, 4);
    metrics.request(i < 8 ? 200 : 500, 5);
  }
  metrics.failed(a!, "connection_refused");
  refused = 2;
  await clock.advance(1000);
  const [first] = ticks;
  assert.equal(first?.requestsPerSecond, 10);
  assert.equal(first?.errorsPerSecond, 2);
  assert.equal(first?.inFlight, 3);
  assert.equal(first?.inFlightLimit, 100);
  assert.equal(first?.rateLimitedPerSecond, 2);
  assert.equal(first?.overLimitPerSecond, 2);
  assert.equal(first?.waiting, 5);
  assert.ok(first!.latencyMs.p50! > 4 && first!.latencyMs.p50! < 6);
  assert.deepEqual(first?.backends[a!.id], {
    requestsPerSecond: 11,
    errorsPerSecond: 3,
    inFlight: 0,
    latencyMs: 4,
    connections: { busy: 1, idle: 2 },
  });
  await clock.advance(1000);
  assert.equal(ticks[1]?.requestsPerSecond, 0);
  assert.equal(ticks[1]?.backends[a!.id]?.latencyMs, null);
  // Percentiles look back ten seconds, so they do not flicker.
  assert.notEqual(ticks[1]?.latencyMs.p50, null);
  await clock.advance(200_000);
  assert.equal(ticks.at(-1)?.latencyMs.p50, null);
  assert.equal(keeper.kept.length, KEPT_S);
  keeper.stop();
  assert.equal(clock.pending, 0);
});

Deno.test("FigureKeeper asks for no snapshot while one is under way", async () => {
  const clock = new FakeClock();
  let asked = 0;
  const keeper = new FigureKeeper({
    clock,
    snapshot: () => {
      asked++;
      return new Promise(() => {});
    },
    tick: () => {},
  });
  keeper.start();
  await clock.advance(5_000);
  assert.equal(asked, 1);
  keeper.stop();
});

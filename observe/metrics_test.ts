import assert from "node:assert/strict"; // built in to both runtimes
import { Pool } from "../balancer.ts";
import {
  atRest,
  boundOf,
  Histogram,
  Metrics,
  percentile,
  sum,
} from "./metrics.ts";

const idle = {
  inFlight: () => 0,
  webSocketsOpen: () => 1,
  retriesRefused: () => 0,
  linesLost: () => 0,
};

Deno.test("Histogram counts a value in the bucket whose bound holds it", () => {
  for (const ms of [0, 0.001, 0.5, 1, 1.01, 2, 37, 1000, 1024, 99_999, 1e9]) {
    const histogram = new Histogram();
    histogram.add(ms);
    const bucket = histogram.snapshot().counts.indexOf(1);
    assert.ok(ms <= boundOf(bucket), `${ms} is over its bound`);
    if (bucket > 0) assert.ok(ms > boundOf(bucket - 1), `${ms} is under it`);
  }
});

Deno.test("percentile() is right to within a bucket, and undefined without values", () => {
  const histogram = new Histogram();
  assert.equal(percentile(histogram.snapshot().counts, 0.5), undefined);
  for (let ms = 1; ms <= 1000; ms++) histogram.add(ms);
  const { counts } = histogram.snapshot();
  for (const [share, ms] of [[0.5, 500], [0.95, 950], [0.99, 990]] as const) {
    const found = percentile(counts, share)!;
    assert.ok(Math.abs(found - ms) / ms < 0.1, `${share}: ${found}`);
  }
});

Deno.test("Metrics counts requests, attempts, outcomes and events", () => {
  const pool = new Pool([{ url: "http://a.test" }, { url: "http://b.test" }]);
  const [a, b] = [...pool] as [
    ReturnType<typeof pool.add>,
    ReturnType<typeof pool.add>,
  ];
  const metrics = new Metrics(pool, { ...idle, retriesRefused: () => 7 });
  metrics.failed(a, "connection_refused");
  metrics.retried();
  metrics.answered(b, 200, 5);
  metrics.answered(b, 503, 7);
  metrics.outcome(b, true);
  metrics.outcome(a, false);
  metrics.request(200, 12);
  pool.emit({ type: "ejected", backend: a });
  pool.emit({ type: "panic" });
  metrics.answered(b, 101, 1);
  metrics.request(101, 3_600_000);
  const snapshot = metrics.snapshot();
  assert.deepEqual(snapshot.requests, { 101: 1, 200: 1 });
  assert.equal(snapshot.duration.sum, 12);
  assert.equal(snapshot.retries, 1);
  assert.equal(snapshot.retriesRefused, 7);
  assert.equal(snapshot.panics, 1);
  assert.equal(snapshot.webSockets, 1);
  assert.equal(snapshot.webSocketsOpen, 1);
  assert.deepEqual(snapshot.backends[a.id], {
    answers: {},
    failures: { connection_refused: 1 },
    outcomes: { good: 0, bad: 1 },
    ejections: 1,
    answerMs: 0,
    inFlight: 0,
  });
  assert.deepEqual(snapshot.backends[b.id]?.answers, {
    101: 1,
    200: 1,
    503: 1,
  });
  assert.equal(snapshot.backends[b.id]?.answerMs, 13);
});

Deno.test("Metrics drops the counters of a removed backend", () => {
  const pool = new Pool([{ url: "http://a.test" }, { url: "http://b.test" }]);
  const metrics = new Metrics(pool, idle);
  const a = pool.get("http://a.test")!;
  metrics.answered(a, 200, 1);
  pool.remove(a);
  metrics.answered(a, 200, 1);
  assert.deepEqual(Object.keys(metrics.snapshot().backends).length, 1);
  const again = pool.add({ url: "http://a.test" });
  assert.deepEqual(metrics.snapshot().backends[again.id]?.answers, {});
});

Deno.test("sum() adds up the snapshots of several processes, sent as JSON", () => {
  const pool = new Pool([{ url: "http://a.test" }]);
  const [a] = [...pool];
  const snapshots = [1, 2, 3].map((n) => {
    const metrics = new Metrics(pool, {
      ...idle,
      inFlight: () => n,
      connections: () => ({ busy: n, idle: 10 * n }),
    });
    for (let i = 0; i < n; i++) metrics.request(i === 2 ? 404 : 200, 10);
    metrics.answered(a!, 200 + n, 1);
    return JSON.parse(JSON.stringify(metrics.snapshot()));
  });
  const all = sum(snapshots);
  assert.deepEqual(all.requests, { 200: 5, 404: 1 });
  assert.equal(all.inFlight, 6);
  assert.equal(all.duration.sum, 60);
  assert.equal(all.duration.counts.reduce((x, y) => x + y), 6);
  assert.deepEqual(all.backends[a!.id]?.answers, { 201: 1, 202: 1, 203: 1 });
  assert.equal(all.backends[a!.id]?.answerMs, 3);
  assert.deepEqual(all.backends[a!.id]?.connections, { busy: 6, idle: 60 });
  // A process that has ended has none.
  assert.deepEqual(
    sum([all, atRest(all)]).backends[a!.id]?.connections,
    { busy: 6, idle: 60 },
  );
  assert.throws(() => sum([]), RangeError);
});

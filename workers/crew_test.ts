import assert from "node:assert/strict";
import { type Backend, Pool } from "../balancer.ts";
import { Metrics, type Snapshot } from "../observe/metrics.ts";
import type { Worker } from "../runtime/channel.ts";
import { FakeClock } from "../testing/clock.ts";
import { Crew } from "./crew.ts";
import type { FromWorker, RemoteOutcome, ToWorker } from "./messages.ts";
import { MAX_SHARED } from "./capacity.ts";
import { Table, tableBytes } from "./table.ts";

/** A worker that does what a test says. */
class FakeWorker implements Worker<FromWorker, ToWorker> {
  readonly got: ToWorker[] = [];
  killed = false;
  onMessage: (message: FromWorker) => void = () => {};
  onEnd: (reason: string) => void = () => {};

  post(message: ToWorker): void {
    this.got.push(message);
  }

  kill(): void {
    if (this.killed) return;
    this.killed = true;
    this.onEnd("");
  }

  last<K extends ToWorker["kind"]>(kind: K): Extract<ToWorker, { kind: K }> {
    const found = this.got.findLast((message) => message.kind === kind);
    assert.ok(found, `no message "${kind}"`);
    return found as Extract<ToWorker, { kind: K }>;
  }

  listens(): void {
    this.onMessage({ kind: "hello" });
    this.onMessage({ kind: "listening", port: 8080 });
  }
}

function setUp(size = 2) {
  const clock = new FakeClock();
  const pool = new Pool(["http://a.test:80", "http://b.test:80"]);
  const workers: FakeWorker[] = [];
  const logged: string[] = [];
  const accessed: string[] = [];
  const outcomes: [string, RemoteOutcome][] = [];
  const suspects = new Set<Backend>();
  const buffer = new SharedArrayBuffer(tableBytes(size));
  const crew = new Crew({
    size,
    pool,
    spawn() {
      const worker = new FakeWorker();
      workers.push(worker);
      return worker;
    },
    table: { at: buffer, buffer },
    common: {
      proxy: { policy: "least_conn" },
      serve: { port: 0 },
      pseudonym: "sluice-test",
      token: undefined,
    },
    outcome: (backend, told) => outcomes.push([backend.url, told]),
    suspects: (backend) => suspects.has(backend),
    access: (line) => accessed.push(line),
    clock,
    log: (line) => logged.push(line),
  });
  const place = (at: number, own: number) =>
    new Table(buffer, size, own).place(at);
  return {
    clock,
    pool,
    workers,
    logged,
    accessed,
    outcomes,
    suspects,
    crew,
    place,
    buffer,
  };
}

/** Rows of requests that come before the sums: of two workers and the first. */
const PARTS = 3;

function counted(pool: Pool, status: number): Snapshot {
  const metrics = new Metrics(pool, {
    inFlight: () => 1,
    webSocketsOpen: () => 0,
    retriesRefused: () => 0,
    linesLost: () => 0,
  });
  metrics.request(status, 1);
  metrics.stop();
  return metrics.snapshot();
}

Deno.test("Crew.start() resolves when every worker listens", async () => {
  const { crew, workers } = setUp();
  const started = crew.start();
  let ready = false;
  started.then(() => ready = true);
  workers[0]!.listens();
  await Promise.resolve();
  assert.equal(ready, false);
  workers[1]!.listens();
  assert.equal(await started, 8080);
  const begin = workers[1]!.last("begin");
  assert.equal(begin.worker, 1);
  assert.equal(begin.of, 2);
  assert.equal(begin.serve.port, 8080, "the one that the first has taken");
  assert.equal(begin.proxy.policy, "least_conn");
  assert.deepEqual(begin.backends.map(({ url }) => url), [
    "http://a.test:80",
    "http://b.test:80",
  ]);
  crew.kill();
});

Deno.test("Crew.start() rejects when a worker cannot listen", async () => {
  const { crew, workers } = setUp();
  const started = crew.start();
  workers[0]!.onMessage({ kind: "hello" });
  workers[0]!.onMessage({ kind: "cannot", reason: "the port is taken" });
  await assert.rejects(started, /the port is taken/);
  crew.kill();
});

Deno.test("Crew tells all workers of changes, once for each moment", async () => {
  const { crew, workers, pool } = setUp();
  crew.start();
  for (const worker of workers) worker.listens();
  const [a] = pool;
  pool.setWeight(a!, 5);
  a!.up = false;
  pool.emit({ type: "down", backend: a! });
  pool.add("http://c.test:80");
  await Promise.resolve();
  for (const worker of workers) {
    const told = worker.got.filter(({ kind }) => kind === "backends");
    assert.equal(told.length, 1);
    const { backends } = worker.last("backends");
    assert.deepEqual(
      backends.map(({ url, up, weight }) => [url, up, weight]),
      [
        ["http://a.test:80", false, 5],
        ["http://b.test:80", true, 1],
        ["http://c.test:80", true, 1],
      ],
    );
    assert.equal(new Set(backends.map(({ place }) => place)).size, 3);
  }
  crew.kill();
});

Deno.test("Crew judges outcomes, and marks suspect backends", () => {
  const { crew, workers, pool, outcomes, suspects, place } = setUp();
  crew.start();
  for (const worker of workers) worker.listens();
  const at = workers[0]!.last("begin").backends[0]!.place;
  const [a] = pool;
  const told = {
    url: a!.url,
    place: at,
    good: false,
    agoMs: 3,
    reason: "reset",
  };
  suspects.add(a!);
  workers[1]!.onMessage({ kind: "outcomes", outcomes: [told] });
  assert.deepEqual(outcomes, [[a!.url, told]]);
  assert.equal(place(at, 0).suspect, true);
  suspects.clear();
  const good = { ...told, good: true };
  // One that has left is judged no more, nor one that came under its URL since.
  const gone = { ...told, url: "http://gone.test:80" };
  workers[0]!.onMessage({ kind: "outcomes", outcomes: [gone, good] });
  assert.equal(outcomes.length, 2);
  pool.remove(a!);
  pool.add(a!.url);
  workers[0]!.onMessage({ kind: "outcomes", outcomes: [told] });
  assert.equal(outcomes.length, 2);
  assert.equal(place(at, 0).suspect, false);
  crew.kill();
});

Deno.test("Crew replaces a worker that dies, later each time", async () => {
  const { crew, workers, clock, logged, place } = setUp();
  crew.start();
  for (const worker of workers) worker.listens();
  const at = workers[0]!.last("begin").backends[0]!.place;
  place(at, 0).enter(Infinity);
  workers[0]!.onEnd("SIGKILL");
  assert.equal(place(at, 1).inFlight, 0, "what it had under way is over");
  assert.match(
    logged.at(-1)!,
    /^worker 1 has died \(SIGKILL\): a new one starts in 100 ms$/,
  );
  await clock.advance(99);
  assert.equal(workers.length, 2);
  await clock.advance(1);
  assert.equal(workers.length, 3);
  workers[2]!.listens();
  assert.equal(workers[2]!.last("begin").worker, 0, "it has its number");
  assert.equal(workers[2]!.last("begin").serve.port, 8080);
  workers[2]!.onEnd("");
  assert.match(logged.at(-1)!, /in 200 ms$/);
  await clock.advance(200);
  assert.equal(workers.length, 4);
  // Who has lived for a minute begins with a clean slate.
  workers[3]!.listens();
  await clock.advance(60_000);
  workers[3]!.onEnd("SIGSEGV");
  assert.match(logged.at(-1)!, /in 100 ms$/);
  crew.kill();
});

Deno.test("Crew hears nothing of a dead worker that would be said of the next", async () => {
  // The end of a process is told before its last messages are. A "stopped" from
  // before would kill the worker that has just taken its place.
  const { crew, workers, pool, clock, accessed, logged } = setUp(1);
  crew.start();
  workers[0]!.listens();
  workers[0]!.onEnd("SIGKILL");
  await clock.advance(100);
  const [dead, next] = workers as [FakeWorker, FakeWorker];
  next.listens();
  const snapshot = counted(pool, 200);
  const id = 0;
  dead.onMessage({ kind: "snapshot", id, snapshot });
  dead.onMessage({ kind: "stopped", snapshot });
  dead.onMessage({ kind: "cannot", reason: "late" });
  dead.onMessage({ kind: "hello" });
  dead.onEnd("once more");
  assert.equal(next.killed, false);
  assert.deepEqual(crew.latest(), []);
  assert.equal(next.got.filter(({ kind }) => kind === "begin").length, 1);
  assert.equal(logged.length, 1, "it has died once");
  // Its lines are lines all the same.
  dead.onMessage({ kind: "access", lines: ["late"] });
  assert.deepEqual(accessed, ["late"]);
  await clock.advance(1_000);
  assert.equal(workers.length, 2);
  crew.kill();
});

Deno.test("Crew takes out what a worker had counted for all when it was killed", async () => {
  // Between two steps of counting: it was in the sum and in no part, and a
  // backend with max_conns=1 never got a request again.
  const { crew, workers, clock, place, buffer } = setUp();
  crew.start();
  for (const worker of workers) worker.listens();
  const at = workers[0]!.last("begin").backends[0]!.place;
  const sums = new Int32Array(buffer, PARTS * 8 * (MAX_SHARED + 1));
  Atomics.add(sums, at, 1);
  const other = place(at, 1);
  other.enter(Infinity);
  workers[0]!.onEnd("SIGKILL");
  assert.equal(other.inFlight, 2);
  // One that comes and goes meanwhile is not taken for it.
  await clock.advance(150);
  other.enter(Infinity);
  await clock.advance(1_000);
  assert.equal(other.inFlight, 2);
  other.leave();
  other.leave();
  assert.equal(other.inFlight, 0);
  crew.kill();
  assert.equal(clock.pending, 0);
});

Deno.test("Crew.judged() marks a backend that the first process itself has tried", () => {
  const { crew, workers, pool, suspects, place } = setUp();
  crew.start();
  for (const worker of workers) worker.listens();
  const [a] = pool;
  const at = workers[0]!.last("begin").backends[0]!.place;
  suspects.add(a!);
  crew.judged(a!);
  assert.equal(place(at, 0).suspect, true);
  suspects.clear();
  crew.judged(a!);
  assert.equal(place(at, 0).suspect, false);
  crew.kill();
});

Deno.test("Crew keeps what a dead worker had counted", async () => {
  const { crew, workers, pool, clock } = setUp(1);
  crew.start();
  workers[0]!.listens();
  const first = crew.snapshots();
  const { id } = workers[0]!.last("snapshot");
  workers[0]!.onMessage({ kind: "snapshot", id, snapshot: counted(pool, 200) });
  assert.equal((await first)[0]!.inFlight, 1);
  workers[0]!.onEnd("SIGKILL");
  const [past, ...others] = await crew.snapshots();
  assert.deepEqual(others, []);
  assert.equal(past!.requests[200], 1);
  assert.equal(past!.inFlight, 0, "it has nothing under way any more");
  await clock.advance(100);
  workers[1]!.listens();
  const next = crew.snapshots();
  workers[1]!.onMessage({
    kind: "snapshot",
    id: workers[1]!.last("snapshot").id,
    snapshot: counted(pool, 404),
  });
  assert.deepEqual((await next).map(({ requests }) => requests), [
    { 404: 1 },
    { 200: 1 },
  ]);
  crew.kill();
});

Deno.test("Crew.count() makes workers keep figures, and those that replace them", async () => {
  const { crew, workers, clock } = setUp(1);
  crew.start();
  workers[0]!.listens();
  assert.equal(workers[0]!.last("begin").counts, false);
  crew.count();
  workers[0]!.last("count");
  workers[0]!.onEnd("SIGKILL");
  await clock.advance(100);
  workers[1]!.listens();
  assert.equal(workers[1]!.last("begin").counts, true);
  crew.kill();
});

Deno.test("Crew.snapshots() does not wait for a replacement that is still starting", async () => {
  // Its place counted as listening since the dead worker, and each round of
  // figures took a second.
  const { crew, workers, clock } = setUp(1);
  crew.start();
  workers[0]!.listens();
  workers[0]!.onEnd("SIGKILL");
  await clock.advance(100);
  assert.equal(workers.length, 2);
  assert.deepEqual(await crew.snapshots(), []);
  assert.deepEqual(workers[1]!.got, []);
  crew.kill();
});

Deno.test("Crew.snapshots() does not wait for a worker that hangs", async () => {
  const { crew, workers, pool, clock } = setUp();
  crew.start();
  for (const worker of workers) worker.listens();
  const asked = crew.snapshots();
  workers[0]!.onMessage({
    kind: "snapshot",
    id: workers[0]!.last("snapshot").id,
    snapshot: counted(pool, 200),
  });
  await clock.advance(1_000);
  assert.equal((await asked).length, 1);
  crew.kill();
});

Deno.test("Crew passes lines on: the log's and the access log's", () => {
  const { crew, workers, logged, accessed } = setUp();
  crew.start();
  workers[1]!.onMessage({ kind: "log", line: "a line" });
  workers[0]!.onMessage({ kind: "access", lines: ["one", "two"] });
  assert.deepEqual(logged, ["a line"]);
  assert.deepEqual(accessed, ["one", "two"]);
  crew.kill();
});

Deno.test("Crew.stop() has all drain, and ends those that take too long", async () => {
  const { crew, workers, clock, logged } = setUp();
  crew.start();
  for (const worker of workers) worker.listens();
  let stopped = false;
  crew.stop(10_000).then(() => stopped = true);
  for (const worker of workers) worker.last("drain");
  workers[0]!.onMessage({ kind: "stopped", snapshot: undefined });
  assert.equal(workers[0]!.killed, true);
  await clock.advance(12_999);
  assert.equal(stopped, false);
  await clock.advance(1);
  assert.equal(stopped, true);
  assert.equal(workers[1]!.killed, true);
  assert.deepEqual(logged, [], "no worker is reported as dead");
});

Deno.test("Crew has all close at one moment, and does not wait for the dead", () => {
  const { crew, workers } = setUp(3);
  crew.start();
  for (const worker of workers) worker.listens();
  crew.stop(10_000);
  const [a, b, c] = workers as [FakeWorker, FakeWorker, FakeWorker];
  const went = () =>
    workers.map(({ got }) => got.filter(({ kind }) => kind === "go").length);
  a.onMessage({ kind: "reached", stage: "close" });
  b.onMessage({ kind: "reached", stage: "close" });
  assert.deepEqual(went(), [0, 0, 0]);
  c.onEnd("SIGKILL");
  assert.deepEqual(went(), [1, 1, 0]);
  assert.equal(a.last("go").stage, "close");
  a.onMessage({ kind: "reached", stage: "release" });
  assert.deepEqual(went(), [1, 1, 0]);
  b.onMessage({ kind: "reached", stage: "release" });
  assert.deepEqual(went(), [2, 2, 0]);
  crew.kill();
});

Deno.test("Crew.start() starts no worker after stop()", async () => {
  const { crew, workers } = setUp();
  await crew.stop(10_000);
  await assert.rejects(crew.start(), /it was stopped/);
  assert.equal(workers.length, 0);
});

const TLS = { cert: "cert", key: "key" };

Deno.test("Crew.setCertificate() resolves when every worker shows it", async () => {
  const { crew, workers } = setUp();
  crew.start();
  for (const worker of workers) worker.listens();
  let done = false;
  const set = crew.setCertificate(TLS).then(() => done = true);
  const [first, second] = workers.map((worker) => worker.last("certificate"));
  assert.deepEqual(first!.tls, TLS);
  workers[0]!.onMessage({ kind: "certified", id: first!.id });
  await Promise.resolve();
  assert.equal(done, false);
  workers[1]!.onMessage({ kind: "certified", id: second!.id });
  await set;
  crew.kill();
});

Deno.test("Crew.setCertificate() rejects with a worker's reason, or when one is silent", async () => {
  const { crew, workers, clock } = setUp();
  crew.start();
  for (const worker of workers) worker.listens();
  const refused = crew.setCertificate(TLS);
  for (const [i, worker] of workers.entries()) {
    const { id } = worker.last("certificate");
    worker.onMessage({
      kind: "certified",
      id,
      ...(i === 0 ? {} : { reason: "no way" }),
    });
  }
  await assert.rejects(refused, /no way/);
  const unanswered = assert.rejects(
    crew.setCertificate(TLS),
    /worker 1 does not answer/,
  );
  await clock.advance(10_000);
  await unanswered;
  crew.kill();
});

Deno.test("Crew has a worker that takes another's place begin with the last certificate", async () => {
  const { crew, workers, clock } = setUp();
  crew.start();
  for (const worker of workers) worker.listens();
  const set = crew.setCertificate(TLS);
  workers[0]!.onEnd("signal 9");
  workers[1]!.onMessage({
    kind: "certified",
    id: workers[1]!.last("certificate").id,
  });
  await set;
  await clock.advance(100);
  workers[2]!.onMessage({ kind: "hello" });
  assert.deepEqual(workers[2]!.last("begin").serve.tls, TLS);
  crew.kill();
});

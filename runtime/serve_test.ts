import assert from "node:assert/strict";
import { FakeClock, settle } from "../testing/clock.ts";
import { drain, type DrainOptions, Gate } from "./serve.ts";

interface World {
  clock: FakeClock;
  /** What was done to listener and proxy, each with the time. */
  done: string[];
  uploading: boolean;
  started: number;
  bridged: number;
  /** Lets the listener's close resolve. */
  release: () => void;
  gate: Gate;
  run(options?: Partial<DrainOptions>): Promise<void>;
}

function world(
  { cutsUploads = false, cutEnds = true }: {
    cutsUploads?: boolean;
    cutEnds?: boolean;
  } = {},
): World {
  const clock = new FakeClock();
  const done: string[] = [];
  const note = (what: string) => void done.push(`${clock.now()} ${what}`);
  const closing = Promise.withResolvers<void>();
  const w: World = {
    clock,
    done,
    uploading: false,
    started: 0,
    bridged: 0,
    release: closing.resolve,
    gate: new Gate(() => new Response("answered")),
    run: (options = {}) =>
      drain(
        {
          port: 1,
          cutsUploads,
          close: () => {
            note("close");
            return closing.promise;
          },
          kill: () => note("kill"),
        },
        w.gate,
        {
          drain: () => note("drain"),
          get uploading() {
            return w.uploading;
          },
          get started() {
            return w.started;
          },
          get bridged() {
            return w.bridged;
          },
          goAway: () => {
            if (w.bridged > 0) note("goAway");
            w.bridged = 0;
          },
          cut: () => {
            note("cut");
            if (cutEnds) closing.resolve();
          },
          stop: () => {
            note("stop");
            return Promise.resolve();
          },
        },
        { delayMs: 0, timeoutMs: 10_000, clock, ...options },
      ),
  };
  return w;
}

/** What was done, in order. */
function order({ done }: World): string[] {
  return done.map((entry) => entry.split(" ")[1]!);
}

/** When something was done; `NaN` if it was not. */
function at({ done }: World, what: string): number {
  return parseInt(done.find((entry) => entry.endsWith(` ${what}`)) ?? "");
}

Deno.test("drain() says so, waits for a quiet moment, closes, then stops", async () => {
  const w = world();
  w.release();
  const draining = w.run();
  await w.clock.advance(1_000);
  await draining;
  assert.deepEqual(order(w), ["drain", "close", "stop"]);
  assert.equal(at(w, "drain"), 0);
  assert.ok(at(w, "close") >= 100 && at(w, "close") <= 300, w.done.join());
  assert.equal(w.clock.pending, 0);
});

Deno.test("drain() goes on listening for the delay", async () => {
  const w = world();
  w.release();
  const draining = w.run({ delayMs: 3_000 });
  await w.clock.advance(3_000);
  assert.deepEqual(w.done, ["0 drain"]);
  await w.clock.advance(1_000);
  await draining;
  assert.deepEqual(order(w), ["drain", "close", "stop"]);
});

Deno.test("drain() lets clients see that their connections end, for a second or so", async () => {
  const w = world();
  w.release();
  const draining = w.run();
  // They never stop coming.
  for (let i = 0; i < 100; i++) {
    w.started++;
    await w.clock.advance(20);
  }
  await draining;
  assert.deepEqual(order(w), ["drain", "close", "stop"]);
  assert.ok(at(w, "close") >= 1_000 && at(w, "close") <= 1_600, w.done.join());
});

Deno.test("drain() closes the listener while no response is being sent, then releases the held ones", async () => {
  const w = world();
  w.release();
  const draining = w.run();
  let answered = NaN;
  const ask = async () => {
    w.started++;
    await w.gate.handle(new Request("http://sluice.test/"));
    return w.clock.now();
  };
  await w.clock.advance(60);
  // Before that, at once.
  assert.equal(await ask(), 60);
  while (Number.isNaN(at(w, "close"))) {
    if (w.clock.now() === 180) void ask().then((now) => answered = now);
    await w.clock.advance(10);
  }
  await draining;
  await settle();
  assert.ok(answered >= at(w, "close"), `${answered}: ${w.done.join()}`);
});

Deno.test("drain() waits for uploads where closing would cut them", async () => {
  for (const cutsUploads of [true, false]) {
    const w = world({ cutsUploads });
    w.uploading = true;
    w.release();
    const draining = w.run();
    await w.clock.advance(5_000);
    assert.equal(order(w).includes("close"), !cutsUploads);
    w.uploading = false;
    await w.clock.advance(2_000);
    await draining;
    assert.deepEqual(order(w), ["drain", "close", "stop"]);
  }
});

Deno.test("drain() closes WebSockets on both sides before it closes", async () => {
  const w = world();
  w.bridged = 2;
  w.release();
  const draining = w.run();
  await w.clock.advance(2_000);
  await draining;
  assert.deepEqual(order(w), ["drain", "goAway", "close", "stop"]);
});

Deno.test("drain() also closes WebSockets that are opened while it waits to close", async () => {
  const w = world();
  const draining = w.run();
  await w.clock.advance(150);
  w.bridged = 1;
  await w.clock.advance(500);
  w.release();
  await draining;
  assert.deepEqual(order(w), ["drain", "close", "goAway", "stop"]);
});

Deno.test("drain() cuts what is left after the timeout", async () => {
  const w = world();
  const draining = w.run({ timeoutMs: 2_000 });
  await w.clock.advance(1_999);
  assert.deepEqual(order(w), ["drain", "close"]);
  await w.clock.advance(500);
  await draining;
  assert.deepEqual(w.done.slice(2), ["2000 cut", "2000 stop"]);
  assert.equal(w.clock.pending, 0);
});

Deno.test("drain() kills the listener when not even that ends it", async () => {
  const w = world({ cutEnds: false });
  const draining = w.run({ timeoutMs: 2_000 });
  await w.clock.advance(5_000);
  await draining;
  assert.deepEqual(order(w), ["drain", "close", "cut", "kill", "stop"]);
  assert.equal(at(w, "cut"), 2_000);
});

Deno.test("drain() waits for nothing with a timeout of 0", async () => {
  const w = world();
  const draining = w.run({ timeoutMs: 0 });
  await settle();
  await w.clock.advance(200);
  await draining;
  assert.deepEqual(w.done, ["0 drain", "0 close", "0 cut", "0 stop"]);
});

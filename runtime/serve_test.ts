import assert from "node:assert/strict";
import { FakeClock, settle } from "../testing/clock.ts";
import { drain, type DrainOptions } from "./serve.ts";

interface World {
  clock: FakeClock;
  /** What was done to listener and proxy, each with the time. */
  done: string[];
  uploading: boolean;
  started: number;
  bridged: number;
  /** Lets the listener's close resolve. */
  release: () => void;
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

Deno.test("drain() says so, waits for a quiet moment, closes, then stops", async () => {
  const w = world();
  w.release();
  const draining = w.run();
  await w.clock.advance(1_000);
  await draining;
  assert.deepEqual(w.done, ["0 drain", "100 close", "100 stop"]);
  assert.equal(w.clock.pending, 0);
});

Deno.test("drain() goes on listening for the delay", async () => {
  const w = world();
  w.release();
  const draining = w.run({ delayMs: 3_000 });
  await w.clock.advance(3_050);
  assert.deepEqual(w.done, ["0 drain"]);
  await w.clock.advance(1_000);
  await draining;
  assert.deepEqual(w.done.slice(1), ["3100 close", "3100 stop"]);
});

Deno.test("drain() lets clients see that their connections end, for a second", async () => {
  const w = world();
  w.release();
  const draining = w.run();
  for (let i = 0; i < 60; i++) {
    w.started++;
    await w.clock.advance(20);
  }
  await draining;
  assert.deepEqual(w.done, ["0 drain", "1000 close", "1000 stop"]);
});

Deno.test("drain() waits for uploads where closing would cut them", async () => {
  for (const cutsUploads of [true, false]) {
    const w = world({ cutsUploads });
    w.uploading = true;
    w.release();
    const draining = w.run();
    await w.clock.advance(5_000);
    assert.equal(w.done.includes("100 close"), !cutsUploads);
    w.uploading = false;
    await w.clock.advance(100);
    await draining;
  }
});

Deno.test("drain() cuts what is left after the timeout", async () => {
  const w = world();
  const draining = w.run({ timeoutMs: 2_000 });
  await w.clock.advance(1_999);
  assert.deepEqual(w.done, ["0 drain", "100 close"]);
  await w.clock.advance(500);
  await draining;
  assert.deepEqual(w.done.slice(2), ["2000 cut", "2000 stop"]);
});

Deno.test("drain() kills the listener when not even that ends it", async () => {
  const w = world({ cutEnds: false });
  const draining = w.run({ timeoutMs: 2_000 });
  await w.clock.advance(5_000);
  await draining;
  assert.deepEqual(w.done.slice(2, 3), ["2000 cut"]);
  assert.match(w.done[3]!, /kill$/);
  assert.match(w.done[4]!, /stop$/);
});

Deno.test("drain() waits for nothing with a timeout of 0", async () => {
  const w = world();
  const draining = w.run({ timeoutMs: 0 });
  await settle();
  await w.clock.advance(200);
  await draining;
  assert.deepEqual(w.done, ["0 drain", "0 close", "0 cut", "0 stop"]);
});

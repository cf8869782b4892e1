import assert from "node:assert/strict";
import { Backend } from "../../balancer.ts";
import { FakeClock } from "../../testing/clock.ts";
import { Share } from "./share.ts";

/** A backend, and a way to have a request of it enter. */
function backendOf(share: Share, url: string) {
  const backend = new Backend({ url });
  const state = { backend, running: 0, failed: 0 };
  const enter = (signal = new AbortController().signal) => {
    backend.inFlight++;
    const turn = share.enter(backend, signal);
    if (turn === undefined) state.running++;
    else {
      turn.then(() => state.running++, () => {
        state.failed++;
        backend.inFlight--;
      });
    }
  };
  return Object.assign(state, { enter });
}

Deno.test("Share.part divides the limit, and keeps one for each probe", () => {
  const share = new Share(256);
  assert.equal(share.part, 255);
  const leave = share.join(() => 3);
  assert.equal(share.part, 84);
  share.join(() => 1);
  assert.equal(share.part, 63);
  leave();
  assert.equal(share.part, 255);
  share.join(() => 1000);
  assert.equal(share.part, 1);
});

Deno.test("Share.enter() queues requests of a full backend, and no other", async () => {
  const clock = new FakeClock();
  const share = new Share(9, clock);
  share.join(() => 3);
  const hung = backendOf(share, "http://10.0.0.1");
  const good = backendOf(share, "http://10.0.0.2");
  for (let i = 0; i < 5; i++) hung.enter();
  good.enter();
  assert.equal(hung.running, 2);
  assert.equal(good.running, 1);
  await clock.advance(1_000);
  assert.equal(hung.running, 2);
  // One ends: the next in line goes, and only that one.
  hung.backend.inFlight--;
  await clock.advance(5);
  assert.equal(hung.running, 3);
  hung.backend.inFlight -= 2;
  await clock.advance(5);
  assert.equal(hung.running, 5);
  // Nobody waits any more.
  assert.equal(clock.pending, 0);
});

Deno.test("Share.enter() is first in, first out", async () => {
  const clock = new FakeClock();
  const share = new Share(2, clock);
  share.join(() => 1);
  const { backend, enter } = backendOf(share, "http://10.0.0.1");
  enter();
  const order: number[] = [];
  const { signal } = new AbortController();
  backend.inFlight++;
  share.enter(backend, signal)!.then(() => order.push(1));
  backend.inFlight--; // the first has ended, and no check was made yet
  backend.inFlight++;
  share.enter(backend, signal)!.then(() => order.push(2));
  await clock.advance(5);
  assert.deepEqual(order, [1]);
  backend.inFlight--;
  await clock.advance(5);
  assert.deepEqual(order, [1, 2]);
});

Deno.test("Share.enter() rejects with the signal's reason, and leaves the queue", async () => {
  const clock = new FakeClock();
  const share = new Share(2, clock);
  share.join(() => 1);
  const one = backendOf(share, "http://10.0.0.1");
  one.enter();
  const controller = new AbortController();
  one.enter(controller.signal);
  one.enter();
  controller.abort(new Error("left"));
  await clock.advance(5);
  assert.equal(one.failed, 1);
  assert.equal(one.running, 1);
  one.backend.inFlight--;
  await clock.advance(5);
  assert.equal(one.running, 2);
  assert.equal(clock.pending, 0);
});

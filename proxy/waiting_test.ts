import assert from "node:assert/strict"; // built in to both runtimes
import { type Backend, Pool } from "../balancer.ts";
import { LearntLimit } from "./learnt_limit.ts";
import { Waiting, type WaitingRequest } from "./waiting.ts";

const URLS = ["http://a", "http://b", "http://c"];

function waiting(start = 30) {
  const pool = new Pool(URLS);
  const limit = new LearntLimit({ start });
  const [a, b, c] = pool.backends as [Backend, Backend, Backend];
  return { pool, limit, room: new Waiting(pool, limit), a, b, c };
}

/** A request that `backend` has got. */
function sent(room: Waiting, backend: Backend, now = 0) {
  assert.ok(room.enter(now));
  const x = {
    waitsSince: now,
    room: room as WaitingRequest["room"],
    backend: backend as WaitingRequest["backend"],
  };
  room.assigned(x);
  return x;
}

Deno.test("Waiting counts a request until its header, its failure or its end", () => {
  const { room, limit, a } = waiting();
  const answered = sent(room, a);
  const retried = sent(room, a);
  const ended = sent(room, a);
  assert.equal(limit.waiting, 3);
  room.answered(answered, 200, 5, 5);
  assert.equal(limit.waiting, 2);
  // Once its header has come, its body is no wait.
  room.left(answered);
  room.over(answered);
  assert.equal(limit.waiting, 2);
  // It goes on elsewhere, and waits there.
  room.left(retried);
  retried.backend = undefined;
  assert.equal(limit.waiting, 2);
  room.left(ended);
  room.over(ended);
  room.over(retried);
  assert.equal(limit.waiting, 0);
});

Deno.test("Waiting skips a backend with more than its share", () => {
  const { room, a, b, c } = waiting(30);
  // While there is room for all, each may have as many as its policy gives it:
  // sessions that stick, and keys that are hashed, stay where they are.
  for (let i = 0; i < 23; i++) {
    sent(room, a);
    assert.equal(room.full(a), false);
  }
  sent(room, a);
  assert.equal(room.full(a), true);
  assert.equal(room.full(b), false);
  for (let i = 0; i < 6; i++) sent(room, b);
  assert.equal(room.full(b), false);
  assert.equal(room.full(c), false);
});

Deno.test("Waiting gives shares by weight, to those that are available", () => {
  const { pool, room, a, b, c } = waiting(30);
  pool.change(a, { weight: 8 });
  for (let i = 0; i < 24; i++) sent(room, i < 20 ? a : b);
  // 30 × 1.25 × 8/10, and × 1/10.
  assert.equal(room.full(a), false);
  assert.equal(room.full(b), true);
  c.up = false;
  pool.change(a, { weight: 1 });
  // After what is remembered of the shares: 30 × 1.25 × 1/2.
  sent(room, b, 1_000);
  assert.equal(room.full(a), true);
  assert.equal(room.full(b), false);
});

Deno.test("Waiting drops requests that wait much longer than others", () => {
  const { room, limit, a } = waiting();
  for (let i = 0; i < 300; i++) {
    const now = i * 10;
    room.answered(sent(room, a, now), 200, 10, now + 10);
  }
  const old = sent(room, a, 3_000);
  room.dropIfStale(old, 3_000 + limit.staleMs - 1);
  assert.equal(old.room, room);
  room.dropIfStale(old, 3_000 + limit.staleMs);
  assert.equal(old.room, undefined);
  assert.equal(limit.waiting, 0);
  // Its answer comes late, and is none that anything is learnt from.
  const { baseMs } = limit;
  room.answered(old, 200, 60_000, 63_000);
  assert.equal(limit.waiting, 0);
  assert.equal(limit.baseMs, baseMs);
});

Deno.test("Waiting learns nothing from failures and handshakes", () => {
  const { room, limit, a } = waiting();
  for (const status of [500, 502, 503, 101]) {
    for (let i = 0; i < 300; i++) {
      room.answered(sent(room, a, i * 10), status, 1, i * 10 + 1);
    }
  }
  assert.ok(Number.isNaN(limit.baseMs));
  assert.equal(limit.waiting, 0);
});

// A slow `onRequest` used up the limit while the backends were idle.
Deno.test("Waiting does not count a request while its hook runs", () => {
  const { room, limit, a } = waiting(10);
  const x: WaitingRequest = { waitsSince: 0, room: undefined, backend: a };
  for (let i = 0; i < 100; i++) assert.ok(room.admits(0));
  assert.equal(limit.waiting, 0);
  assert.ok(room.resume(x, false, 5));
  assert.deepEqual([limit.waiting, x.waitsSince, x.room], [1, 5, room]);
  // A retry calls the hook again.
  assert.ok(room.pause(x));
  assert.equal(limit.waiting, 0);
  for (let i = 0; i < 10; i++) sent(room, a, 2_000);
  // A request that was admitted before is counted again; another one is refused.
  assert.equal(limit.limit, 10);
  assert.ok(room.resume(x, true, 2_000));
  assert.equal(limit.waiting, 11);
  for (let i = 0; i < 9; i++) sent(room, a, 2_000);
  assert.equal(room.admits(2_300), false);
  const other: WaitingRequest = { waitsSince: 0, room: undefined, backend: a };
  assert.equal(room.resume(other, false, 2_300), false);
  assert.equal(other.room, undefined);
  assert.equal(room.pause(other), false);
  assert.equal(limit.refused, 2);
});

/**
 * Whether work grows with its input and not with the square of it.
 *
 * @module
 */

import assert from "node:assert/strict";

/** Runs of each size; the quickest of them is the one that nothing disturbed. */
const RUNS = 5;
/** Measurements that may fail: on a busy machine all runs of a size are disturbed. */
const TRIES = 5;
/** What may come on top of the work itself. */
const NOISE_MS = 5;

/**
 * Does the work for n, 2n, 4n and 8n, and fails if eight times the input takes
 * more than 24 times the time: with the square of it, it would take 64.
 */
export function growsLinearly(
  what: string,
  n: number,
  prepare: (size: number) => () => void,
): void {
  const all: string[] = [];
  for (let tried = 0; tried < TRIES; tried++) {
    const took = [1, 2, 4, 8].map((times) => quickest(prepare, times * n));
    if (took[3]! < 24 * took[0]! + NOISE_MS) return;
    all.push(took.map((ms) => ms.toFixed(2)).join(", "));
  }
  assert.fail(`${what}: ${all.join("; ")} ms for n to 8n`);
}

function quickest(prepare: (size: number) => () => void, size: number): number {
  let best = Infinity;
  for (let i = 0; i < RUNS; i++) {
    const work = prepare(size);
    const from = performance.now();
    work();
    best = Math.min(best, performance.now() - from);
  }
  return best;
}

/** Random numbers that are the same each time (mulberry32). */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ state >>> 15, state | 1);
    mixed ^= mixed + Math.imul(mixed ^ mixed >>> 7, mixed | 61);
    return ((mixed ^ mixed >>> 14) >>> 0) / 2 ** 32;
  };
}

/** Cuts bytes into pieces at random places; each piece has memory of its own. */
export function cutAtRandom(
  bytes: Uint8Array<ArrayBuffer>,
  random: () => number,
): Uint8Array<ArrayBuffer>[] {
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  // Mostly long or mostly short, so that both are tried.
  const most = 1 + Math.floor(random() * random() * bytes.length);
  for (let at = 0; at < bytes.length;) {
    const size = 1 + Math.floor(random() * most);
    pieces.push(bytes.slice(at, at + size));
    at += size;
  }
  return pieces;
}

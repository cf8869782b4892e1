/**
 * Whether work grows with its input and not with the square of it.
 *
 * @module
 */

import assert from "node:assert/strict";

/**
 * Milliseconds after which the work is considered to grow too fast. On a busy
 * machine any single run may be disturbed, but not all of them.
 */
const PATIENCE_MS = 30_000;
/** Runs of each size before the time may be up. */
const LEAST_RUNS = 25;
/** What may come on top of the work itself. */
const NOISE_MS = 5;

/**
 * Does the work for n, 2n, 4n and 8n, and fails if eight times the input takes
 * more than 24 times as long; quadratic growth would take 64. For each size the
 * fastest run counts, as the least disturbed.
 */
export function growsLinearly(
  what: string,
  n: number,
  prepare: (size: number) => () => void,
): void {
  const sizes = [n, 2 * n, 4 * n, 8 * n];
  const best = sizes.map(() => Infinity);
  const end = performance.now() + PATIENCE_MS;
  for (let run = 0; run < LEAST_RUNS || performance.now() < end; run++) {
    sizes.forEach((size, i) =>
      best[i] = Math.min(best[i]!, timed(prepare(size)))
    );
    // The first runs are not compiled yet.
    if (run > 1 && best[3]! < 24 * best[0]! + NOISE_MS) return;
  }
  const shown = best.map((ms) => ms.toFixed(2)).join(", ");
  assert.fail(`${what}: ${shown} ms for n to 8n`);
}

function timed(work: () => void): number {
  const from = performance.now();
  work();
  return performance.now() - from;
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

/** Splits bytes at random places; each chunk has its own memory. */
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

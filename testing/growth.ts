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

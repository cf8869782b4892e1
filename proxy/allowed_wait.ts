/**
 * How long a request may wait for its response header: the wait without a
 * queue, and some time in a queue.
 *
 * @module
 */

/** The time in a queue that is allowed, relative to the wait without one. */
export interface Allowance {
  /** This many times the base … */
  readonly times: number;
  /** … within these bounds, in milliseconds … */
  readonly minMs: number;
  readonly maxMs: number;
  /** … but always at least this many times the base. */
  readonly atLeast: number;
}

/** For a burst: 70 % load with uneven latencies consists of bursts. */
export const BURST: Allowance = {
  times: 40,
  minMs: 200,
  maxMs: 800,
  atLeast: 6,
};

/** For a standing queue: it only needs never to be empty. */
export const STANDING: Allowance = {
  times: 10,
  minMs: 100,
  maxMs: 250,
  atLeast: 4,
};

/** The allowed milliseconds from a request to its response header. */
export function allowedMs(
  baseMs: number,
  { times, minMs, maxMs, atLeast }: Allowance,
): number {
  const queue = Math.min(Math.max(times * baseMs, minMs), maxMs);
  return baseMs + Math.max(queue, atLeast * baseMs);
}

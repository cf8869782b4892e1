/**
 * How long a request may wait for the header of its answer: as long as the work
 * takes, and some time in a queue on top of it.
 *
 * @module
 */

/** A wait in a queue that is allowed, in terms of the wait without one. */
export interface Allowance {
  /** Times the base … */
  readonly times: number;
  /** … but no less and no more milliseconds than these … */
  readonly leastMs: number;
  readonly mostMs: number;
  /** … except that so many times the base are always allowed. */
  readonly always: number;
}

/** What a burst may wait: 70 % load with uneven latencies is made of bursts. */
export const BURST: Allowance = {
  times: 40,
  leastMs: 200,
  mostMs: 800,
  always: 6,
};
/** What a queue that stands may wait: it needs only be never empty. */
export const STANDING: Allowance = {
  times: 10,
  leastMs: 100,
  mostMs: 250,
  always: 4,
};
/** Milliseconds from a request to its header that are allowed. */
export function allowedMs(
  baseMs: number,
  { times, leastMs, mostMs, always }: Allowance,
): number {
  const queue = Math.min(Math.max(times * baseMs, leastMs), mostMs);
  return baseMs + Math.max(queue, always * baseMs);
}

/**
 * The probes' verdict on a backend, as a pure fold of results.
 *
 * @module
 */

/** How many results in a row turn the probes' verdict. */
export interface Thresholds {
  /** Passes in a row that bring a backend up. @default {2} */
  rise?: number;
  /** Failures in a row that take a backend down. @default {3} */
  fall?: number;
}

/** The probes' verdict on one backend, and how far it is from turning. */
export interface Health {
  /** The verdict. */
  readonly up: boolean;
  /** Results in a row that speak against it. */
  readonly streak: number;
  /** Whether there has been any result; the first one decides alone. */
  readonly known: boolean;
}

/** A backend that nothing is known of yet: taken to be up. */
export const UNKNOWN: Health = { up: true, streak: 0, known: false };

/**
 * Folds one probe result into a verdict. The first result decides alone, so
 * that a pool is right from its start; after that it takes `rise` passes or
 * `fall` failures in a row, so that one lost probe moves nothing.
 */
export function observe(
  health: Health,
  passed: boolean,
  { rise = 2, fall = 3 }: Thresholds = {},
): Health {
  if (!health.known) return { up: passed, streak: 0, known: true };
  if (passed === health.up) {
    return health.streak === 0 ? health : { ...health, streak: 0 };
  }
  const streak = health.streak + 1;
  const needed = passed ? rise : fall;
  return streak < needed
    ? { ...health, streak }
    : { up: passed, streak: 0, known: true };
}

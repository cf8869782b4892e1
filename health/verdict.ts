/**
 * The probes' verdict on a backend, as a pure fold of probe results.
 *
 * @module
 */

/** How many results in a row change the verdict. */
export interface Thresholds {
  /** Passes in a row that bring a backend up. */
  rise: number;
  /** Failures in a row that take a backend down. */
  fall: number;
}

/** The probes' verdict on one backend. */
export interface Health {
  /** The verdict. */
  readonly up: boolean;
  /** Results in a row that contradict the verdict. */
  readonly streak: number;
  /** Whether there was any result; the first one sets the verdict alone. */
  readonly known: boolean;
}

/** A backend without a result: assumed to be up. */
export const UNKNOWN: Health = { up: true, streak: 0, known: false };

/**
 * Folds one probe result into a verdict. The first result sets the verdict, so
 * the pool is right from the start. After that, `rise` passes or `fall`
 * failures in a row change it, so that one lost probe does not.
 */
export function observe(
  health: Health,
  passed: boolean,
  { rise, fall }: Thresholds,
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

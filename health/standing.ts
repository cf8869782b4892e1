/**
 * What outcomes have shown of a backend, as a pure fold of them.
 *
 * @module
 */

/** What outcomes have shown of one backend. */
export interface Standing {
  /** Bad outcomes in a row. */
  readonly streak: number;
  /** Ejections that have not been lived down yet; each doubles the next. */
  readonly ejections: number;
  /** When the last ejection ended. */
  readonly since: number;
}

/** A backend without a past. */
export const UNBLEMISHED: Standing = {
  streak: 0,
  ejections: 0,
  since: -Infinity,
};

/** The longest that a backend stays ejected, in milliseconds. */
const LONGEST_EJECTION_MS = 5 * 60_000;

/**
 * Folds one outcome into a standing; `eject` is how many milliseconds the
 * backend should now be out for, 0 for not at all. Each ejection is twice as
 * long as the one before, and one is forgotten for every `timeMs` of quiet, so
 * that a flapping backend stays out longer than one that stumbled once
 * (Envoy's outlier detection does the same).
 */
export function weigh(
  standing: Standing,
  good: boolean,
  { after, timeMs, now }: { after: number; timeMs: number; now: number },
): { standing: Standing; eject: number } {
  if (good) {
    return {
      standing: standing.streak === 0 ? standing : { ...standing, streak: 0 },
      eject: 0,
    };
  }
  const streak = standing.streak + 1;
  if (streak < after) return { standing: { ...standing, streak }, eject: 0 };
  const quiet = Math.floor(Math.max(0, now - standing.since) / timeMs);
  const past = Math.max(0, standing.ejections - quiet);
  return {
    standing: { streak: 0, ejections: past + 1, since: standing.since },
    eject: Math.min(timeMs * 2 ** past, LONGEST_EJECTION_MS),
  };
}

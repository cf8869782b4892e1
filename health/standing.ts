/**
 * Outcomes of one backend, as a pure fold.
 *
 * @module
 */

/** The outcomes of one backend so far. */
export interface Standing {
  /** Bad outcomes in a row. */
  readonly streak: number;
  /** Recent ejections; each doubles the next one's duration. */
  readonly ejections: number;
  /** When the last ejection ended. */
  readonly since: number;
}

/** A backend without bad outcomes. */
export const CLEAN_STANDING: Standing = {
  streak: 0,
  ejections: 0,
  since: -Infinity,
};

/** The longest ejection, in milliseconds. */
const MAX_EJECTION_MS = 5 * 60_000;

/**
 * Folds one outcome into a standing. `eject` is the duration of the ejection
 * that follows, in milliseconds; 0 for none. Each ejection lasts twice as long
 * as the one before, and one is forgotten per `timeMs` without an ejection, so
 * a flapping backend stays out longer than one that failed once (as in Envoy's
 * outlier detection).
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
    eject: Math.min(timeMs * 2 ** past, MAX_EJECTION_MS),
  };
}

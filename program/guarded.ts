/**
 * Wrappers for a user's callbacks.
 *
 * Callbacks are called from the middle of other work: a probe that has just
 * ended, a request that is being settled, a timer. A throw or a rejection must
 * not disturb that work, and these wrappers make sure of it in one place.
 *
 * @module
 */

import { messageOf } from "../base/text.ts";
import { type Clock, systemClock, type TimerHandle } from "../base/clock.ts";

/** Takes an error of a callback. */
export type Failed = (error: unknown) => void;

/**
 * Wraps a callback whose result is not used. It may be `async`, so a returned
 * promise is handled too.
 */
export function guarded<T>(
  callback: (value: T) => unknown,
  failed: Failed,
): (value: T) => void {
  return (value) => {
    try {
      handleRejection(callback(value), failed);
    } catch (error) {
      failed(error);
    }
  };
}

/** Wraps a random source; falls back to `Math.random` for invalid results. */
export function guardedRandom(
  random: () => number,
  failed: Failed,
): () => number {
  return () => {
    try {
      const value = handleRejection(random(), failed);
      if (typeof value === "number" && value >= 0 && value < 1) return value;
      failed(new RangeError("it gave no number from 0 up to 1"));
    } catch (error) {
      failed(error);
    }
    return Math.random();
  };
}

/** A timer of the system clock in place of one that could not be set. */
class FallbackTimer {
  constructor(readonly timer: TimerHandle) {}
}

/**
 * Wraps a clock. A timer that it fails to set is set on the system clock
 * instead, since the code that waits would otherwise wait forever. While
 * `now()` fails, time stands still.
 */
export function guardedClock(clock: Clock, failed: Failed): Clock {
  let last = 0;
  const set = (
    kind: "setTimeout" | "setInterval",
    callback: () => void,
    ms: number,
  ): TimerHandle => {
    try {
      return handleRejection(clock[kind](callback, ms), failed);
    } catch (error) {
      failed(error);
      return new FallbackTimer(systemClock[kind](callback, ms));
    }
  };
  return {
    now() {
      try {
        const now = handleRejection(clock.now(), failed);
        if (typeof now === "number") return last = now;
        failed(new TypeError("now() gave no number"));
      } catch (error) {
        failed(error);
      }
      return last;
    },
    setTimeout: (callback, ms) => set("setTimeout", callback, ms),
    setInterval: (callback, ms) => set("setInterval", callback, ms),
    clear(timer) {
      try {
        if (timer instanceof FallbackTimer) systemClock.clear(timer.timer);
        else handleRejection(clock.clear(timer), failed);
      } catch (error) {
        failed(error);
      }
    },
  };
}

/**
 * Logs the first error of a callback and ignores the others: a log that is
 * called for each request would otherwise be flooded.
 */
export function logOnce(name: string, log: (line: string) => void): Failed {
  let logged = false;
  return (error) => {
    if (logged) return;
    logged = true;
    log(`the option ${name} failed (${messageOf(error)}): logged only once`);
  };
}

/** Returns a callback's result; if it is a promise, handles its rejection. */
function handleRejection<T>(given: T, failed: Failed): T {
  if (given instanceof Promise) given.catch(failed);
  return given;
}

/**
 * The callbacks of a library's user, wrapped once where they come in.
 *
 * Each is called from the middle of something: a probe that has just ended, a
 * request that is being settled, a timer. What a callback throws, or what its
 * promise is rejected with, must harm nothing but the callback itself, so what
 * stands behind these wrappers need not think of it at all.
 *
 * @module
 */

import { messageOf } from "../base/text.ts";
import { type Clock, systemClock, type TimerHandle } from "../base/clock.ts";

/** Takes the fault of a callback. */
export type Failed = (error: unknown) => void;

/**
 * A callback that is told something and is not asked for anything. An `async`
 * one passes for such a function, so a promise that it returns is looked after.
 */
export function guarded<T>(
  callback: (value: T) => unknown,
  failed: Failed,
): (value: T) => void {
  return (value) => {
    try {
      hushed(callback(value), failed);
    } catch (error) {
      failed(error);
    }
  };
}

/** Numbers from 0 up to 1; where the callback gives none, by chance. */
export function guardedRandom(
  random: () => number,
  failed: Failed,
): () => number {
  return () => {
    try {
      const value = hushed(random(), failed);
      if (typeof value === "number" && value >= 0 && value < 1) return value;
      failed(new RangeError("it gave no number from 0 up to 1"));
    } catch (error) {
      failed(error);
    }
    return Math.random();
  };
}

/** Timers that the machine's clock has made in place of another. */
class Spare {
  constructor(readonly timer: TimerHandle) {}
}

/**
 * A clock. Where it fails to set a timer, the machine's clock sets it, or what
 * hangs on it would never come; where it does not tell the time, time stands.
 */
export function guardedClock(clock: Clock, failed: Failed): Clock {
  let last = 0;
  const set = (
    kind: "setTimeout" | "setInterval",
    callback: () => void,
    ms: number,
  ): TimerHandle => {
    try {
      return hushed(clock[kind](callback, ms), failed);
    } catch (error) {
      failed(error);
      return new Spare(systemClock[kind](callback, ms));
    }
  };
  return {
    now() {
      try {
        const now = hushed(clock.now(), failed);
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
        if (timer instanceof Spare) systemClock.clear(timer.timer);
        else hushed(clock.clear(timer), failed);
      } catch (error) {
        failed(error);
      }
    },
  };
}

/**
 * What is done with the faults of one callback: the first is told, the others
 * are no news. A log that is called for each request would be nothing else.
 */
export function toldOnce(name: string, log: (line: string) => void): Failed {
  let told = false;
  return (error) => {
    if (told) return;
    told = true;
    log(`the option ${name} fails (${messageOf(error)}): told once`);
  };
}

/** What a callback gave; if that is a promise, its rejection is a failure. */
function hushed<T>(given: T, failed: Failed): T {
  if (given instanceof Promise) given.catch(failed);
  return given;
}

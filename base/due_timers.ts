/**
 * Timers for a platform that runs nothing between two requests: they are kept
 * here, and those that are due run when the next request comes.
 *
 * @module
 */

import type { Clock, TimerHandle } from "./clock.ts";

/** One timer. */
interface Timer {
  readonly callback: () => void;
  at: number;
  /** For an interval. */
  readonly everyMs: number | undefined;
}

/** A clock whose timers run when {@linkcode DueTimers.run} is called. */
export class DueTimers implements Clock {
  readonly #now: () => number;
  readonly #timers = new Set<Timer>();

  /** `now` in milliseconds, on a clock that is never set back. */
  constructor(now: () => number) {
    this.#now = now;
  }

  now(): number {
    return this.#now();
  }

  setTimeout(callback: () => void, ms: number): TimerHandle {
    return this.#set(callback, ms, undefined);
  }

  setInterval(callback: () => void, ms: number): TimerHandle {
    return this.#set(callback, ms, ms);
  }

  clear(handle: TimerHandle): void {
    this.#timers.delete(handle as Timer);
  }

  /** Runs what is due, an interval once however late it is. */
  run(): void {
    if (this.#timers.size === 0) return;
    const now = this.#now();
    for (const timer of this.#timers) {
      if (timer.at > now) continue;
      if (timer.everyMs === undefined) this.#timers.delete(timer);
      else timer.at = now + timer.everyMs;
      timer.callback();
    }
  }

  #set(
    callback: () => void,
    ms: number,
    everyMs: number | undefined,
  ): TimerHandle {
    const timer: Timer = { callback, at: this.#now() + ms, everyMs };
    this.#timers.add(timer);
    return timer;
  }
}

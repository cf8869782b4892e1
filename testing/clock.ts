/**
 * A clock that moves only when a test moves it, so that a day of probes and
 * ejections takes milliseconds and always has the same order.
 *
 * @module
 */

import { setImmediate } from "node:timers";
import type { Clock, TimerHandle } from "../base/clock.ts";

interface Timer {
  callback: () => void;
  due: number;
  /** Undefined for a timer that fires once. */
  everyMs: number | undefined;
}

/** Runs everything that waits only for promises. */
export function settle(): Promise<void> {
  // One turn of the event loop runs all microtasks first, including those that
  // they queue. A fixed number of `await`s would be too few some day.
  return new Promise((resolve) => setImmediate(resolve));
}

/** A {@linkcode Clock} that only {@linkcode FakeClock.advance} moves. */
export class FakeClock implements Clock {
  #now: number;
  // A Set keeps the order in which timers were set, which decides between two
  // that are due at the same time. Searched linearly, since tests set few.
  readonly #timers = new Set<Timer>();

  /** Starts at `now` milliseconds. */
  constructor(now = 0) {
    this.#now = now;
  }

  /** Timers that have not fired and were not cleared; intervals always count. */
  get pending(): number {
    return this.#timers.size;
  }

  now(): number {
    return this.#now;
  }

  setTimeout(callback: () => void, ms: number): TimerHandle {
    return this.#add({
      callback,
      due: this.#now + Math.max(0, ms),
      everyMs: undefined,
    });
  }

  setInterval(callback: () => void, ms: number): TimerHandle {
    // As on the platform: with an interval of 0 the clock could never advance.
    const everyMs = Math.max(1, ms);
    return this.#add({ callback, due: this.#now + everyMs, everyMs });
  }

  #add(timer: Timer): TimerHandle {
    this.#timers.add(timer);
    return timer;
  }

  clear(handle: TimerHandle): void {
    this.#timers.delete(handle as Timer);
  }

  /** Drops all timers, as some platforms do when a request has ended. */
  drop(): void {
    this.#timers.clear();
  }

  /**
   * Advances by `ms`. Timers fire in the order in which they are due, also
   * those that are set meanwhile; promises settle after each. Rethrows what a
   * callback throws.
   */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    await settle();
    for (let timer; (timer = this.#next(end)) !== undefined;) {
      this.#now = Math.max(this.#now, timer.due);
      if (timer.everyMs === undefined) {
        this.#timers.delete(timer);
      } else {
        // Behind others that are due at the same moment, as if set anew.
        this.#timers.delete(timer);
        this.#timers.add(timer);
        timer.due += timer.everyMs;
      }
      timer.callback();
      await settle();
    }
    this.#now = end;
  }

  #next(end: number): Timer | undefined {
    let first: Timer | undefined;
    for (const timer of this.#timers) {
      if (timer.due <= end && (first === undefined || timer.due < first.due)) {
        first = timer;
      }
    }
    return first;
  }
}

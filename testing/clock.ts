/**
 * A clock that stands still until a test moves it, so that a day of probes and
 * ejections passes in milliseconds and always in the same order.
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

/** Lets everything that waits only for promises run on. */
export function settle(): Promise<void> {
  // One turn of the event loop: all microtasks, and those that they queue, come
  // before it. A fixed number of `await`s would be one too few some day.
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
    // As the platform does: an interval of 0 would never let the clock move on.
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
   * Moves on by `ms`. Timers fire in the order they are due, those that are set
   * on the way too; after each, promises settle before the next one fires. What a
   * callback throws comes out here.
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

/**
 * The requests in flight, and one timer for all of them.
 *
 * A timer and an abort listener per request would cost more than everything
 * else that Sluice does (on Deno 11 µs and 9 µs of about 50). Almost every
 * request ends before either is needed. Instead, every {@linkcode TICK_MS} one
 * sweep over the requests checks time limits, and only then starts to listen
 * for a disconnecting client.
 *
 * @module
 */

import type { SharedCounts } from "../balancer.ts";
import type { Clock, TimerHandle } from "../base/clock.ts";

/** Milliseconds between two sweeps; the delay of time limits. */
export const TICK_MS = 50;

/** An item of the list that the sweep checks; it holds its own links. */
export abstract class Swept {
  /** Neighbour in the list; set by the list. */
  previous: Swept | undefined;
  /** Neighbour in the list; set by the list. */
  next: Swept | undefined;
  /** Checks whether anything is due. Called on each tick until removed. */
  abstract sweep(now: number): void;
}

/** A linked list: adding and removing needs no search and no allocation. */
export class InFlight {
  readonly #clock: Clock;
  #shared: SharedCounts | undefined;
  #first: Swept | undefined;
  #size = 0;
  #timer: TimerHandle;
  #ticking = false;
  /** A timer for each item, if the runtime cannot share one. */
  readonly #own: Map<Swept, TimerHandle> | undefined;

  /**
   * Makes an empty list; its timer runs only while needed. `shared`: counts
   * shared with other workers. `apart`: one timer per member, for a platform that
   * clears a timer together with the request that set it.
   */
  constructor(clock: Clock, shared?: SharedCounts, apart = false) {
    this.#clock = clock;
    this.#shared = shared;
    if (apart) this.#own = new Map();
  }

  /** Number of items. */
  get size(): number {
    return this.#size;
  }

  /** Shares the count with workers from now on, current items included. */
  countWith(shared: SharedCounts): void {
    shared.adopt(this.#size, 0);
    this.#shared = shared;
  }

  /** Takes a place below `max`, if there is one; then an item must be added. */
  admit(max: number): boolean {
    return this.#shared === undefined
      ? this.#size < max
      : this.#shared.enter(max);
  }

  /** Adds an admitted item, which must not be in the list. */
  add(item: Swept): void {
    const first = this.#first;
    item.previous = undefined;
    item.next = first;
    if (first !== undefined) first.previous = item;
    this.#first = item;
    this.#size++;
    if (this.#own !== undefined) {
      const sweep = () => item.sweep(this.#clock.now());
      this.#own.set(item, this.#clock.setInterval(sweep, TICK_MS));
    } else if (!this.#ticking) {
      this.#ticking = true;
      this.#timer = this.#clock.setInterval(() => this.#tick(), TICK_MS);
    }
  }

  /** Removes an item, which must be in the list. */
  remove(item: Swept): void {
    const { previous, next } = item;
    if (previous === undefined) this.#first = next;
    else previous.next = next;
    if (next !== undefined) next.previous = previous;
    item.previous = item.next = undefined;
    if (this.#own !== undefined) {
      this.#clock.clear(this.#own.get(item));
      this.#own.delete(item);
    }
    this.#shared?.leave();
    this.#size--;
  }

  /** Stops the timer at once if the list is empty. */
  stopIfIdle(): void {
    if (this.#size > 0) return;
    this.#clock.clear(this.#timer);
    this.#ticking = false;
  }

  /** Iterates over the items, also if the current one is removed. */
  *[Symbol.iterator](): IterableIterator<Swept> {
    for (let item = this.#first; item !== undefined;) {
      const next = item.next;
      yield item;
      item = next;
    }
  }

  #tick(): void {
    if (this.#size === 0) {
      // Stopped at the first tick without items, not when the last one leaves:
      // sequential requests would otherwise start and stop a timer each.
      this.#clock.clear(this.#timer);
      this.#ticking = false;
      return;
    }
    const now = this.#clock.now();
    for (let item = this.#first; item !== undefined;) {
      const next = item.next;
      item.sweep(now);
      item = next;
    }
  }
}

/**
 * The requests that are under way, and the one timer that looks after them.
 *
 * A timer and an abort listener for each request would cost more than all the
 * rest that Sluice does to it (on Deno 11 µs and 9 µs of about 50). Nearly every
 * request is answered before either is needed, so they are nobody's own: every
 * {@linkcode TICK_MS} one sweep looks at whoever is still here, ends what is
 * over its time limit, and only then begins to listen for the client leaving.
 *
 * @module
 */

import type { SharedCounts } from "../balancer.ts";
import type { Clock, TimerHandle } from "../base/clock.ts";

/** Milliseconds between two sweeps: how late a time limit or a leave is seen. */
export const TICK_MS = 50;

/** Something that the sweep looks after, linked into the list by itself. */
export abstract class Swept {
  /** Neighbours in the list; the list's own. */
  previous: Swept | undefined;
  /** Neighbours in the list; the list's own. */
  next: Swept | undefined;
  /** Looks whether anything is due. Called on each tick until removed. */
  abstract sweep(now: number): void;
}

/** A list whose members join and leave without a search or an allocation. */
export class InFlight {
  readonly #clock: Clock;
  #shared: SharedCounts | undefined;
  #first: Swept | undefined;
  #size = 0;
  #timer: TimerHandle;
  #ticking = false;
  #whenEmpty: (() => void)[] = [];
  /** A timer for each, where they cannot have one in common. */
  readonly #own: Map<Swept, TimerHandle> | undefined;

  /**
   * Makes an empty list; its timer runs only while it is needed. `shared` is
   * where several workers count together. `apart`: each has a timer of its own,
   * for a platform that ends a timer with the request in which it was set.
   */
  constructor(clock: Clock, shared?: SharedCounts, apart = false) {
    this.#clock = clock;
    this.#shared = shared;
    if (apart) this.#own = new Map();
  }

  /** How many there are. */
  get size(): number {
    return this.#size;
  }

  /** Counts in common with workers from now on, those that are here included. */
  countWith(shared: SharedCounts): void {
    shared.adopt(this.#size, 0);
    this.#shared = shared;
  }

  /** Whether there is room for one more of `most`; then one has to be added. */
  admit(most: number): boolean {
    return this.#shared === undefined
      ? this.#size < most
      : this.#shared.enter(most);
  }

  /** Adds one that was admitted; it must not be in the list. */
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

  /** Removes one; it must be in the list. */
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
    if (--this.#size === 0 && this.#whenEmpty.length > 0) {
      for (const resolve of this.#whenEmpty.splice(0)) resolve();
    }
  }

  /** Ends the timer now and not at its next tick, if there is nothing to do. */
  rest(): void {
    if (this.#size > 0) return;
    this.#clock.clear(this.#timer);
    this.#ticking = false;
  }

  /** Resolves when nothing is under way. */
  empty(): Promise<void> {
    if (this.#size === 0) return Promise.resolve();
    return new Promise((resolve) => this.#whenEmpty.push(resolve));
  }

  /** Each one that is here now. */
  *[Symbol.iterator](): IterableIterator<Swept> {
    for (let item = this.#first; item !== undefined;) {
      const next = item.next;
      yield item;
      item = next;
    }
  }

  #tick(): void {
    if (this.#size === 0) {
      // Stopped at the first tick with nothing to do and not when the last one
      // leaves: a client that asks one thing after the other would start and
      // stop a timer for each.
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

/**
 * Slow start: a backend that comes back, or joins, gets its share by and by. One
 * with cold caches that is given its whole share at once is soon down again.
 *
 * @module
 */

import type { Backend, Pool, PoolEvent } from "../balancer.ts";
import type { Clock, TimerHandle } from "../base/clock.ts";

/** What a backend starts with; nothing at all would tell it nothing. */
const FLOOR = 0.1;
/** Steps from there to its whole share. */
const STEPS = 50;

/** The part of its weight that counts after `elapsedMs` of `slowStartMs`. */
export function rampAfter(elapsedMs: number, slowStartMs: number): number {
  const done = Math.min(1, Math.max(0, elapsedMs / slowStartMs));
  // Not FLOOR + 0.9, which is a little less than 1.
  return done === 1 ? 1 : FLOOR + (1 - FLOOR) * done;
}

/** Moves the ramps of the backends that warm up. */
export class SlowStart {
  readonly #clock: Clock;
  readonly #slowStartMs: number;
  readonly #since = new Map<Backend, number>();
  readonly #drained = new WeakSet<Backend>();
  readonly #unsubscribe: () => void;
  #timer: TimerHandle;
  #stopped = false;

  /**
   * Watches a pool. Backends that are in it already were there at the start,
   * when all are cold alike.
   */
  constructor(pool: Pool, slowStartMs: number, clock: Clock) {
    this.#slowStartMs = slowStartMs;
    this.#clock = clock;
    this.#unsubscribe = pool.subscribe((event) => this.#changed(event));
  }

  /** Ends it: a backend that warms up has its whole share at once. */
  stop(): void {
    this.#stopped = true;
    this.#unsubscribe();
    for (const backend of this.#since.keys()) backend.ramp = 1;
    this.#since.clear();
    this.#rest();
  }

  #changed({ type, backend }: PoolEvent): void {
    // An event that was under way when it was stopped still arrives.
    if (backend === undefined || this.#stopped) return;
    switch (type) {
      case "draining":
        this.#drained.add(backend);
        break;
      case "changed":
        if (backend.draining || !this.#drained.delete(backend)) break;
        // It takes requests again.
        this.#begin(backend);
        break;
      case "added":
      case "up":
      case "readmitted":
        this.#begin(backend);
        break;
      case "removed":
        this.#since.delete(backend);
        this.#rest();
    }
  }

  #begin(backend: Backend): void {
    backend.ramp = FLOOR;
    this.#since.set(backend, this.#clock.now());
    // One timer for all. Whether it runs is asked of itself: the map is empty
    // at other moments too, when the last backend that warmed up was removed.
    this.#timer ??= this.#clock.setInterval(
      () => this.#step(),
      Math.max(10, this.#slowStartMs / STEPS),
    );
  }

  #step(): void {
    const now = this.#clock.now();
    for (const [backend, since] of this.#since) {
      backend.ramp = rampAfter(now - since, this.#slowStartMs);
      if (backend.ramp === 1) this.#since.delete(backend);
    }
    this.#rest();
  }

  /** Ends the timer if there is nothing left for it to do. */
  #rest(): void {
    if (this.#since.size > 0) return;
    this.#clock.clear(this.#timer);
    this.#timer = undefined;
  }
}

/**
 * Slow start: a backend that comes back or joins gets its share gradually. With
 * cold caches, its full share at once may take it down again.
 *
 * @module
 */

import type { Backend, Pool, PoolEvent } from "../balancer.ts";
import type { Clock, TimerHandle } from "../base/clock.ts";

/** The initial share; with none it would not warm up. */
const FLOOR = 0.1;
/** Steps to its full share. */
const STEPS = 50;

/** The part of a backend's weight that counts after `elapsedMs`. */
export function rampAfter(elapsedMs: number, slowStartMs: number): number {
  const done = Math.min(1, Math.max(0, elapsedMs / slowStartMs));
  // Exactly 1: FLOOR + 0.9 is slightly less.
  return done === 1 ? 1 : FLOOR + (1 - FLOOR) * done;
}

/** Raises the ramps of warming backends. */
export class SlowStart {
  readonly #clock: Clock;
  readonly #slowStartMs: number;
  readonly #since = new Map<Backend, number>();
  readonly #drained = new WeakSet<Backend>();
  readonly #unsubscribe: () => void;
  #timer: TimerHandle;
  #stopped = false;

  /**
   * Watches a pool. Backends already in it were there at start, when all are
   * equally cold.
   */
  constructor(pool: Pool, slowStartMs: number, clock: Clock) {
    this.#slowStartMs = slowStartMs;
    this.#clock = clock;
    this.#unsubscribe = pool.subscribe((event) => this.#changed(event));
  }

  /** Stops it: warming backends get their full share at once. */
  stop(): void {
    this.#stopped = true;
    this.#unsubscribe();
    for (const backend of this.#since.keys()) backend.ramp = 1;
    this.#since.clear();
    this.#stopIfIdle();
  }

  #changed({ type, backend }: PoolEvent): void {
    // Queued events still arrive after `stop()`.
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
        this.#stopIfIdle();
    }
  }

  #begin(backend: Backend): void {
    backend.ramp = FLOOR;
    this.#since.set(backend, this.#clock.now());
    // One timer for all, started when there is none: the map may also be empty
    // because the last warming backend was removed.
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
    this.#stopIfIdle();
  }

  /** Stops the timer if no backend is warming up. */
  #stopIfIdle(): void {
    if (this.#since.size > 0) return;
    this.#clock.clear(this.#timer);
    this.#timer = undefined;
  }
}

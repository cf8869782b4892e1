/**
 * Divides a limit of concurrent requests among backends.
 *
 * Bun's `fetch` runs 256 requests per process, unless the environment at start
 * says otherwise, and queues all others: 256 requests that hang on one backend
 * block all others and the probes. The program restarts itself without the
 * limit; a library cannot. So each backend gets its part of the 256, and its
 * own queue.
 *
 * @module
 */

import type { Backend } from "../../balancer.ts";
import { type Clock, systemClock, type TimerHandle } from "../../base/clock.ts";

/** Milliseconds between two checks of the queues. */
const POLL_MS = 5;

/** A queued request. */
interface Waiting {
  go: () => void;
  signal: AbortSignal;
}

/** Gives each backend a part of a number of concurrent requests. */
export class Share {
  readonly #limit: number;
  readonly #clock: Clock;
  readonly #counts = new Set<() => number>();
  readonly #queues = new Map<Backend, Waiting[]>();
  #timer: TimerHandle;

  /** Divides `limit` concurrent requests. */
  constructor(limit: number, clock: Clock = systemClock) {
    this.#limit = limit;
    this.#clock = clock;
  }

  /** Adds a pool that has `count()` backends, until the result is called. */
  join(count: () => number): () => void {
    // A new function, since `count` may be passed in twice.
    const own = () => count();
    this.#counts.add(own);
    return () => this.#counts.delete(own);
  }

  /** Requests that one backend may have in flight. */
  get part(): number {
    let backends = 0;
    for (const count of this.#counts) backends += count();
    // One per backend is reserved for its probe.
    return Math.max(1, Math.floor(this.#limit / Math.max(1, backends)) - 1);
  }

  /** Whether a further request would have to wait. */
  full(backend: Backend): boolean {
    return backend.inFlight >= this.part || this.#queues.has(backend);
  }

  /**
   * Waits until a request may be sent; `undefined` if it may at once. The
   * request is already counted in the backend's `inFlight`, which also covers
   * bodies that have not ended.
   */
  enter(backend: Backend, signal: AbortSignal): Promise<void> | undefined {
    const queue = this.#queues.get(backend);
    if (queue === undefined && backend.inFlight <= this.part) return undefined;
    return new Promise((resolve, reject) => {
      const leave = () => {
        const queue = this.#queues.get(backend);
        queue?.splice(queue.indexOf(waiting), 1);
        if (queue?.length === 0) this.#queues.delete(backend);
        reject(signal.reason);
      };
      const go = () => {
        signal.removeEventListener("abort", leave);
        resolve();
      };
      const waiting = { go, signal };
      signal.addEventListener("abort", leave, { once: true });
      if (queue === undefined) this.#queues.set(backend, [waiting]);
      else queue.push(waiting);
      // Polled, and only while a request waits: the end of a body is recorded
      // in several places that do not know this class.
      this.#timer ??= this.#clock.setInterval(() => this.#poll(), POLL_MS);
    });
  }

  #poll(): void {
    const { part } = this;
    for (const [backend, queue] of this.#queues) {
      const free = part - (backend.inFlight - queue.length);
      for (const { go } of queue.splice(0, Math.max(0, free))) go();
      if (queue.length === 0) this.#queues.delete(backend);
    }
    if (this.#queues.size > 0) return;
    this.#clock.clear(this.#timer);
    this.#timer = undefined;
  }
}

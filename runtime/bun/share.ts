/**
 * Shares among backends, where a runtime makes only so many requests at once.
 *
 * Bun's `fetch` has 256 under way in a process, unless the environment that it
 * was started with says otherwise, and lets all others wait in one line: 256
 * requests that hang on one backend stop all others, and the probes. The program
 * starts itself again without the limit; a library cannot. So each backend has
 * its part of the 256, and its own line to wait in.
 *
 * @module
 */

import type { Backend } from "../../balancer.ts";
import { type Clock, systemClock, type TimerHandle } from "../../base/clock.ts";

/** Milliseconds between two looks whether somebody's turn has come. */
const LOOK_MS = 5;

/** A request whose turn has not come. */
interface Waiting {
  go: () => void;
  signal: AbortSignal;
}

/** Gives each backend its part of a number of requests at once. */
export class Share {
  readonly #limit: number;
  readonly #clock: Clock;
  readonly #counts = new Set<() => number>();
  readonly #lines = new Map<Backend, Waiting[]>();
  #timer: TimerHandle;

  /** Shares `limit` requests at once. */
  constructor(limit: number, clock: Clock = systemClock) {
    this.#limit = limit;
    this.#clock = clock;
  }

  /** Adds a pool that has `count()` backends, until the result is called. */
  join(count: () => number): () => void {
    // Not `count` itself, which may be handed in twice.
    const own = () => count();
    this.#counts.add(own);
    return () => this.#counts.delete(own);
  }

  /** Requests that one backend may have under way. */
  get part(): number {
    let backends = 0;
    for (const count of this.#counts) backends += count();
    // One for each is kept back for its probe.
    return Math.max(1, Math.floor(this.#limit / Math.max(1, backends)) - 1);
  }

  /** Whether one more request would have to wait. */
  full(backend: Backend): boolean {
    return backend.inFlight >= this.part || this.#lines.has(backend);
  }

  /**
   * Waits for a request's turn; nothing when it has come at once. The request
   * is among the backend's `inFlight` already, which also knows of bodies that
   * have not ended.
   */
  enter(backend: Backend, signal: AbortSignal): Promise<void> | undefined {
    const line = this.#lines.get(backend);
    if (line === undefined && backend.inFlight <= this.part) return undefined;
    return new Promise((resolve, reject) => {
      const leave = () => {
        const line = this.#lines.get(backend);
        line?.splice(line.indexOf(waiting), 1);
        if (line?.length === 0) this.#lines.delete(backend);
        reject(signal.reason);
      };
      const go = () => {
        signal.removeEventListener("abort", leave);
        resolve();
      };
      const waiting = { go, signal };
      signal.addEventListener("abort", leave, { once: true });
      if (line === undefined) this.#lines.set(backend, [waiting]);
      else line.push(waiting);
      // Asked on a timer, and only while somebody waits: the end of a body is
      // noted in more than one place, none of which knows of this.
      this.#timer ??= this.#clock.setInterval(() => this.#look(), LOOK_MS);
    });
  }

  #look(): void {
    const { part } = this;
    for (const [backend, line] of this.#lines) {
      const free = part - (backend.inFlight - line.length);
      for (const { go } of line.splice(0, Math.max(0, free))) go();
      if (line.length === 0) this.#lines.delete(backend);
    }
    if (this.#lines.size > 0) return;
    this.#clock.clear(this.#timer);
    this.#timer = undefined;
  }
}

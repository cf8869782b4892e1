/**
 * Ejections: who is out for a while because of outcomes, and for how long.
 *
 * @module
 */

import type { Backend, Pool } from "../balancer.ts";
import type { Clock, TimerHandle } from "../base/clock.ts";
import { type Standing, UNBLEMISHED, weigh } from "./standing.ts";

/** Options for {@linkcode Ejector}. */
export interface EjectorOptions {
  /** Bad outcomes in a row that eject; `Infinity` for never. @default {3} */
  after?: number;
  /** Milliseconds of the first ejection. @default {10_000} */
  timeMs?: number;
  /** Time and timers. */
  clock: Clock;
  /** Evenly from 0 to 1. @default {Math.random} */
  random?: () => number;
  /** Takes a line for the log. */
  log?: (line: string) => void;
}

/** Takes the outcomes of requests and ejects backends that keep failing. */
export class Ejector {
  readonly #pool: Pool;
  readonly #options: Required<EjectorOptions>;
  readonly #standings = new WeakMap<Backend, Standing>();
  readonly #timers = new Map<Backend, TimerHandle>();
  readonly #unsubscribe: () => void;
  #stopped = false;

  /** Makes an ejector over a pool. */
  constructor(pool: Pool, options: EjectorOptions) {
    this.#pool = pool;
    this.#unsubscribe = pool.subscribe(({ type, backend }) => {
      // Drop what is known of a backend that has left the pool.
      if (type === "removed" && backend !== undefined) this.#forget(backend);
    });
    this.#options = {
      after: 3,
      timeMs: 10_000,
      random: Math.random,
      log: () => {},
      ...options,
    };
  }

  /**
   * Takes one outcome. `startedAt` is when its attempt began: what began before
   * the backend came back says nothing of how it is now. A function is never
   * ejected for what it answers, only for a throw; the caller knows which.
   */
  outcome(
    backend: Backend,
    good: boolean,
    startedAt: number,
    reason: string,
  ): void {
    const standing = this.#standings.get(backend);
    // The usual case costs one look-up: nothing bad is known and nothing is.
    if (standing === undefined && good) return;
    const { after, timeMs, clock } = this.#options;
    // Of many that fail together, the first few eject and the rest are the
    // same event: neither a longer ejection nor another line in the log.
    if (backend.ejected) return;
    const known = standing ?? UNBLEMISHED;
    if (startedAt < known.since) return;
    // Removed while it was answering this; or nothing may be begun any more.
    if (!good && !this.#pool.backends.includes(backend)) return;
    if (this.#stopped) return;
    const now = clock.now();
    const next = weigh(known, good, { after, timeMs, now });
    if (next.eject === 0) {
      this.#standings.set(backend, next.standing);
    } else if (this.#mayEject()) {
      this.#standings.set(backend, next.standing);
      this.#eject(backend, next.eject, reason);
    } else {
      // Kept at the brink: the next bad outcome asks again.
      this.#standings.set(backend, { ...known, streak: after - 1 });
    }
  }

  /** Whether a backend's last outcome was a bad one, and may not stay alone. */
  suspects(backend: Backend): boolean {
    return (this.#standings.get(backend)?.streak ?? 0) > 0;
  }

  /** Ends all timers; a backend that is ejected stays so. */
  stop(): void {
    this.#stopped = true;
    this.#unsubscribe();
    for (const timer of this.#timers.values()) this.#options.clock.clear(timer);
    this.#timers.clear();
  }

  #forget(backend: Backend): void {
    this.#options.clock.clear(this.#timers.get(backend));
    this.#timers.delete(backend);
    this.#standings.delete(backend);
  }

  /**
   * At most half of those that could serve, and never the last: with two or
   * three backends a fixed share such as Envoy's 10 % would mean nothing.
   */
  #mayEject(): boolean {
    let able = 0;
    let out = 0;
    for (const backend of this.#pool) {
      if (!backend.up || backend.draining || backend.weight === 0) continue;
      able++;
      if (backend.ejected) out++;
    }
    return able - out > 1 && (out + 1) * 2 <= able;
  }

  #eject(backend: Backend, forMs: number, reason: string): void {
    const { clock, random, log, after } = this.#options;
    // Jitter of 10 %, so that those who fell together do not return together.
    const ms = Math.round(forMs * (0.9 + 0.2 * random()));
    backend.ejected = true;
    // Before anything is told: whatever comes of that, it has to come back.
    this.#timers.set(
      backend,
      clock.setTimeout(() => this.#readmit(backend), ms),
    );
    log(
      `backend ${backend.label} is ejected for ${(ms / 1000).toFixed(1)} s ` +
        `(${after} bad outcomes in a row, the last: ${reason})`,
    );
    this.#pool.emit({ type: "ejected", backend, reason });
  }

  #readmit(backend: Backend): void {
    this.#timers.delete(backend);
    backend.ejected = false;
    const standing = this.#standings.get(backend) ?? UNBLEMISHED;
    const since = this.#options.clock.now();
    this.#standings.set(backend, { ...standing, streak: 0, since });
    this.#options.log(`backend ${backend.label} is back after its ejection`);
    this.#pool.emit({ type: "readmitted", backend });
  }
}

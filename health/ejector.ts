/**
 * Ejections: which backends are out for a while because of bad outcomes.
 *
 * @module
 */

import type { Backend, Pool } from "../balancer.ts";
import type { Clock, TimerHandle } from "../base/clock.ts";
import { CLEAN_STANDING, type Standing, weigh } from "./standing.ts";

/** Options for {@linkcode Ejector}. */
export interface EjectorOptions {
  /** Bad outcomes in a row that eject; `Infinity`: never. */
  after: number;
  /** Duration of the first ejection, in milliseconds. */
  timeMs: number;
  /** Time and timers. */
  clock: Clock;
  /** Uniform in [0, 1). @default {Math.random} */
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

  /** Makes an ejector for a pool. */
  constructor(pool: Pool, options: EjectorOptions) {
    this.#pool = pool;
    this.#unsubscribe = pool.subscribe(({ type, backend }) => {
      // Drop what is known of a backend that has left the pool.
      if (type === "removed" && backend !== undefined) this.#forget(backend);
    });
    this.#options = {
      random: Math.random,
      log: () => {},
      ...options,
    };
  }

  /**
   * Records one outcome. `startedAt` is when its attempt began: an attempt from
   * before the readmission says nothing about the backend's state now. The
   * caller reports a bad outcome of a function backend only when it throws.
   */
  outcome(
    backend: Backend,
    good: boolean,
    startedAt: number,
    reason: string,
  ): void {
    const standing = this.#standings.get(backend);
    // The usual case costs one look-up: a good outcome, no bad one before.
    if (standing === undefined && good) return;
    const { after, timeMs, clock } = this.#options;
    // When many requests fail together, the first few eject. The rest are part
    // of the same event: no longer ejection, no further log line.
    if (backend.ejected) return;
    const known = standing ?? CLEAN_STANDING;
    if (startedAt < known.since) return;
    // The backend may have been removed while it answered this request.
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
      // Stay one below the threshold: the next bad outcome asks again.
      this.#standings.set(backend, { ...known, streak: after - 1 });
    }
  }

  /**
   * Whether the last outcome was bad, so that another may lead to an ejection.
   */
  suspects(backend: Backend): boolean {
    return (this.#standings.get(backend)?.streak ?? 0) > 0;
  }

  /** Clears all timers; ejected backends stay ejected. */
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
   * At most half of the usable backends, and so never the last one: with two or
   * three backends, a fixed share such as Envoy's 10 % would mean none at all.
   */
  #mayEject(): boolean {
    let able = 0;
    let out = 0;
    for (const backend of this.#pool) {
      if (!backend.up || backend.draining || backend.weight === 0) continue;
      able++;
      if (backend.ejected) out++;
    }
    return (out + 1) * 2 <= able;
  }

  #eject(backend: Backend, forMs: number, reason: string): void {
    const { clock, random, log, after } = this.#options;
    // 10 % jitter: backends that failed together should not return together.
    const ms = Math.round(forMs * (0.9 + 0.2 * random()));
    backend.ejected = true;
    // First of all: if a listener throws below, the backend must still return.
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
    const standing = this.#standings.get(backend) ?? CLEAN_STANDING;
    const since = this.#options.clock.now();
    this.#standings.set(backend, { ...standing, streak: 0, since });
    this.#options.log(`backend ${backend.label} is back after its ejection`);
    this.#pool.emit({ type: "readmitted", backend });
  }
}

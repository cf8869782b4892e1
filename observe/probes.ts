/**
 * The last probes of each backend, for the dashboard.
 *
 * @module
 */

import type { Backend, Pool } from "../balancer.ts";
import { describeProbe, type ProbeReport } from "../health.ts";

/** One probe that has ended. */
export interface Probed {
  /** When, in milliseconds since 1970. */
  at: number;
  /** Milliseconds that it took. */
  ms: number;
  passed: boolean;
  /** The status, or why there was none. */
  heard: string;
}

/** Probes that are kept of each backend. */
const KEPT = 30;
/** Probes that wait to be told. */
const MOST_FRESH = 4096;

/** Remembers the last probes of each backend of a pool. */
export class ProbeHistory {
  readonly #probes = new Map<Backend, Probed[]>();
  #fresh: (Probed & { id: string })[] = [];
  readonly #unsubscribe: () => void;

  /** Begins to remember. */
  constructor(pool: Pool) {
    this.#unsubscribe = pool.subscribe(({ type, backend }) => {
      if (type === "removed" && backend !== undefined) {
        this.#probes.delete(backend);
      }
    });
  }

  /** Ends listening to the pool. */
  stop(): void {
    this.#unsubscribe();
  }

  /** Takes a probe that has just ended. */
  add(backend: Backend, passed: boolean, report: ProbeReport): void {
    let probes = this.#probes.get(backend);
    if (probes === undefined) this.#probes.set(backend, probes = []);
    if (probes.length >= KEPT) probes.shift();
    const probed = {
      at: Date.now(),
      ms: report.lastMs ?? 0,
      passed,
      heard: describeProbe(report.last ?? {}),
    };
    probes.push(probed);
    // Bounded, since a library's user may never ask for them.
    if (this.#fresh.length < MOST_FRESH) {
      this.#fresh.push({ id: backend.id, ...probed });
    }
  }

  /** The probes that have ended since this was last asked. */
  fresh(): readonly (Probed & { id: string })[] {
    return this.#fresh.splice(0);
  }

  /** The last probes of a backend, oldest first. */
  of(backend: Backend): readonly Probed[] {
    return this.#probes.get(backend) ?? [];
  }
}

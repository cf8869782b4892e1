/**
 * The latest probes of each backend, for the dashboard.
 *
 * @module
 */

import type { Backend, Pool } from "../balancer.ts";
import { describeProbe, type ProbeReport } from "../health.ts";

/** One probe. */
export interface Probed {
  /** When it ended, in milliseconds since 1970. */
  at: number;
  /** Its duration in milliseconds. */
  ms: number;
  passed: boolean;
  /** The status, or the reason of the failure. */
  heard: string;
}

/** Probes kept per backend. */
const KEPT = 30;
/** Maximum probes that wait to be sent. */
const MAX_FRESH = 4096;

/** Keeps the latest probes of each backend of a pool. */
export class ProbeHistory {
  readonly #probes = new Map<Backend, Probed[]>();
  #fresh: (Probed & { id: string })[] = [];
  readonly #unsubscribe: () => void;

  /** Starts to keep probes. */
  constructor(pool: Pool) {
    this.#unsubscribe = pool.subscribe(({ type, backend }) => {
      if (type === "removed" && backend !== undefined) {
        this.#probes.delete(backend);
      }
    });
  }

  /** Stops listening to the pool. */
  stop(): void {
    this.#unsubscribe();
  }

  /** Adds a probe that has ended. */
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
    // Bounded: without a dashboard, nothing takes them.
    if (this.#fresh.length < MAX_FRESH) {
      this.#fresh.push({ id: backend.id, ...probed });
    }
  }

  /** Takes the probes that have ended since the last call. */
  fresh(): readonly (Probed & { id: string })[] {
    return this.#fresh.splice(0);
  }

  /** The latest probes of a backend, oldest first. */
  of(backend: Backend): readonly Probed[] {
    return this.#probes.get(backend) ?? [];
  }
}

/**
 * Figures per second, computed from counters, for the dashboard.
 *
 * @module
 */

import type { Clock, TimerHandle } from "../base/clock.ts";
import type { Connections } from "../proxy/transport.ts";
import { percentile, type Snapshot } from "./metrics.ts";

/** The figures of one second. */
export interface Figures {
  requestsPerSecond: number;
  /** Responses with a status of 500 or above. */
  errorsPerSecond: number;
  retriesPerSecond: number;
  inFlight: number;
  /** Limit of requests in flight, or of waiting ones; 0 for no limit. */
  inFlightLimit: number;
  /** Requests that wait for a response header, under a learnt limit. */
  waiting: number;
  /** Requests that `RATE_LIMIT` refused. */
  rateLimitedPerSecond: number;
  /** Requests that `MAX_IN_FLIGHT` refused. */
  overLimitPerSecond: number;
  /** Of the requests of the last ten seconds; null if there were none. */
  latencyMs: { p50: number | null; p95: number | null; p99: number | null };
  /** By backend id. */
  backends: Record<string, BackendFigures>;
}

/** The figures of one second for one backend. */
export interface BackendFigures {
  requestsPerSecond: number;
  /** Failed attempts, and responses with a status of 500 or above. */
  errorsPerSecond: number;
  inFlight: number;
  /** Mean time to a response header; null if there was none. */
  latencyMs: number | null;
  /** Its connections; null if the runtime's `fetch` manages them. */
  connections: Connections | null;
}

/** Seconds for which figures are kept. */
export const KEPT_S = 60;
/** Seconds per percentile: one second has too few values. */
const WINDOW_S = 10;

/** Options for {@linkcode FigureKeeper}. */
export interface FigureKeeperOptions {
  /** The current counters, summed over all processes. */
  snapshot: () => Snapshot | Promise<Snapshot>;
  /** Time and timers. */
  clock: Clock;
  /** Called with the figures of each second. */
  tick: (figures: Figures) => void;
}

/** Computes figures once a second and keeps them. */
export class FigureKeeper {
  readonly #options: FigureKeeperOptions;
  readonly #kept: Figures[] = [];
  readonly #durations: (readonly number[])[] = [];
  #timer: TimerHandle;
  #last: Snapshot | undefined;
  #lastAt = 0;
  #busy = false;

  /** Makes a keeper that does nothing until {@linkcode start}. */
  constructor(options: FigureKeeperOptions) {
    this.#options = options;
  }

  /** Starts now, and repeats every second. */
  start(): void {
    this.#update();
    this.#timer = this.#options.clock.setInterval(() => this.#update(), 1000);
  }

  /** Stops the timer. */
  stop(): void {
    this.#options.clock.clear(this.#timer);
  }

  /** The figures of the last seconds, oldest first. */
  get kept(): readonly Figures[] {
    return this.#kept;
  }

  async #update(): Promise<void> {
    // Never two at once: a busy process may take more than a second to answer.
    if (this.#busy) return;
    this.#busy = true;
    try {
      const next = await this.#options.snapshot();
      const at = this.#options.clock.now();
      const last = this.#last;
      if (last !== undefined) {
        this.#durations.push(last.duration.counts);
        if (this.#durations.length > WINDOW_S) this.#durations.shift();
        const figures = figuresOf(
          last,
          next,
          (at - this.#lastAt) / 1000,
          this.#durations[0]!,
        );
        this.#kept.push(figures);
        if (this.#kept.length > KEPT_S) this.#kept.shift();
        this.#options.tick(figures);
      }
      this.#last = next;
      this.#lastAt = at;
    } finally {
      this.#busy = false;
    }
  }
}

/** The figures between two snapshots that are `seconds` apart. */
export function figuresOf(
  last: Snapshot,
  next: Snapshot,
  seconds: number,
  since: readonly number[] = last.duration.counts,
): Figures {
  const rate = (count: number) => rounded(Math.max(0, count) / seconds);
  const durations = next.duration.counts.map((n, i) => n - since[i]!);
  const share = (of: number) => shown(percentile(durations, of));
  const backends: Record<string, BackendFigures> = {};
  for (const [id, b] of Object.entries(next.backends)) {
    const before = last.backends[id];
    const answers = total(b.answers) - total(before?.answers);
    const failures = total(b.failures) - total(before?.failures);
    const bad = errors(b.answers) - errors(before?.answers);
    const ms = b.answerMs - (before?.answerMs ?? 0);
    backends[id] = {
      requestsPerSecond: rate(answers + failures),
      errorsPerSecond: rate(failures + bad),
      inFlight: b.inFlight,
      latencyMs: answers > 0 ? shown(ms / answers) : null,
      connections: b.connections ?? null,
    };
  }
  return {
    requestsPerSecond: rate(total(next.requests) - total(last.requests)),
    errorsPerSecond: rate(errors(next.requests) - errors(last.requests)),
    retriesPerSecond: rate(next.retries - last.retries),
    inFlight: next.inFlight,
    inFlightLimit: Math.round(next.inFlightLimit),
    waiting: next.waiting,
    rateLimitedPerSecond: rate(next.rateLimited - last.rateLimited),
    overLimitPerSecond: rate(next.refusedFull - last.refusedFull),
    latencyMs: { p50: share(0.5), p95: share(0.95), p99: share(0.99) },
    backends,
  };
}

function total(counts: Readonly<Record<string, number>> = {}): number {
  let sum = 0;
  for (const name in counts) sum += counts[name]!;
  return sum;
}

function errors(counts: Readonly<Record<string, number>> = {}): number {
  let sum = 0;
  for (const code in counts) if (Number(code) >= 500) sum += counts[code]!;
  return sum;
}

function shown(ms: number | undefined): number | null {
  return ms === undefined ? null : Math.round(ms * 1000) / 1000;
}

function rounded(rate: number): number {
  return Math.round(rate * 10) / 10;
}

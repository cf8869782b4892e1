/**
 * Figures of each second, out of counters: what the dashboard draws.
 *
 * @module
 */

import type { Clock, TimerHandle } from "../base/clock.ts";
import type { Connections } from "../proxy/transport.ts";
import { percentile, type Snapshot } from "./metrics.ts";

/** What one second was like. */
export interface Figures {
  requestsPerSecond: number;
  /** Answers with a status from 500 on. */
  errorsPerSecond: number;
  retriesPerSecond: number;
  inFlight: number;
  /** Requests that may be under way, or wait; 0 for no limit. */
  inFlightLimit: number;
  /** Requests that wait for a header, where that is what is limited. */
  waiting: number;
  /** Requests that `RATE_LIMIT` refused. */
  rateLimitedPerSecond: number;
  /** Requests that `MAX_IN_FLIGHT` refused. */
  overLimitPerSecond: number;
  /** Of the requests of the last ten seconds; null when there were none. */
  latencyMs: { p50: number | null; p95: number | null; p99: number | null };
  /** By id. */
  backends: Record<string, BackendFigures>;
}

/** What one second was like for one backend. */
export interface BackendFigures {
  requestsPerSecond: number;
  /** Attempts without an answer, and answers with a status from 500 on. */
  errorsPerSecond: number;
  inFlight: number;
  /** Mean time to a response header; null when there was none. */
  latencyMs: number | null;
  /** Connections to it; null where the runtime's `fetch` has them. */
  connections: Connections | null;
}

/** Seconds of which figures are kept. */
export const KEPT_S = 60;
/** Seconds over which percentiles are taken: one second holds too few values. */
const WINDOW_S = 10;

/** Options for {@linkcode FigureKeeper}. */
export interface FigureKeeperOptions {
  /** The counters, now; of all processes, if there are several. */
  snapshot: () => Snapshot | Promise<Snapshot>;
  /** Time and timers. */
  clock: Clock;
  /** Takes the figures of each second. */
  tick: (figures: Figures) => void;
}

/** Looks at the counters once a second and keeps what it made of them. */
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

  /** Looks now, and every second from now on. */
  start(): void {
    this.#look();
    this.#timer = this.#options.clock.setInterval(() => this.#look(), 1000);
  }

  /** Ends the timer. */
  stop(): void {
    this.#options.clock.clear(this.#timer);
  }

  /** The figures of the last seconds, oldest first. */
  get kept(): readonly Figures[] {
    return this.#kept;
  }

  async #look(): Promise<void> {
    // A process that takes more than a second to say its numbers is not asked
    // for the next ones before.
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

/** What happened between two snapshots that are `seconds` apart. */
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

/**
 * Probes on a timer: who is asked when, and what its answer does to the pool.
 *
 * @module
 */

import type { Backend, Pool } from "../balancer.ts";
import type { Clock, TimerHandle } from "../base/clock.ts";
import { type Health, observe, type Thresholds, UNKNOWN } from "./verdict.ts";

/** What to do about a status that passes only because no path was chosen. */
export function adviceOn(status: number): string {
  // Bad Request and Misdirected Request (RFC 9110 §15.5.1, §15.5.20) are what a
  // server says that checks the name that it is called by.
  const names = status === 400 || status === 421;
  return "set HEALTH_PATH to a path that tells its health, or to off" +
    (names ? "; where the backend checks Host, set HEALTH_HOST too" : "");
}

/** What one probe heard. */
export interface ProbeResult {
  /** The status, when there was an answer. */
  status?: number | undefined;
  /** Why there was none, in a few words. */
  error?: string | undefined;
  /**
   * Whose fault that is, when it is not the backend's: this process had nothing
   * left to ask with, so nothing was found out.
   */
  fault?: "proxy" | undefined;
}

/**
 * Whether a status counts as up while no path was chosen to ask for: whatever
 * tells of a server that works. Many an application has no page at the default
 * path, or shows it to its users only, and would be taken down for that.
 */
export function passesLeniently(status: number): boolean {
  return status >= 200 && status < 500;
}

/** Asks a backend once; must settle soon after `signal` is aborted. */
export type Probe = (
  backend: Backend,
  path: string,
  signal: AbortSignal,
) => Promise<ProbeResult>;

/** What the outside may read of a backend's probes. */
export interface ProbeReport {
  /** The verdict and its streak. */
  health: Health;
  /** Milliseconds that the last probe took. */
  lastMs: number | undefined;
  /** What the last probe heard. */
  last: ProbeResult | undefined;
  /** Probes made, and how many of them failed. */
  made: number;
  /** How many of those that were made failed. */
  failed: number;
}

/** Options for {@linkcode Prober}. */
export interface ProberOptions extends Thresholds {
  /** Asks a backend once. */
  probe: Probe;
  /** Path asked for, after the backend's base path. @default {"/health"} */
  path?: string;
  /** Whether a status is a pass. @default {200 to 399} */
  passes?: (status: number) => boolean;
  /**
   * Whether {@linkcode passesLeniently} is enough for a pass, with one warning
   * for each backend: right while no path was chosen. @default {false}
   */
  lenient?: boolean;
  /** Milliseconds between two probes of a backend. @default {5_000} */
  intervalMs?: number;
  /** Milliseconds until a probe has failed. @default {2_000} */
  timeoutMs?: number;
  /** Told of each probe that has ended. */
  probed?: (backend: Backend, passed: boolean, report: ProbeReport) => void;
  /** Time and timers. */
  clock: Clock;
  /** Evenly from 0 to 1. @default {Math.random} */
  random?: () => number;
  /** Takes a line for the log. */
  log?: (line: string) => void;
}

/** Probing state of one backend. */
interface Watch {
  backend: Backend;
  report: ProbeReport;
  /** When it was asked first. */
  since: number;
  /** When it is to be asked next. */
  dueAt: number;
  asking: boolean;
  warned: boolean;
  /** Settles at the first result. */
  first: PromiseWithResolvers<void>;
}

/** How many times an interval is divided by the timer that looks who is due. */
const TICKS = 20;

/**
 * Part of an interval before a probe that could not be made is tried again: soon,
 * and not so soon that a thousand of them keep a process busy that is short of
 * everything already.
 */
const AGAIN = 0.2;

/** Milliseconds between two lines that say that probes cannot be made. */
const STARVED_LOG_MS = 60_000;

/** Asks every backend of a pool on a timer and writes the verdicts into it. */
export class Prober {
  readonly #pool: Pool;
  readonly #options: Required<ProberOptions>;
  readonly #watches = new Map<Backend, Watch>();
  readonly #stopped = new AbortController();
  #timer: TimerHandle;
  #unsubscribe: (() => void) | undefined;
  /** When it was last said that probes cannot be made. */
  #starvedAt = -Infinity;

  /** Makes a prober that does nothing until {@linkcode start}. */
  constructor(pool: Pool, options: ProberOptions) {
    this.#pool = pool;
    this.#options = {
      rise: 2,
      fall: 3,
      path: "/health",
      passes: (status) => status >= 200 && status <= 399,
      lenient: false,
      intervalMs: 5_000,
      timeoutMs: 2_000,
      random: Math.random,
      probed: () => {},
      log: () => {},
      ...options,
    };
  }

  /**
   * Asks each backend now and then on the interval. Resolves once each has
   * answered or has run into the time limit.
   */
  start(): Promise<void> {
    const { clock, intervalMs } = this.#options;
    for (const backend of this.#pool) this.#watch(backend);
    this.#unsubscribe = this.#pool.subscribe((event) => {
      // An event that was under way when it was stopped still arrives.
      if (event.backend === undefined || this.#stopped.signal.aborted) return;
      if (event.type === "added") {
        // Joins unproved: it gets requests once its first probe has passed.
        if (event.backend.answer === undefined) event.backend.up = false;
        this.#watch(event.backend);
      } else if (event.type === "removed") {
        this.#watches.get(event.backend)?.first.resolve();
        this.#watches.delete(event.backend);
      }
    });
    // One timer for all: it looks who is due. A timer for each backend could
    // not be moved by jitter without being made anew each time.
    this.#timer = clock.setInterval(() => this.#tick(), intervalMs / TICKS);
    return this.settled();
  }

  /** Resolves once each backend of now was probed, or has timed out. */
  settled(): Promise<void> {
    return Promise.all([...this.#watches.values()].map((w) => w.first.promise))
      .then(() => {});
  }

  /** Ends the timer and every probe that is under way. */
  stop(): void {
    this.#options.clock.clear(this.#timer);
    this.#unsubscribe?.();
    this.#stopped.abort();
    for (const watch of this.#watches.values()) watch.first.resolve();
    this.#watches.clear();
  }

  /** What is known of a backend's probes. */
  report(backend: Backend): ProbeReport | undefined {
    return this.#watches.get(backend)?.report;
  }

  #watch(backend: Backend): void {
    if (backend.answer !== undefined) return;
    const watch: Watch = {
      backend,
      report: {
        health: UNKNOWN,
        lastMs: undefined,
        last: undefined,
        made: 0,
        failed: 0,
      },
      since: this.#options.clock.now(),
      dueAt: 0,
      asking: false,
      warned: false,
      first: Promise.withResolvers(),
    };
    this.#watches.set(backend, watch);
    this.#ask(watch);
  }

  #tick(): void {
    const now = this.#options.clock.now();
    for (const watch of this.#watches.values()) {
      // Never two at once: a backend that hangs is asked again only when the
      // last probe has ended, or probes would pile up on whom they should spare.
      if (!watch.asking && watch.dueAt <= now) this.#ask(watch);
    }
  }

  async #ask(watch: Watch): Promise<void> {
    const { clock, intervalMs, random } = this.#options;
    const start = clock.now();
    watch.asking = true;
    // Jitter of 15 % each time keeps many proxies from asking one backend in
    // step; the first round, which all make at their start, is spread wider.
    const spread = watch.report.made === 0
      ? 0.15 + 0.85 * random()
      : 0.85 + 0.3 * random();
    watch.dueAt = start + intervalMs * spread;
    const result = await this.#hear(watch.backend);
    watch.asking = false;
    if (this.#watches.get(watch.backend) !== watch) return;
    if (result.fault === "proxy") return this.#putOff(watch, result);
    watch.report.lastMs = clock.now() - start;
    this.#settle(watch, result);
    watch.first.resolve();
  }

  /**
   * A probe that could not be made says nothing of its backend: what is known
   * stays, and it is tried again soon. Whatever waits for a first result waits
   * no longer than for a backend that does not answer.
   */
  #putOff(watch: Watch, { error }: ProbeResult): void {
    const { clock, intervalMs, timeoutMs, random, log } = this.#options;
    const now = clock.now();
    watch.dueAt = now + intervalMs * AGAIN * (0.85 + 0.3 * random());
    if (now - watch.since >= timeoutMs) watch.first.resolve();
    if (now - this.#starvedAt < STARVED_LOG_MS) return;
    this.#starvedAt = now;
    log(`probes cannot be made (${error}): backends stay as they are`);
  }

  /** One probe with its time limit, which holds even if `probe` ignores it. */
  #hear(backend: Backend): Promise<ProbeResult> {
    const { clock, timeoutMs, probe, path } = this.#options;
    const controller = new AbortController();
    return new Promise((resolve) => {
      const end = (result: ProbeResult) => {
        clock.clear(timer);
        this.#stopped.signal.removeEventListener("abort", cut);
        resolve(result);
      };
      const cut = () => {
        end({ error: "stopped" });
        controller.abort();
      };
      const timer = clock.setTimeout(() => {
        end({ error: `no answer within ${timeoutMs} ms` });
        controller.abort();
      }, timeoutMs);
      this.#stopped.signal.addEventListener("abort", cut);
      // What it throws at once is caught too: it would end the process.
      new Promise<ProbeResult>((asked) =>
        asked(probe(backend, path, controller.signal))
      ).then(end, (error) => end({ error: wordsOf(error) }));
    });
  }

  #settle(watch: Watch, result: ProbeResult): void {
    const { backend, report } = watch;
    const { log } = this.#options;
    const before = report.health;
    const passed = this.#passed(watch, result);
    report.made++;
    if (!passed) report.failed++;
    report.last = result;
    report.health = observe(before, passed, this.#options);
    this.#options.probed(backend, passed, report);
    const up = report.health.up;
    // Against what the pool holds and not against `before`: one that joined
    // unproved is down there until its first result.
    if (up === backend.up) return;
    backend.up = up;
    const heard = result.error ?? `status ${result.status}`;
    // Its first pass is no news; a change of verdict is, and gets one line.
    const reason = up ? heard : `probe of ${this.#shownPath}: ${heard}`;
    if (before.known || !up) {
      log(`backend ${backend.label} is ${up ? "up" : "down"} (${reason})`);
    }
    this.#pool.emit({ type: up ? "up" : "down", backend, reason });
  }

  #passed(watch: Watch, { status }: ProbeResult): boolean {
    const { passes, lenient, log } = this.#options;
    if (status === undefined) return false;
    if (passes(status)) return true;
    if (!lenient || !passesLeniently(status)) return false;
    if (!watch.warned) {
      watch.warned = true;
      log(
        `backend ${watch.backend.label} answers ${status} on ` +
          `${this.#shownPath}, which counts as up: ${adviceOn(status)}`,
      );
    }
    return true;
  }

  /** The path as it may be told: a query may hold a key. */
  get #shownPath(): string {
    return this.#options.path.replace(/\?.*$/s, "");
  }
}

/** What was thrown, in words; it can be anything, also what has none. */
function wordsOf(error: unknown): string {
  try {
    return String(error);
  } catch {
    return "an error without words";
  }
}

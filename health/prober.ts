/**
 * Probes on a timer: when each backend is probed, and what the result changes.
 *
 * @module
 */

import type { Backend, Pool } from "../balancer.ts";
import type { Clock, TimerHandle } from "../base/clock.ts";
import { messageOf } from "../base/text.ts";
import { type Health, observe, type Thresholds, UNKNOWN } from "./verdict.ts";

/** Advice for a status that passes only because no path was configured. */
export function adviceOn(status: number): string {
  // 400 and 421 (RFC 9110 §15.5.1, §15.5.20) are typical of a server that
  // rejects the `Host` of the probe.
  const names = status === 400 || status === 421;
  return "set HEALTH_PATH to a path that reports its health, or to off" +
    (names ? "; where the backend checks Host, set HEALTH_HOST too" : "");
}

/** The result of one probe. */
export interface ProbeResult {
  /** The response status, if there was a response. */
  status?: number | undefined;
  /**
   * Set by a custom check that passed; counts as a pass whatever the status.
   */
  passed?: true | undefined;
  /** Why the probe failed, in a few words. */
  error?: string | undefined;
  /**
   * `"proxy"` if the fault is ours: this process ran out of descriptors, so the
   * probe says nothing about the backend.
   */
  fault?: "proxy" | undefined;
}

/** A probe's result in words. */
export function describeProbe({ status, passed, error }: ProbeResult): string {
  return error ?? (passed === true ? "passed" : `status ${status}`);
}

/**
 * Whether a status counts as up while no path is configured: any response of a
 * working server. Many applications have no page at the default path, or
 * require a login for it, and must not be taken down for that.
 */
export function passesLeniently(status: number): boolean {
  return status >= 200 && status < 500;
}

/** Probes a backend once; must settle soon after `signal` is aborted. */
export type Probe = (
  backend: Backend,
  path: string,
  signal: AbortSignal,
) => Promise<ProbeResult>;

/** What is known from a backend's probes. */
export interface ProbeReport {
  /** The verdict and its streak. */
  health: Health;
  /** Duration of the last probe in milliseconds. */
  lastMs: number | undefined;
  /** Result of the last probe. */
  last: ProbeResult | undefined;
  /** Number of probes so far. */
  made: number;
  /** Number of probes that failed. */
  failed: number;
}

/** Options for {@linkcode Prober}. */
export interface ProberOptions extends Thresholds {
  /** Probes a backend once. */
  probe: Probe;
  /** Request path, appended to the backend's base path. */
  path: string;
  /** Name of the probe in the log. Default: its path. */
  called?: string;
  /** Whether a status passes. */
  passes: (status: number) => boolean;
  /**
   * Whether {@linkcode passesLeniently} suffices to pass, with one warning per
   * backend. For when no path is configured. @default {false}
   */
  lenient?: boolean;
  /** Milliseconds between two probes of a backend. */
  intervalMs: number;
  /** Milliseconds until a probe times out. */
  timeoutMs: number;
  /** Called after each probe. */
  probed?: (backend: Backend, passed: boolean, report: ProbeReport) => void;
  /**
   * Whether it probes only when {@linkcode Prober.probeDue} is called: for a
   * platform without timers between requests. @default {false}
   */
  onDemand?: boolean;
  /** Time and timers. */
  clock: Clock;
  /** Uniform in [0, 1). @default {Math.random} */
  random?: () => number;
  /** Takes a line for the log. */
  log?: (line: string) => void;
}

/** Probing state of one backend. */
interface Watch {
  backend: Backend;
  report: ProbeReport;
  /** When the first probe began. */
  since: number;
  /** When the next probe is due. */
  dueAt: number;
  probing: boolean;
  warned: boolean;
  /** Resolves at the first result. */
  first: PromiseWithResolvers<void>;
}

/** Ticks of the shared timer per interval. */
const TICKS = 20;

/**
 * Part of an interval after which a probe is repeated that could not be sent.
 * Short, but long enough that a thousand of them do not load a process that has
 * run out of descriptors.
 */
const RESEND_SHARE = 0.2;

/** Intervals without a probe, after which a verdict is out of date. */
const STALE = 3;

/** Milliseconds between two log lines that say that probes cannot be sent. */
const STARVED_LOG_MS = 60_000;

/**
 * Probes every backend of a pool on a timer and writes verdicts into the pool.
 */
export class Prober {
  readonly #pool: Pool;
  readonly #options: Required<ProberOptions>;
  readonly #watches = new Map<Backend, Watch>();
  readonly #stopped = new AbortController();
  #timer: TimerHandle;
  #unsubscribe: (() => void) | undefined;
  /** When the log last said that probes cannot be sent. */
  #starvedAt = -Infinity;

  /** Makes a prober that does nothing until {@linkcode start}. */
  constructor(pool: Pool, options: ProberOptions) {
    this.#pool = pool;
    this.#options = {
      called: `probe of ${shownPath(options.path)}`,
      lenient: false,
      random: Math.random,
      probed: () => {},
      onDemand: false,
      log: () => {},
      ...options,
    };
  }

  /**
   * Probes each backend now, and then on the interval. Resolves once each probe
   * has ended or timed out.
   */
  start(): Promise<void> {
    const { clock, intervalMs, onDemand } = this.#options;
    for (const backend of this.#pool) this.#watch(backend);
    this.#unsubscribe = this.#pool.subscribe((event) => {
      // Queued events still arrive after `stop()`.
      if (event.backend === undefined || this.#stopped.signal.aborted) return;
      if (event.type === "added") {
        // Down until its first probe passes.
        if (event.backend.answer === undefined) event.backend.up = false;
        this.#watch(event.backend);
      } else if (event.type === "removed") {
        this.#watches.get(event.backend)?.first.resolve();
        this.#watches.delete(event.backend);
      }
    });
    // No probe is sent before the first request, so nothing can wait for it.
    if (onDemand) return Promise.resolve();
    // One timer for all: one per backend would have to be made anew after each
    // probe because of the jitter.
    this.#timer = clock.setInterval(() => this.#tick(), intervalMs / TICKS);
    return this.settled();
  }

  /**
   * Sends the probes that are due, during a request. Resolves when they have
   * ended; `undefined` if none is due. A verdict that was not renewed for
   * {@linkcode STALE} intervals expires: as at the start, the backend is up until
   * a probe fails.
   */
  probeDue(): Promise<void> | undefined {
    const { clock, intervalMs, timeoutMs } = this.#options;
    const now = clock.now();
    const probes: Promise<void>[] = [];
    for (const watch of this.#watches.values()) {
      // A probe whose request was ended earlier never has a result.
      const lost = watch.probing && now - watch.dueAt > timeoutMs;
      if (watch.dueAt > now || (watch.probing && !lost)) continue;
      if (now - watch.dueAt > STALE * intervalMs && !watch.backend.up) {
        watch.report.health = UNKNOWN;
        watch.backend.up = true;
      }
      probes.push(this.#probe(watch));
    }
    return probes.length === 0 ? undefined : Promise.all(probes).then(() => {});
  }

  /** Resolves once each present backend was probed or has timed out. */
  settled(): Promise<void> {
    return Promise.all([...this.#watches.values()].map((w) => w.first.promise))
      .then(() => {});
  }

  /** Clears the timer and aborts the probes in flight. */
  stop(): void {
    this.#options.clock.clear(this.#timer);
    this.#unsubscribe?.();
    this.#stopped.abort();
    for (const watch of this.#watches.values()) watch.first.resolve();
    this.#watches.clear();
  }

  /** What is known from a backend's probes. */
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
      probing: false,
      warned: false,
      first: Promise.withResolvers(),
    };
    this.#watches.set(backend, watch);
    if (!this.#options.onDemand) this.#probe(watch);
  }

  #tick(): void {
    const now = this.#options.clock.now();
    for (const watch of this.#watches.values()) {
      // Never two at once: probes must not pile up on a backend that hangs.
      if (!watch.probing && watch.dueAt <= now) this.#probe(watch);
    }
  }

  async #probe(watch: Watch): Promise<void> {
    const { clock, intervalMs, random } = this.#options;
    const start = clock.now();
    watch.probing = true;
    // 15 % jitter keeps many proxies from probing one backend in step. The
    // first round, which starts with the process, is spread wider.
    const spread = watch.report.made === 0
      ? 0.15 + 0.85 * random()
      : 0.85 + 0.3 * random();
    watch.dueAt = start + intervalMs * spread;
    const result = await this.#request(watch.backend);
    watch.probing = false;
    if (this.#watches.get(watch.backend) !== watch) return;
    if (result.fault === "proxy") return this.#postpone(watch, result);
    watch.report.lastMs = clock.now() - start;
    this.#record(watch, result);
    watch.first.resolve();
  }

  /**
   * Handles a probe that could not be sent. It says nothing about the backend:
   * its state stays, and the probe is repeated soon. `first` resolves after the
   * timeout nevertheless, as for a backend that does not answer.
   */
  #postpone(watch: Watch, { error }: ProbeResult): void {
    const { clock, intervalMs, timeoutMs, random, log } = this.#options;
    const now = clock.now();
    watch.dueAt = now + intervalMs * RESEND_SHARE * (0.85 + 0.3 * random());
    if (now - watch.since >= timeoutMs) watch.first.resolve();
    if (now - this.#starvedAt < STARVED_LOG_MS) return;
    this.#starvedAt = now;
    log(`cannot probe (${error}): backends keep their state`);
  }

  /** Sends one probe with a timeout that holds even if `probe` ignores it. */
  #request(backend: Backend): Promise<ProbeResult> {
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
      // Catches a synchronous throw too, which would end the process.
      new Promise<ProbeResult>((settle) =>
        settle(probe(backend, path, controller.signal))
      ).then(end, (error) => end({ error: messageOf(error) }));
    });
  }

  #record(watch: Watch, result: ProbeResult): void {
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
    // Compare with the pool, not with `before`: a backend that joined later is
    // down in the pool until its first result.
    if (up === backend.up) return;
    backend.up = up;
    const heard = describeProbe(result);
    // A first pass is not logged; each change of the verdict is, in one line.
    const reason = up ? heard : `${this.#options.called}: ${heard}`;
    if (before.known || !up) {
      log(`backend ${backend.label} is ${up ? "up" : "down"} (${reason})`);
    }
    this.#pool.emit({ type: up ? "up" : "down", backend, reason });
  }

  #passed(watch: Watch, { status, passed }: ProbeResult): boolean {
    const { passes, lenient, path, log } = this.#options;
    if (passed === true) return true;
    if (status === undefined) return false;
    if (passes(status)) return true;
    if (!lenient || !passesLeniently(status)) return false;
    if (!watch.warned) {
      watch.warned = true;
      log(
        `backend ${watch.backend.label} answers ${status} on ` +
          `${shownPath(path)}, which counts as up: ${adviceOn(status)}`,
      );
    }
    return true;
  }
}

/** The path for a log line, without its query, which may hold a secret. */
function shownPath(path: string): string {
  return path.replace(/\?.*$/s, "");
}

/**
 * Health of a backend: what probes say of it, and what its requests show.
 *
 * The judging is pure. {@linkcode observe} folds probe results into a verdict,
 * {@linkcode weigh} folds outcomes into ejections; each takes a value and gives
 * a new one, so that every transition can be tested without waiting for it.
 * {@linkcode Prober} and {@linkcode Ejector} are the thin parts that hold the
 * timers and write into the pool.
 *
 * @module
 */

import type { Backend, Pool } from "./balancer.ts";
import type { Clock, TimerHandle } from "./runtime/clock.ts";

/** How many results in a row turn the probes' verdict. */
export interface Thresholds {
  /** Passes in a row that bring a backend up. @default {2} */
  rise?: number;
  /** Failures in a row that take a backend down. @default {3} */
  fall?: number;
}

/** The probes' verdict on one backend, and how far it is from turning. */
export interface Health {
  /** The verdict. */
  readonly up: boolean;
  /** Results in a row that speak against it. */
  readonly streak: number;
  /** Whether there has been any result; the first one decides alone. */
  readonly known: boolean;
}

/** A backend that nothing is known of yet: taken to be up. */
export const UNKNOWN: Health = { up: true, streak: 0, known: false };

/**
 * Folds one probe result into a verdict. The first result decides alone, so
 * that a pool is right from its start; after that it takes `rise` passes or
 * `fall` failures in a row, so that one lost probe moves nothing.
 */
export function observe(
  health: Health,
  passed: boolean,
  { rise = 2, fall = 3 }: Thresholds = {},
): Health {
  if (!health.known) return { up: passed, streak: 0, known: true };
  if (passed === health.up) {
    return health.streak === 0 ? health : { ...health, streak: 0 };
  }
  const streak = health.streak + 1;
  const needed = passed ? rise : fall;
  return streak < needed
    ? { ...health, streak }
    : { up: passed, streak: 0, known: true };
}

/** What one probe heard. */
export interface ProbeResult {
  /** The status, when there was an answer. */
  status?: number | undefined;
  /** Why there was none, in a few words. */
  error?: string | undefined;
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
   * Whether a 404 is a pass too, with one warning for each backend: right while
   * nobody has said which path to ask for. @default {false}
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
  /** When it is to be asked next. */
  dueAt: number;
  asking: boolean;
  warned: boolean;
  /** Settles at the first result. */
  first: PromiseWithResolvers<void>;
}

/** How many times an interval is divided by the timer that looks who is due. */
const TICKS = 20;

/** Asks every backend of a pool on a timer and writes the verdicts into it. */
export class Prober {
  readonly #pool: Pool;
  readonly #options: Required<ProberOptions>;
  readonly #watches = new Map<Backend, Watch>();
  readonly #stopped = new AbortController();
  #timer: TimerHandle;
  #unsubscribe: (() => void) | undefined;

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
      if (event.backend === undefined) return;
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
    watch.report.lastMs = clock.now() - start;
    this.#settle(watch, result);
    watch.first.resolve();
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
      probe(backend, path, controller.signal).then(
        end,
        (error) => end({ error: String(error) }),
      );
    });
  }

  #settle(watch: Watch, result: ProbeResult): void {
    const { backend, report } = watch;
    const { passes, lenient, path, log } = this.#options;
    // A query may hold a key, and reasons are read by all who see the log.
    const [shown] = path.split("?", 1);
    const before = report.health;
    let passed = result.status !== undefined && passes(result.status);
    if (!passed && lenient && result.status === 404) {
      passed = true;
      if (!watch.warned) {
        watch.warned = true;
        log(
          `backend ${backend.url} answers 404 on ${shown}, which counts as up: ` +
            "set HEALTH_PATH to a path that tells its health, or to off",
        );
      }
    }
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
    const reason = up ? heard : `probe of ${shown}: ${heard}`;
    if (before.known || !up) {
      log(`backend ${backend.url} is ${up ? "up" : "down"} (${reason})`);
    }
    this.#pool.emit({ type: up ? "up" : "down", backend, reason });
  }
}

/** What outcomes have shown of one backend. */
export interface Standing {
  /** Bad outcomes in a row. */
  readonly streak: number;
  /** Ejections that have not been lived down yet; each doubles the next. */
  readonly ejections: number;
  /** When the last ejection ended. */
  readonly since: number;
}

/** A backend without a past. */
export const UNBLEMISHED: Standing = {
  streak: 0,
  ejections: 0,
  since: -Infinity,
};

/** The longest that a backend stays ejected, in milliseconds. */
const LONGEST_EJECTION_MS = 5 * 60_000;

/**
 * Folds one outcome into a standing; `eject` is how many milliseconds the
 * backend should now be out for, 0 for not at all. Each ejection is twice as
 * long as the one before, and one is forgotten for every `timeMs` of quiet, so
 * that a flapping backend stays out longer than one that stumbled once
 * (Envoy's outlier detection does the same).
 */
export function weigh(
  standing: Standing,
  good: boolean,
  { after, timeMs, now }: { after: number; timeMs: number; now: number },
): { standing: Standing; eject: number } {
  if (good) {
    return {
      standing: standing.streak === 0 ? standing : { ...standing, streak: 0 },
      eject: 0,
    };
  }
  const streak = standing.streak + 1;
  if (streak < after) return { standing: { ...standing, streak }, eject: 0 };
  const quiet = Math.floor(Math.max(0, now - standing.since) / timeMs);
  const past = Math.max(0, standing.ejections - quiet);
  return {
    standing: { streak: 0, ejections: past + 1, since: standing.since },
    eject: Math.min(timeMs * 2 ** past, LONGEST_EJECTION_MS),
  };
}

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

/** Hears the outcomes of requests and ejects who earns it. */
export class Ejector {
  readonly #pool: Pool;
  readonly #options: Required<EjectorOptions>;
  readonly #standings = new WeakMap<Backend, Standing>();
  readonly #timers = new Map<Backend, TimerHandle>();
  readonly #unsubscribe: () => void;

  /** Makes an ejector over a pool. */
  constructor(pool: Pool, options: EjectorOptions) {
    this.#pool = pool;
    this.#unsubscribe = pool.subscribe(({ type, backend }) => {
      // Who is not in the pool is nobody's news any more.
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
    // Removed while it was answering this.
    if (!good && !this.#pool.backends.includes(backend)) return;
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

  /** Ends all timers; whoever is ejected stays so. */
  stop(): void {
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
    log(
      `backend ${backend.url} is ejected for ${(ms / 1000).toFixed(1)} s ` +
        `(${after} bad outcomes in a row, the last: ${reason})`,
    );
    this.#pool.emit({ type: "ejected", backend, reason });
    this.#timers.set(
      backend,
      clock.setTimeout(() => this.#readmit(backend), ms),
    );
  }

  #readmit(backend: Backend): void {
    this.#timers.delete(backend);
    backend.ejected = false;
    const standing = this.#standings.get(backend) ?? UNBLEMISHED;
    const since = this.#options.clock.now();
    this.#standings.set(backend, { ...standing, streak: 0, since });
    this.#options.log(`backend ${backend.url} is back after its ejection`);
    this.#pool.emit({ type: "readmitted", backend });
  }
}

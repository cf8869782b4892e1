/**
 * The options of probes and ejections, checked, each with its default, and the
 * two that go by them.
 *
 * @module
 */

import type { Backend, Pool } from "../balancer.ts";
import { checkedOption, optionalOption } from "../config/option.ts";
import type { ProxyOptions } from "../config/options.ts";
import {
  Ejector,
  type EjectorOptions,
  Prober,
  type ProbeReport,
  type ProbeResult,
  type ProberOptions,
} from "../health.ts";
import type { Callbacks } from "./callbacks.ts";

/** What probes and ejections go by; nothing where there are none. */
export interface CheckedHealth {
  probing: Probing | undefined;
  ejection: Pick<EjectorOptions, "after" | "timeMs"> | undefined;
}

/**
 * Checks the options of both.
 *
 * @throws {TypeError | RangeError} If one cannot be used.
 */
export function checkedHealth(options: ProxyOptions): CheckedHealth {
  return { probing: probingOf(options), ejection: ejectionOf(options) };
}

function ejectionOf(
  { eject }: ProxyOptions,
): CheckedHealth["ejection"] {
  if (eject === false) return undefined;
  return {
    // `false` is what `eject` itself may be, and was refused here.
    after: checkedOption("EJECT_AFTER", eject?.after) || Infinity,
    timeMs: checkedOption("EJECT_TIME", eject?.timeMs),
  };
}

/** What probes go by, and what they call the backend in `Host`. */
export interface Probing extends
  Pick<
    ProberOptions,
    | "path"
    | "passes"
    | "lenient"
    | "intervalMs"
    | "timeoutMs"
    | "rise"
    | "fall"
  > {
  host: string | undefined;
}

function probingOf({ health }: ProxyOptions): Probing | undefined {
  if (health === false) return undefined;
  const { path, host, status, rise, fall } = health ?? {};
  const intervalMs = checkedOption("HEALTH_INTERVAL", health?.intervalMs);
  const timeoutMs = checkedOption("HEALTH_TIMEOUT", health?.timeoutMs);
  if (timeoutMs >= intervalMs) {
    throw new RangeError(
      `Cannot make a proxy: health.timeoutMs is ${timeoutMs}, not under health.intervalMs, which is ${intervalMs}`,
    );
  }
  return {
    path: checkedOption("HEALTH_PATH", path) || "/",
    host: optionalOption("HEALTH_HOST", host),
    passes: statusMatcher(checkedOption("HEALTH_STATUS", status)),
    lenient: path === undefined,
    intervalMs,
    timeoutMs,
    rise: checkedOption("HEALTH_RISE", rise),
    fall: checkedOption("HEALTH_FALL", fall),
  };
}

/** Says whether a status is in a checked list such as `200-399,404`. */
export function statusMatcher(list: string): (status: number) => boolean {
  const ranges = list.split(",").map((item) => item.split("-").map(Number));
  return (status) =>
    ranges.some(([low = 0, high = low]) => low <= status && status <= high);
}

/** What probes need of a transport, and whom they tell. */
export interface Probes {
  probe(
    backend: Backend,
    path: string,
    signal: AbortSignal,
    host: string | undefined,
  ): Promise<ProbeResult>;
  probed: NonNullable<ProberOptions["probed"]>;
}

/** Who judges backends: probes and outcomes, as far as the options want them. */
export class Judges {
  readonly #prober: Prober | undefined;
  readonly #ejector: Ejector | undefined;

  /** Makes them; nothing is probed until {@linkcode start}. */
  constructor(
    pool: Pool,
    { probing, ejection }: CheckedHealth,
    { clock, random, log }: Callbacks,
    { probe, probed }: Probes,
  ) {
    this.#ejector = ejection &&
      new Ejector(pool, { ...ejection, clock, random, log });
    if (probing === undefined) return;
    const { host, ...rest } = probing;
    this.#prober = new Prober(pool, {
      ...rest,
      probe: (backend, path, signal) => probe(backend, path, signal, host),
      probed,
      clock,
      random,
      log,
    });
  }

  /** Takes one outcome of an attempt that began at `startedAt`. */
  outcome(
    backend: Backend,
    good: boolean,
    startedAt: number,
    reason: string,
  ): void {
    this.#ejector?.outcome(backend, good, startedAt, reason);
  }

  /** Whether a backend's last outcome was a bad one. */
  readonly suspects = (backend: Backend): boolean =>
    this.#ejector?.suspects(backend) === true;

  /** What is known of a backend's probes. */
  readonly report = (backend: Backend): ProbeReport | undefined =>
    this.#prober?.report(backend);

  /** Begins to probe; resolves once each backend was probed, or timed out. */
  start(): Promise<void> {
    return this.#prober?.start() ?? Promise.resolve();
  }

  /** Resolves once each backend of now was probed, or has timed out. */
  readonly settled = (): Promise<void> =>
    this.#prober?.settled() ?? Promise.resolve();

  /** Ends probes and timers. */
  stop(): void {
    this.#prober?.stop();
    this.#ejector?.stop();
  }
}

/**
 * The options of probes and ejections, checked, each with its default, and the
 * two that go by them.
 *
 * @module
 */

import { oneLine, quote } from "../config/fault.ts";
import { isToken } from "../config/grammar.ts";
import type { Backend, Pool } from "../balancer.ts";
import { checkedOption, optionalOption } from "../config/option.ts";
import type {
  HealthCheck,
  HealthOptions,
  ProxyOptions,
} from "../config/options.ts";
import {
  Ejector,
  type EjectorOptions,
  type Probe,
  Prober,
  type ProbeReport,
  type ProbeResult,
  type ProberOptions,
} from "../health.ts";
import { type Fields, isRequestDropped } from "../proxy/fields.ts";
import type { ProbeOptions } from "../proxy/transport.ts";
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

/** What probes go by. */
export interface Probing extends
  Pick<
    ProberOptions,
    | "path"
    | "called"
    | "passes"
    | "lenient"
    | "intervalMs"
    | "timeoutMs"
    | "rise"
    | "fall"
  > {
  /** What they ask with. */
  asking: ProbeOptions;
  /** What they are replaced by, if they are. */
  check: HealthCheck | undefined;
}

function probingOf({ health }: ProxyOptions): Probing | undefined {
  if (health === false) return undefined;
  const { path, status, rise, fall, check } = health ?? {};
  if (check !== undefined) refuseBeside(check, health!);
  const intervalMs = checkedOption("HEALTH_INTERVAL", health?.intervalMs);
  const timeoutMs = checkedOption("HEALTH_TIMEOUT", health?.timeoutMs);
  if (timeoutMs >= intervalMs) {
    throw new RangeError(
      `Cannot make a proxy: health.timeoutMs is ${timeoutMs}, not under health.intervalMs, which is ${intervalMs}`,
    );
  }
  return {
    path: checkedOption("HEALTH_PATH", path) || "/",
    ...(check === undefined ? {} : { called: "health.check" }),
    asking: askingOf(health ?? {}),
    check,
    passes: statusMatcher(checkedOption("HEALTH_STATUS", status)),
    lenient: path === undefined,
    intervalMs,
    timeoutMs,
    rise: checkedOption("HEALTH_RISE", rise),
    fall: checkedOption("HEALTH_FALL", fall),
  };
}

/** Options that say how an HTTP probe is made. */
const OF_PROBES = ["path", "host", "status", "headers", "method"] as const;

/** Refuses a check that is none, and options that it would ignore. */
function refuseBeside(check: HealthCheck, health: HealthOptions): void {
  if (typeof check !== "function") {
    throw new TypeError("Cannot make a proxy: health.check is not a function");
  }
  const ignored = OF_PROBES.find((name) => health[name] !== undefined);
  if (ignored !== undefined) {
    throw new TypeError(
      `Cannot make a proxy: health.check is set, which would ignore health.${ignored}`,
    );
  }
}

/** What HTTP probes ask with, checked. */
function askingOf({ host, method, headers }: HealthOptions): ProbeOptions {
  if (method !== undefined && !["GET", "HEAD", "OPTIONS"].includes(method)) {
    throw new TypeError(
      `Cannot make a proxy: health.method ${
        quote(String(method))
      } is not "GET", "HEAD" or "OPTIONS"`,
    );
  }
  return {
    host: optionalOption("HEALTH_HOST", host),
    method,
    fields: headers === undefined ? undefined : probeFieldsOf(headers),
  };
}

function probeFieldsOf(headers: Readonly<Record<string, string>>): Fields {
  return Object.entries(headers).map(([name, value]) => {
    const lower = name.toLowerCase();
    const shown = `Cannot make a proxy: health.headers has ${quote(name)}`;
    if (!isToken(name)) throw new TypeError(`${shown}, which is no field name`);
    if (isRequestDropped(lower)) {
      throw new TypeError(
        `${shown}, which ${
          lower === "host" ? "health.host is for" : "is not for a probe to say"
        }`,
      );
    }
    // A value may be a key, and is not shown.
    if (typeof value !== "string" || !/^[ \t!-~\x80-\xff]*$/.test(value)) {
      throw new TypeError(`${shown}, whose value cannot be sent`);
    }
    return [lower, value];
  });
}

/** A check as a probe: what it says, in a form that can stand in a log. */
function checking(check: HealthCheck): Probe {
  return async (backend, _path, signal) => {
    const result = await check(backend, signal);
    if (result === true) return { passed: true };
    return {
      error: typeof result === "string" && result !== ""
        ? oneLine(result)
        : "it did not pass",
    };
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
    options: ProbeOptions,
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
    const { asking, check, ...rest } = probing;
    this.#prober = new Prober(pool, {
      ...rest,
      probe: check === undefined
        ? (backend, path, signal) => probe(backend, path, signal, asking)
        : checking(check),
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

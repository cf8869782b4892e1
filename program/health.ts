/**
 * The options of probes and ejections, checked, with their defaults, and the
 * prober and ejector made from them.
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

/** Checked options; `undefined` for what is switched off. */
export interface CheckedHealth {
  probing: Probing | undefined;
  ejection: Ejection | undefined;
}

/** Options of the ejector. */
export type Ejection = Pick<EjectorOptions, "after" | "timeMs">;

/**
 * Checks the options of both.
 *
 * @throws {TypeError | RangeError} If one is invalid.
 */
export function checkedHealth(options: ProxyOptions): CheckedHealth {
  return { probing: probingOf(options), ejection: ejectionOf(options) };
}

function ejectionOf(
  { eject }: ProxyOptions,
): CheckedHealth["ejection"] {
  if (eject === false) return undefined;
  return {
    // The setting also accepts `off`; as an option, that is `eject: false`.
    after: checkedOption("EJECT_AFTER", eject?.after) || Infinity,
    timeMs: checkedOption("EJECT_TIME", eject?.timeMs),
  };
}

/** Options of the prober. */
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
  /** How HTTP probes are made. */
  asking: ProbeOptions;
  /** A custom check in their place, if there is one. */
  check: HealthCheck | undefined;
}

function probingOf({ health }: ProxyOptions): Probing | undefined {
  if (health === false) return undefined;
  const { path, status, rise, fall, check } = health ?? {};
  if (check !== undefined) checkCustom(check, health!);
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

/** Options of HTTP probes. */
const HTTP_PROBE_OPTIONS = [
  "path",
  "host",
  "status",
  "headers",
  "method",
] as const;

/** Checks `health.check`, and refuses options that it would ignore. */
function checkCustom(check: HealthCheck, health: HealthOptions): void {
  if (typeof check !== "function") {
    throw new TypeError("Cannot make a proxy: health.check is not a function");
  }
  const ignored = HTTP_PROBE_OPTIONS.find((name) => health[name] !== undefined);
  if (ignored !== undefined) {
    throw new TypeError(
      `Cannot make a proxy: health.check is set and would ignore health.${ignored}: remove one`,
    );
  }
}

/** Checks how HTTP probes are made. */
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
    // A value may be a secret, and is not shown.
    if (typeof value !== "string" || !/^[ \t!-~\x80-\xff]*$/.test(value)) {
      throw new TypeError(`${shown}, whose value cannot be sent`);
    }
    return [lower, value];
  });
}

/** A custom check as a probe; its reason is made safe for a log. */
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

/** Matches the statuses of a checked list such as `200-399,404`. */
export function statusMatcher(list: string): (status: number) => boolean {
  const ranges = list.split(",").map((item) => item.split("-").map(Number));
  return (status) =>
    ranges.some(([low = 0, high = low]) => low <= status && status <= high);
}

/** How probes are sent, and what is called after each. */
export interface Probes {
  probe(
    backend: Backend,
    path: string,
    signal: AbortSignal,
    options: ProbeOptions,
  ): Promise<ProbeResult>;
  probed: NonNullable<ProberOptions["probed"]>;
}

/** Decides the state of backends, by probes and outcomes. */
export class Judges {
  readonly #prober: Prober | undefined;
  readonly #ejector: Ejector | undefined;

  /** Makes the prober and the ejector; {@linkcode start} starts the probes. */
  constructor(
    pool: Pool,
    { probing, ejection }: CheckedHealth,
    { clock, lasting, due, random, log }: Callbacks,
    { probe, probed }: Probes,
  ) {
    this.#ejector = ejection &&
      new Ejector(pool, { ...ejection, clock: lasting, random, log });
    if (probing === undefined) return;
    const { asking, check, ...rest } = probing;
    this.#prober = new Prober(pool, {
      ...rest,
      probe: check === undefined
        ? (backend, path, signal) => probe(backend, path, signal, asking)
        : checking(check),
      probed,
      onDemand: due !== undefined,
      clock,
      random,
      log,
    });
  }

  /** Records an outcome of an attempt that began at `startedAt`. */
  outcome(
    backend: Backend,
    good: boolean,
    startedAt: number,
    reason: string,
  ): void {
    this.#ejector?.outcome(backend, good, startedAt, reason);
  }

  /** Whether a backend's last outcome was bad. */
  readonly suspects = (backend: Backend): boolean =>
    this.#ejector?.suspects(backend) === true;

  /** What is known from a backend's probes. */
  readonly report = (backend: Backend): ProbeReport | undefined =>
    this.#prober?.report(backend);

  /** Sends the probes that are due, where no timer does it. */
  probeDue(): Promise<void> | undefined {
    return this.#prober?.probeDue();
  }

  /** Starts probing; resolves once each backend was probed or has timed out. */
  start(): Promise<void> {
    return this.#prober?.start() ?? Promise.resolve();
  }

  /** Resolves once each present backend was probed or has timed out. */
  readonly settled = (): Promise<void> =>
    this.#prober?.settled() ?? Promise.resolve();

  /** Stops probes and timers. */
  stop(): void {
    this.#prober?.stop();
    this.#ejector?.stop();
  }
}

/**
 * What a proxy admits: the limits of its options, checked and made.
 *
 * @module
 */

import type { Pool } from "../balancer.ts";
import { checkedNumber } from "../config/check.ts";
import type { ProxyOptions } from "../config/options.ts";
import type { Admitted } from "../observe/metrics.ts";
import { LearntLimit } from "../proxy/learnt_limit.ts";
import {
  RateLimiter,
  type RateLimiterOptions,
  type SharedRates,
} from "../proxy/rate_limit.ts";
import type { Rate } from "../proxy/rate_table.ts";
import { Waiting } from "../proxy/waiting.ts";

const DAY_MS = 24 * 60 * 60 * 1000;
const MOST = 1_000_000;

/** What they are made with. */
export interface AdmissionParts {
  pool: Pool;
  clientAddress: RateLimiterOptions["clientAddress"];
  log: (line: string) => void;
  /** How many workers are one proxy, and where they count together. */
  worker:
    | { readonly of: number; readonly rates: SharedRates | undefined }
    | undefined;
}

/** The limits of a proxy. */
export interface Admission {
  /** Requests at once; `Infinity` where it is not a number that was set. */
  readonly maxInFlight: number;
  readonly room: Waiting | undefined;
  readonly rates: RateLimiter | undefined;
  /**
   * Figures that add up over several workers; `answers` says whether this process
   * answers requests itself, or has workers for that.
   */
  figures(answers: boolean): Omit<Admitted, "refusedFull">;
}

/**
 * Makes the limits of these options.
 *
 * @throws {TypeError | RangeError} If one cannot be used.
 */
export function admissionOf(
  options: ProxyOptions,
  { pool, clientAddress, log, worker }: AdmissionParts,
): Admission {
  const { maxInFlight } = options;
  const learnt = maxInFlight === "auto"
    ? new LearntLimit({ parts: worker?.of })
    : undefined;
  const most = maxInFlight === "auto"
    ? Infinity
    : checkedNumber("maxInFlight", maxInFlight, {
      otherwise: Infinity,
      min: 1,
      max: MOST,
    });
  const rate = checkedRate(options);
  const rates = rate && new RateLimiter({
    ...rate,
    clientAddress,
    shared: worker?.rates,
    log,
  });
  // Of one limit that holds for all workers each has its part of the figure.
  const part = most === Infinity ? 0 : most / (worker?.of ?? 1);
  return {
    maxInFlight: most,
    room: learnt && new Waiting(pool, learnt),
    rates,
    figures: (answers) => ({
      rateLimited: rates?.refused ?? 0,
      inFlightLimit: answers ? learnt?.learnt ?? part : 0,
      waiting: learnt?.waiting ?? 0,
    }),
  };
}

/** The rate limit of these options, if there is one. */
export function checkedRate(
  { rateLimit }: ProxyOptions,
): (Rate & Pick<RateLimiterOptions, "key">) | undefined {
  if (rateLimit === undefined || rateLimit === false) return undefined;
  const { requests, perMs, key } = rateLimit;
  if (key !== undefined && typeof key !== "function") {
    throw new TypeError("Cannot make a proxy: rateLimit.key is no function");
  }
  const bounds = { otherwise: NaN, min: 1 };
  return {
    // What is missing is as wrong as what cannot be used.
    requests: checkedNumber("rateLimit.requests", requests ?? NaN, {
      ...bounds,
      max: MOST,
    }),
    perMs: checkedNumber("rateLimit.perMs", perMs ?? NaN, {
      ...bounds,
      max: DAY_MS,
      whole: false,
    }),
    key,
  };
}

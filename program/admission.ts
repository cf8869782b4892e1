/**
 * The limits of a proxy, made from its options.
 *
 * @module
 */

import type { Pool } from "../balancer.ts";
import type { Admitted } from "../observe/metrics.ts";
import { LearntLimit } from "../proxy/learnt_limit.ts";
import {
  RateLimiter,
  type RateLimiterOptions,
  type SharedRates,
} from "../proxy/rate_limit.ts";
import { Waiting } from "../proxy/waiting.ts";
import type { Checked } from "./checked.ts";

/** What the limits depend on. */
export interface AdmissionParts {
  pool: Pool;
  clientAddress: RateLimiterOptions["clientAddress"];
  log: (line: string) => void;
  /** The number of workers and their shared buckets, in a worker. */
  worker:
    | { readonly of: number; readonly rates: SharedRates | undefined }
    | undefined;
}

/** The limits of a proxy. */
export interface Admission {
  /** Maximum concurrent requests; `Infinity` unless it is a fixed number. */
  readonly maxInFlight: number;
  readonly room: Waiting | undefined;
  readonly rates: RateLimiter | undefined;
  /**
   * Figures that are summed over workers. `answers`: whether this process
   * answers requests itself rather than through workers.
   */
  figures(answers: boolean): Omit<Admitted, "refusedFull">;
}

/** Makes the limits from the options. */
export function admissionOf(
  { maxInFlight, rateLimit }: Checked,
  { pool, clientAddress, log, worker }: AdmissionParts,
): Admission {
  const learnt = maxInFlight === "auto"
    ? new LearntLimit({ parts: worker?.of })
    : undefined;
  const max = maxInFlight === "auto" ? Infinity : maxInFlight;
  const rates = rateLimit && new RateLimiter({
    ...rateLimit,
    clientAddress,
    shared: worker?.rates,
    log,
  });
  // The limit holds for all workers together: each reports its part.
  const part = max === Infinity ? 0 : max / (worker?.of ?? 1);
  return {
    maxInFlight: max,
    room: learnt && new Waiting(pool, learnt),
    rates,
    figures: (answers) => ({
      rateLimited: rates?.refused ?? 0,
      inFlightLimit: answers ? learnt?.learnt ?? part : 0,
      waiting: learnt?.waiting ?? 0,
    }),
  };
}

/**
 * What a proxy admits: the limits of its options, made.
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

/** Makes the limits of these options. */
export function admissionOf(
  { maxInFlight, rateLimit }: Checked,
  { pool, clientAddress, log, worker }: AdmissionParts,
): Admission {
  const learnt = maxInFlight === "auto"
    ? new LearntLimit({ parts: worker?.of })
    : undefined;
  const most = maxInFlight === "auto" ? Infinity : maxInFlight;
  const rates = rateLimit && new RateLimiter({
    ...rateLimit,
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

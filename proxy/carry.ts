/**
 * Carries a broken answer on from another backend: asks for the rest of it, and
 * goes on with what comes. What makes that safe is decided in `resume.ts`.
 *
 * @module
 */

import type { Backend } from "../balancer.ts";
import { askForRest, type AttemptOptions, discard, read } from "./attempt.ts";
import { type Chunk, CutShort, type Reading } from "./body.ts";
import type { Exchange } from "./exchange.ts";
import { failureOf, TRUNCATED } from "./failure.ts";
import type { Carried } from "./resume.ts";
import type { Failure } from "./transport.ts";

/** What carrying on needs of the one that takes a request through its steps. */
export interface CarryOptions extends AttemptOptions {
  /** Picks a backend that is not among these, and gives it the request. */
  pick: (x: Exchange, tried: readonly Backend[]) => Backend | undefined;
  /** Takes a failed attempt, which is over. */
  failed: (x: Exchange, failure: Failure) => void;
  /** Takes an answer that is not the rest; the attempt is over. */
  unfit: (x: Exchange, status: number) => void;
  /** Says whether another attempt may be made after such a failure. */
  mayRetry: (x: Exchange, failure: Failure) => boolean;
  /** How many backends there are. */
  poolSize: () => number;
}

/** Milliseconds before all backends are asked again, at first and at most. */
const WAIT_MS = { first: 100, most: 2_000 };

/** A body that another backend goes on with when its own breaks off. */
export function carriedOn(
  x: Exchange,
  first: Reading,
  carried: Carried,
  options: CarryOptions,
): Reading {
  let source = first;
  let last = false;
  return {
    async read(): Promise<Chunk | undefined> {
      while (!last) {
        try {
          const piece = await source.read();
          if (piece === undefined && !carried.mayEnd()) throw new CutShort();
          last = piece === undefined;
          const out = piece === undefined
            ? carried.rest()
            : carried.take(piece);
          if (out.byteLength > 0) return out;
        } catch (error) {
          const next = await takeUp(x, carried, options);
          if (next === undefined) throw error;
          source = next;
        }
      }
      return undefined;
    },
    cancel: (why) => source.cancel(why),
  };
}

/**
 * Finds a backend that goes on where one has broken off. Each attempt is a retry
 * like any other. All are asked, also more than once while the time limit lasts:
 * a backend that restarts is back within seconds, and the client has only this
 * one chance. One that has answered with something else is not asked again.
 */
async function takeUp(
  x: Exchange,
  carried: Carried,
  options: CarryOptions,
): Promise<Reading | undefined> {
  const { clock, transport, limits } = options;
  const broken = x.backend;
  if (broken === undefined || x.cause !== undefined) return undefined;
  x.retries = x.refusals = 0;
  options.failed(x, TRUNCATED);
  let failure: Failure = TRUNCATED;
  const endAt = clock.now() + limits.timeoutMs;
  const unfit: Backend[] = [];
  let tried: Backend[] = [broken];
  let waitMs = WAIT_MS.first;
  while (
    x.cause === undefined && clock.now() < endAt && options.mayRetry(x, failure)
  ) {
    const more = carried.fields();
    if (more === undefined) return undefined;
    let backend: Backend | undefined;
    while ((backend = options.pick(x, tried)) === undefined) {
      if (unfit.length > 0 && unfit.length >= options.poolSize()) {
        return undefined;
      }
      tried = [...unfit];
      await pause(x, clock, waitMs);
      if (x.cause !== undefined || clock.now() >= endAt) return undefined;
      waitMs = Math.min(waitMs * 2, WAIT_MS.most);
    }
    tried.push(backend);
    try {
      const response = await askForRest(x, backend, options, more);
      if (carried.accepts(response) && response.body !== null) {
        return read(
          transport,
          response.body as ReadableStream<Chunk>,
          NaN,
        );
      }
      discard(response);
      unfit.push(backend);
      options.unfit(x, response.status);
      failure = TRUNCATED;
    } catch (error) {
      failure = failureOf(x, error, transport);
      options.failed(x, failure);
    }
  }
  return undefined;
}

/** Waits, unless the exchange is ended meanwhile. */
function pause(
  x: Exchange,
  clock: AttemptOptions["clock"],
  ms: number,
): Promise<void> {
  const waited = x.interruptible(() =>
    new Promise<void>((resolve) => void clock.setTimeout(resolve, ms))
  );
  return waited.catch(() => {});
}

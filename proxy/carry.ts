/**
 * Carries a broken answer on from another backend: asks for the rest of it, and
 * goes on with what comes. What makes that safe is decided in `resume.ts`.
 *
 * @module
 */

import type { Backend } from "../balancer.ts";
import { Answered, askForRest, sourceOf } from "./attempt.ts";
import { type Chunk, CutShort, type Reading } from "./body.ts";
import type { Context } from "./context.ts";
import type { Exchange } from "./exchange.ts";
import { failureOf, TRUNCATED } from "./failure.ts";
import { withdraw } from "./hooks.ts";
import { answered, attemptFailed, judge, mayRetry } from "./judge.ts";
import { pick } from "./pick.ts";
import type { Carried } from "./resume.ts";
import { leave } from "./settle.ts";
import type { Failure } from "./transport.ts";

/** Milliseconds before all backends are asked again, at first and at most. */
const WAIT_MS = { first: 100, most: 2_000 };

/** A body that another backend goes on with when its own breaks off. */
export function carriedOn(
  x: Exchange,
  first: Reading,
  carried: Carried,
  c: Context,
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
          const next = await takeUp(x, carried, c);
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
  c: Context,
): Promise<Reading | undefined> {
  const broken = x.backend;
  if (broken === undefined || x.cause !== undefined) return undefined;
  x.retries = x.refusals = 0;
  attemptFailed(x, TRUNCATED, c);
  let failure: Failure = TRUNCATED;
  const endAt = c.clock.now() + c.timeoutMs;
  const unfit: Backend[] = [];
  let tried: Backend[] = [broken];
  let waitMs = WAIT_MS.first;
  while (
    x.cause === undefined && c.clock.now() < endAt && mayRetry(x, failure, c)
  ) {
    const more = carried.fields();
    if (more === undefined) return undefined;
    let backend: Backend | undefined;
    while ((backend = pick(x.key, tried, c)) === undefined) {
      if (unfit.length > 0 && unfit.length >= c.pool.size) {
        return undefined;
      }
      tried = [...unfit];
      await pause(x, c, waitMs);
      if (x.cause !== undefined || c.clock.now() >= endAt) return undefined;
      waitMs = Math.min(waitMs * 2, WAIT_MS.most);
    }
    x.backend = backend;
    x.attemptAt = c.clock.now();
    tried.push(backend);
    try {
      const answer = await askForRest(x, backend, c, more);
      const source = sourceOf(answer, c.transport.native);
      const { status } = answer;
      if (source !== undefined && carried.accepts(answer)) {
        answered(x, status, c);
        return source;
      }
      answered(x, status, c, `status ${status} in place of the rest`);
      source?.cancel(undefined);
      unfit.push(backend);
      judge(x, status, c);
      leave(x);
      failure = TRUNCATED;
    } catch (error) {
      if (error instanceof Answered) {
        withdraw(x);
        return undefined;
      }
      failure = failureOf(x, error, c);
      attemptFailed(x, failure, c);
    }
  }
  return undefined;
}

/** Waits, unless the exchange is ended meanwhile. */
function pause(x: Exchange, { clock }: Context, ms: number): Promise<void> {
  const waited = x.interruptible(() =>
    new Promise<void>((resolve) => void clock.setTimeout(resolve, ms))
  );
  return waited.catch(() => {});
}

/**
 * Resumes an interrupted response from another backend: requests the rest and
 * continues with it. `resume.ts` decides when that is safe.
 *
 * @module
 */

import type { Backend } from "../balancer.ts";
import { AnsweredByHook, requestRest, sourceOf } from "./attempt.ts";
import { type Chunk, type Reading, TruncatedBody } from "./body.ts";
import type { Context } from "./context.ts";
import type { Exchange } from "./exchange.ts";
import { failureOf, TRUNCATED } from "./failure.ts";
import { withdraw } from "./hooks.ts";
import { attemptFailed, headerReceived, judge, mayRetry } from "./judge.ts";
import { pick } from "./pick.ts";
import type { Resumable } from "./resume.ts";
import { leave } from "./settle.ts";
import type { Failure } from "./transport.ts";

/**
 * Milliseconds before all backends are tried again: first and maximum pause.
 */
const PAUSE_MS = { first: 100, max: 2_000 };

/** A body that continues from another backend when it is interrupted. */
export function resumedBody(
  x: Exchange,
  first: Reading,
  resumable: Resumable,
  c: Context,
): Reading {
  let source = first;
  let last = false;
  return {
    async read(): Promise<Chunk | undefined> {
      while (!last) {
        try {
          const chunk = await source.read();
          if (chunk === undefined && !resumable.mayEnd()) {
            throw new TruncatedBody();
          }
          last = chunk === undefined;
          const out = chunk === undefined
            ? resumable.rest()
            : resumable.take(chunk);
          if (out.byteLength > 0) return out;
        } catch (error) {
          const next = await resumeElsewhere(x, resumable, c);
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
 * Finds a backend that continues the body. Each attempt is a retry like any
 * other. All backends are tried, also repeatedly within the time limit: a
 * backend that restarts is back within seconds, and the client has only this
 * one chance. A backend that responds with something else is not tried again.
 */
async function resumeElsewhere(
  x: Exchange,
  resumable: Resumable,
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
  let waitMs = PAUSE_MS.first;
  while (
    x.cause === undefined && c.clock.now() < endAt && mayRetry(x, failure, c)
  ) {
    const more = resumable.fields();
    if (more === undefined) return undefined;
    let backend: Backend | undefined;
    while ((backend = pick(x.key, tried, c)) === undefined) {
      if (unfit.length > 0 && unfit.length >= c.pool.size) {
        return undefined;
      }
      tried = [...unfit];
      await pause(x, c, waitMs);
      if (x.cause !== undefined || c.clock.now() >= endAt) return undefined;
      waitMs = Math.min(waitMs * 2, PAUSE_MS.max);
    }
    x.backend = backend;
    x.attemptAt = c.clock.now();
    tried.push(backend);
    try {
      const answer = await requestRest(x, backend, c, more);
      const source = sourceOf(answer, c.transport.native);
      const { status } = answer;
      if (source !== undefined && resumable.accepts(answer)) {
        headerReceived(x, status, c);
        return source;
      }
      headerReceived(x, status, c, `status ${status} in place of the rest`);
      source?.cancel(undefined);
      unfit.push(backend);
      judge(x, status, c);
      leave(x);
      failure = TRUNCATED;
    } catch (error) {
      // Settled: the attempt has no backend any more, and is recorded.
      if (x.over) return undefined;
      if (error instanceof AnsweredByHook) {
        withdraw(x);
        return undefined;
      }
      failure = failureOf(x, error, c);
      attemptFailed(x, failure, c);
    }
  }
  return undefined;
}

/** Waits, unless the exchange is ended in the meantime. */
function pause(x: Exchange, { clock }: Context, ms: number): Promise<void> {
  const waited = x.interruptible(() =>
    new Promise<void>((resolve) => void clock.setTimeout(resolve, ms))
  );
  return waited.catch(() => {});
}

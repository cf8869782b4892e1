/**
 * What a platform that runs nothing between two requests is given to do at each
 * of them: timers that are due, and probes of verdicts that are out of date.
 *
 * @module
 */

import type { DueTimers } from "../base/due_timers.ts";
import type { Handler } from "../runtime/listener.ts";
import type { Judges } from "./health.ts";

/** Keeps the platform from ending what a promise stands for. */
type WaitUntil = (promise: Promise<unknown>) => void;

/** The caller's `waitUntil`; workerd's context has one, which needs its owner. */
function waitUntilOf(connection: unknown): WaitUntil | undefined {
  const owner = connection as { waitUntil?: unknown } | null | undefined;
  return typeof owner?.waitUntil === "function"
    ? (promise) => (owner as { waitUntil: WaitUntil }).waitUntil(promise)
    : undefined;
}

/** Wraps a handler so that each request drives the timers and the probes. */
export function withUpkeep(
  handle: Handler,
  timers: DueTimers,
  judges: Judges,
): Handler {
  return (request, connection) => {
    const waitUntil = waitUntilOf(connection);
    timers.run();
    const probes = judges.askDue();
    if (probes !== undefined) waitUntil?.(probes);
    const answered = handle(request, connection);
    // A client that leaves would end the request here before it is counted out.
    if (answered instanceof Promise) waitUntil?.(answered);
    return answered;
  };
}

/**
 * Work that a platform without background tasks does at each request: timers
 * that are due, and probes whose verdicts are out of date.
 *
 * @module
 */

import type { DueTimers } from "../base/due_timers.ts";
import type { Handler } from "../runtime/listener.ts";
import type { Judges } from "./health.ts";

/** Keeps the platform from ending the work of a promise. */
type WaitUntil = (promise: Promise<unknown>) => void;

/** The caller's `waitUntil`; on workerd a method of the context. */
function waitUntilOf(connection: unknown): WaitUntil | undefined {
  const owner = connection as { waitUntil?: unknown } | null | undefined;
  return typeof owner?.waitUntil === "function"
    ? (promise) => (owner as { waitUntil: WaitUntil }).waitUntil(promise)
    : undefined;
}

/** Wraps a handler so that each request runs due timers and probes. */
export function withUpkeep(
  handle: Handler,
  timers: DueTimers,
  judges: Judges,
): Handler {
  return (request, connection) => {
    const waitUntil = waitUntilOf(connection);
    timers.run();
    const probes = judges.probeDue();
    if (probes !== undefined) waitUntil?.(probes);
    const answered = handle(request, connection);
    // An aborting client would end the request here before it is counted.
    if (answered instanceof Promise) waitUntil?.(answered);
    return answered;
  };
}

/**
 * Step 8: the outcome of an attempt for its backend, and whether to retry.
 *
 * @module
 */

import type { Context } from "./context.ts";
import type { Exchange } from "./exchange.ts";
import { failureOf } from "./failure.ts";
import { CLIENT_LEFT, IDLE, STOPPED } from "./reasons.ts";
import type { Ending } from "./relay.ts";
import { decide, isIdempotent } from "./retry.ts";
import { leave, note, noteBreak, settle } from "./settle.ts";
import type { Failure } from "./transport.ts";

/** Records a backend's response header; `outcome` is its text in the log. */
export function headerReceived(
  x: Exchange,
  status: number,
  c: Context,
  outcome: string = String(status),
): void {
  if (x.room !== undefined) {
    const now = c.clock.now();
    x.room.answered(x, status, now - x.sentAt, now);
  }
  if (c.timed) observe(x, status >= 500, c);
  c.meter?.answered(x.backend!, status, c.clock.now() - x.sentAt);
  note(x, outcome, c);
}

/** Records the outcome that a response status is for its backend. */
export function judge(x: Exchange, status: number, c: Context): void {
  const bad = status === 502 || status === 503 || status === 504;
  const backend = x.backend!;
  // A function backend is blamed only if it throws.
  if (bad && backend.answer !== undefined) return;
  c.outcome(backend, !bad, x.attemptAt, bad ? `status ${status}` : "");
}

/** Records a failed attempt. */
export function attemptFailed(x: Exchange, failure: Failure, c: Context): void {
  const backend = x.backend!;
  note(x, failure.reason, c);
  if (failure.fault !== "client") c.meter?.failed(backend, failure.type);
  if (failure.fault === "backend") {
    if (c.timed) observe(x, true, c);
    backend.proven = 0;
    c.outcome(backend, false, x.attemptAt, failure.reason);
  }
  leave(x);
}

/** Whether to retry after a failed attempt; then the retry is counted. */
export function mayRetry(x: Exchange, failure: Failure, c: Context): boolean {
  const { kind } = x.upload;
  const decision = decide({
    clientGone: failure.fault === "client" || x.cause === CLIENT_LEFT,
    timedOut: x.cause !== undefined,
    sent: failure.sent,
    // A handshake that was received is not repeated: closing the connection may
    // have been the backend's answer.
    idempotent: isIdempotent(x.method) && !x.upgrades,
    replayable: kind === "none" || kind === "whole" ||
      (kind === "replayable" && !failure.sent),
    retries: x.retries,
    refusals: x.refusals,
    maxRetries: c.retries,
    budget: () => c.budget.take(c.clock.now()),
  });
  if (decision !== "retry") return false;
  c.meter?.retried();
  if (failure.sent) x.retries++;
  else x.refusals++;
  return true;
}

/** Ends the request when its relayed body has ended. */
export function relayed(x: Exchange, how: Ending, c: Context): void {
  const { backend } = x;
  if (how === "left") x.end(CLIENT_LEFT);
  if (restAborted(x, c)) return settle(x, c);
  // Without a backend, the body could not be resumed, and the outcome of the
  // backend that broke it off is recorded already.
  if (backend !== undefined && how === "whole") {
    backend.proven++;
    judge(x, x.status, c);
  } else if (
    backend !== undefined && how === "broken" &&
    (x.cause === undefined || x.cause === IDLE)
  ) {
    const reason = x.cause === IDLE ? "a stalled body" : "a truncated body";
    backend.proven = 0;
    noteBreak(x, reason);
    c.outcome(backend, false, x.attemptAt, reason);
  } else if (x.cause === STOPPED) {
    noteBreak(x, "the proxy was stopped");
  }
  settle(x, c);
}

/**
 * Whether a request was ended while it waited for the rest of its body from
 * another backend; then that attempt is recorded. It must be done before the
 * request is settled, which releases the backend.
 */
export function restAborted(x: Exchange, c: Context): boolean {
  if (!x.awaiting || x.cause === undefined) return false;
  attemptFailed(x, failureOf(x, x.cause, c), c);
  return true;
}

/** Records the time to a backend's response header or failure. */
function observe(x: Exchange, failed: boolean, { clock }: Context): void {
  const backend = x.backend!;
  const now = clock.now();
  // The time before the last byte was sent is the client's.
  const ms = now - x.sentAt;
  // A backend that fails fast must not look fast, or it would attract requests.
  const slower = failed && backend.latencyMs > ms ? backend.latencyMs : ms;
  backend.observed(slower, now);
}

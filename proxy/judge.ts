/**
 * Step 6: what an attempt has shown of its backend, and whether it is made again
 * elsewhere.
 *
 * @module
 */

import type { Context } from "./context.ts";
import type { Exchange } from "./exchange.ts";
import { CLIENT_LEFT, IDLE } from "./reasons.ts";
import type { Ending } from "./relay.ts";
import { decide, isIdempotent } from "./retry.ts";
import { leave, note, settle } from "./settle.ts";
import type { Failure } from "./transport.ts";

/** A backend has sent a response header; the log has it in these words. */
export function answered(
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

/** Passes on what an answer's status shows of its backend. */
export function judge(x: Exchange, status: number, c: Context): void {
  const bad = status === 502 || status === 503 || status === 504;
  const backend = x.backend!;
  // A function is judged by whether it throws and by nothing else.
  if (bad && backend.answer !== undefined) return;
  c.outcome(backend, !bad, x.attemptAt, bad ? `status ${status}` : "");
}

/** An attempt has failed, and is over. */
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

/** Whether a failed attempt is made again elsewhere; then it is counted. */
export function mayRetry(x: Exchange, failure: Failure, c: Context): boolean {
  const { kind } = x.upload;
  const decision = decide({
    clientGone: failure.fault === "client" || x.cause === CLIENT_LEFT,
    timedOut: x.cause !== undefined,
    sent: failure.sent,
    // A handshake that was received is not sent again: what ended it may have
    // been what the backend wanted to say.
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

/** A relayed body has ended, and the request with it. */
export function relayed(x: Exchange, how: Ending, c: Context): void {
  const { backend } = x;
  if (how === "left") x.end(CLIENT_LEFT);
  // Without a backend it could not be carried on, and the backend that broke it
  // off has been told already.
  if (backend !== undefined && how === "whole") {
    backend.proven++;
    judge(x, x.status, c);
  } else if (
    backend !== undefined && how === "broken" &&
    (x.cause === undefined || x.cause === IDLE)
  ) {
    const reason = x.cause === IDLE ? "a stalled body" : "a truncated body";
    backend.proven = 0;
    c.outcome(backend, false, x.attemptAt, reason);
  }
  settle(x, c);
}

/** Takes how long a backend took to a header, or to its failure. */
function observe(x: Exchange, failed: boolean, { clock }: Context): void {
  const backend = x.backend!;
  const now = clock.now();
  // What came before the last byte was sent is the client's time.
  const ms = now - x.sentAt;
  // A backend that fails fast must not look fast, or it would draw all requests.
  const slower = failed && backend.latencyMs > ms ? backend.latencyMs : ms;
  backend.observed(slower, now);
}

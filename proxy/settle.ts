/**
 * Step 10: ends a request, and reports it to the log and the metrics.
 *
 * @module
 */

import type { Backend } from "../balancer.ts";
import type { Arrival } from "./arrival.ts";
import type { Context } from "./context.ts";
import { type Exchange, statusOf } from "./exchange.ts";
import { NOT_NEEDED } from "./reasons.ts";

/** Records an attempt, if it will be reported. */
export function note(x: Exchange, outcome: string, c: Context): void {
  if (c.settled === undefined && !x.explained) return;
  (x.attempts ??= []).push({
    backend: x.backend!,
    startedAt: x.attemptAt,
    ms: c.clock.now() - x.attemptAt,
    outcome,
    spanId: x.spanId,
  });
}

/** Adds to the last attempt that its response body has broken off. */
export function noteBreak(x: Exchange, reason: string): void {
  const last = x.attempts?.at(-1);
  if (last !== undefined) last.outcome += `, then ${reason}`;
}

/** Ends the attempt; the request may continue. */
export function leave(x: Exchange): void {
  if (x.backend === undefined) return;
  x.room?.left(x);
  x.backend.leave();
  x.backend = undefined;
}

/** Ends the request. Idempotent. */
export function settle(x: Exchange, c: Context): void {
  if (x.over) return;
  // An attempt at the rest of a body: no sweep would end it from now on.
  if (x.awaiting) x.end(NOT_NEEDED);
  x.over = true;
  const { backend } = x;
  leave(x);
  x.room?.over(x);
  c.inFlight.remove(x);
  if (x.stream !== undefined) c.streams.remove(x, x.stream);
  c.meter?.request(statusOf(x), c.clock.now() - x.startedAt);
  if (c.settled !== undefined) report(x, backend, c);
}

/** Reports a request that was not admitted. */
export function settleRefused(
  status: number,
  bytes: number,
  { request, peer, at }: Arrival,
  c: Context,
): void {
  const ms = c.clock.now() - at;
  c.meter?.request(status, ms);
  c.settled?.({
    client: c.rules.clientAddress(request.headers, peer ?? undefined),
    method: request.method,
    target: originForm(request.url),
    status,
    bytes,
    ms,
    backend: undefined,
    attempts: [],
    requestId: undefined,
    traceId: undefined,
    request,
  });
}

/** The target in origin form, as in other log lines; `*` stays as it is. */
function originForm(url: string): string {
  const authority = url.indexOf("://");
  const path = authority < 0 ? -1 : url.indexOf("/", authority + 3);
  return path < 0 ? url : url.slice(path);
}

/** How a request was answered, for an authorized client. */
export function explanation(x: Exchange, c: Context): string {
  return c.explainer!.text(x.attempts ?? [], c.clock.now() - x.startedAt);
}

function report(x: Exchange, backend: Backend | undefined, c: Context): void {
  c.settled!({
    client: c.rules.clientAddress(x.fields, x.peer),
    method: x.method,
    target: x.target.text,
    status: statusOf(x),
    bytes: x.bytes,
    ms: c.clock.now() - x.startedAt,
    backend,
    attempts: x.attempts ?? [],
    requestId: x.requestId,
    traceId: x.trace?.id,
    request: x.request,
  });
}

/**
 * Steps 1 and 2: what a request must be like to be forwarded, and whether there
 * is room for it. What comes out is an {@linkcode Exchange}, under way.
 *
 * @module
 */

import type { Arrival } from "./arrival.ts";
import type { Context } from "./context.ts";
import { Exchange, type Owner } from "./exchange.ts";
import {
  destinationClimbs,
  impliedHost,
  isRefusal,
  logsConnectionIn,
  type Refusal,
  refuseAsterisk,
  refuseFraming,
  refuseHost,
  refuseMethod,
  schemeOf,
  type Target,
  targetOf,
} from "./guard.ts";
import type { Read } from "./headers.ts";
import { requestContext } from "./hooks.ts";
import { traceOf } from "./trace.ts";
import { watchClient } from "./watch.ts";
import { handshakeOf } from "./handshake.ts";

/** What a request asks for. */
interface Asked {
  readonly host: string | undefined;
  readonly target: Target;
  readonly length: string | null;
  readonly upgrades: boolean;
}

export const TOO_LARGE_BODY: Refusal = {
  status: 413,
  type: "http_request_denied",
};
/** A client that has left takes no answer, and has no address any more. */
const LEFT: Refusal = {
  status: 499,
  type: "http_request_error",
  sentence: "Client closed request: its address is not known any more. " +
    "A handler that passes on another Request than its server's must pass " +
    "{ clientAddress } with it.",
};
const FULL: Refusal = { status: 503, type: "connection_limit_reached" };
const LOOP: Refusal = { status: 508, type: "proxy_loop_detected" };

/** Said in `Allow` where an answer of ours wants one. */
const ALLOW = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/** The answer to an OPTIONS that goes no further (RFC 9110 §7.6.2). */
const NO_FURTHER: Refusal = {
  status: 204,
  type: "http_request_denied",
  fields: { allow: ALLOW },
};

/** Takes a request in, or says why not. */
export function admit(
  arrival: Arrival,
  owner: Owner,
  c: Context,
): Exchange | Refusal {
  // 1. Guard.
  const asked = guard(arrival, c);
  if (isRefusal(asked)) return asked;
  // 2. Admit.
  const { length } = asked;
  if (length !== null && Number(length) > c.maxBodyBytes) return TOO_LARGE_BODY;
  const { request, fields, connection, peer, at } = arrival;
  const tooMany = c.rates?.refusal(arrival);
  if (tooMany !== undefined) return tooMany;
  if (!hasRoom(at, c)) return FULL;
  const x = new Exchange(
    owner,
    request,
    fields,
    connection,
    request.method,
    asked.target,
    asked.host,
    schemeOf(request.url, arrival.served, c.server, connection),
    peer ?? undefined,
    at,
  );
  x.length = length;
  x.upgrades = asked.upgrades;
  // With an `onRequest` hook, the wait for a backend begins after the hook.
  if (c.hooks.onRequest === undefined) x.room = c.room;
  c.inFlight.add(x);
  c.budget.request(at);
  mark(x, c);
  return x;
}

/** Whether there is room for one more request; then it has it. */
function hasRoom(now: number, c: Context): boolean {
  const { room } = c;
  const fits = room === undefined ||
    (c.hooks.onRequest === undefined ? room.enter(now) : room.admits(now));
  if (fits && c.inFlight.admit(c.maxInFlight)) return true;
  c.refusedFull++;
  return false;
}

/** Step 1: what is wrong with a request, or what it asks for. */
function guard(
  { request, fields, connection, served, peer }: Arrival,
  { server, transport, rules }: Context,
): Asked | Refusal {
  if (peer === null) return LEFT;
  const { method, url } = request;
  const pasted = server.pastesUrl?.(connection) === true;
  const host = fields.get("host") ?? impliedHost(url, pasted, served);
  const refusal = refuseMethod(method, transport) ??
    refuseHost(host);
  if (refusal !== undefined) return refusal;
  const target = targetOf(url, host, pasted);
  if (isRefusal(target)) return target;
  if (destinationClimbs(method, fields)) target.climbs = true;
  const length = fields.get("content-length");
  const odd = refuseAsterisk(method, target.text) ??
    refuseFraming(method, length, fields.get("transfer-encoding"));
  if (odd !== undefined) return odd;
  if (rules.loops(fields)) return LOOP;
  const upgrades = method === "GET" && handshakeOf(fields);
  if (typeof upgrades === "object") return upgrades;
  if (method === "OPTIONS" && fields.get("max-forwards") === "0") {
    return NO_FURTHER;
  }
  return { host: host ?? undefined, target, length, upgrades };
}

/** Notes what is asked of the request's fields once and needed later. */
function mark(x: Exchange, c: Context): void {
  const { fields, request } = x;
  if (c.requestId) x.requestId = requestIdOf(fields);
  if (c.trace) x.trace = traceOf(fields.get("traceparent"));
  if (c.explainer !== undefined) {
    const asked = fields.get("sluice-debug");
    x.explained = asked !== null && c.explainer.allows(asked);
  }
  if (c.keyOf !== undefined) {
    x.key = c.keyOf({
      client: c.rules.clientAddress(fields, x.peer),
      target: x.target.text,
      headers: fields,
    });
  }
  if (c.hooks.key !== undefined) {
    x.key = c.hooks.key(request, requestContext(x, c));
  }
  if (c.sticky !== undefined) x.key = c.sticky.keyOf(fields);
  x.alone = logsConnectionIn(fields.get("authorization"));
  if (
    c.server.losesResets === true && x.peer !== undefined &&
    (x.scheme === "https" || fields.get("host") === null)
  ) watchClient(x);
}

/** The request's own id if it is usable, or a new one. */
function requestIdOf(fields: Read): string {
  const id = fields.get("x-request-id");
  return id !== null && /^[!#$%&'*+.^_`|~0-9A-Za-z-]{8,128}$/.test(id)
    ? id
    : crypto.randomUUID();
}

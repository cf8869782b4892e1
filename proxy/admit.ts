/**
 * Steps 2 and 3: checks whether a request can be forwarded and whether the
 * limits allow it. The result is an {@linkcode Exchange}.
 *
 * @module
 */

import type { Arrival } from "./arrival.ts";
import type { Context } from "./context.ts";
import { Exchange, type Guarded, type Owner } from "./exchange.ts";
import {
  ALLOW,
  destinationClimbs,
  impliedHost,
  isRefusal,
  logsConnectionIn,
  type Refusal,
  refuseAsterisk,
  refuseDelete,
  refuseFraming,
  refuseHost,
  refuseMethod,
  schemeOf,
  targetOf,
} from "./guard.ts";
import type { Read } from "./fields.ts";
import { requestContext } from "./hooks.ts";
import { traceOf } from "./trace.ts";
import { watchClient } from "./watch.ts";
import { handshakeOf } from "./handshake.ts";

const TOO_LARGE_BODY: Refusal = {
  status: 413,
  type: "http_request_denied",
};
/**
 * The client has disconnected: it gets no answer, and its address is unknown.
 */
const LEFT: Refusal = {
  status: 499,
  type: "http_request_error",
  sentence: "Client closed request: its address is not known any more. " +
    "A handler that passes on another Request than its server's must pass " +
    "{ clientAddress } with it.",
};
const FULL: Refusal = { status: 503, type: "connection_limit_reached" };
const LOOP: Refusal = { status: 508, type: "proxy_loop_detected" };

/** The answer to an OPTIONS that must not be forwarded (RFC 9110 §7.6.2). */
const NO_FURTHER: Refusal = {
  status: 204,
  type: "http_request_denied",
  fields: { allow: ALLOW },
};

/** Admits a request, or returns why not. */
export function admit(
  arrival: Arrival,
  owner: Owner,
  c: Context,
): Exchange | Refusal {
  // 2. Guard.
  const guarded = guard(arrival, c);
  if (isRefusal(guarded)) return guarded;
  // 3. Admit.
  const { length } = guarded;
  if (length !== null && Number(length) > c.maxBodyBytes) return TOO_LARGE_BODY;
  const { request, connection, served, at } = arrival;
  const tooMany = c.rates?.refusal(arrival);
  if (tooMany !== undefined) return tooMany;
  if (!hasRoom(at, c)) return FULL;
  const scheme = schemeOf(request.url, served, c.server, connection);
  const x = new Exchange(owner, arrival, guarded, scheme);
  // With an `onRequest` hook, the wait for a backend begins after the hook.
  if (c.hooks.onRequest === undefined) x.room = c.room;
  c.inFlight.add(x);
  c.budget.request(at);
  annotate(x, c);
  return x;
}

/**
 * Takes a place under the limit of concurrent requests, if there is one. With a
 * learnt limit `maxInFlight` is `Infinity`: no place is taken in vain.
 */
function hasRoom(now: number, c: Context): boolean {
  const { room } = c;
  const fits = room === undefined ||
    (c.hooks.onRequest === undefined ? room.enter(now) : room.admits(now));
  if (fits && c.inFlight.admit(c.maxInFlight)) return true;
  c.refusedFull++;
  return false;
}

/** Step 2: checks a request. */
function guard(
  { request, fields, connection, served, peer }: Arrival,
  { server, transport, rules }: Context,
): Guarded | Refusal {
  if (peer === null) return LEFT;
  const { method, url } = request;
  const pasted = server.pastesUrl?.(connection) === true;
  const host = fields.get("host") ?? impliedHost(url, pasted, served);
  const refusal = refuseMethod(method, transport) ??
    refuseHost(host);
  if (refusal !== undefined) return refusal;
  if (server.admitsDelete === true) {
    const bad = refuseDelete(fields);
    if (bad !== undefined) return bad;
  }
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

/** Sets what later steps need from the request's header fields. */
function annotate(x: Exchange, c: Context): void {
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

/** The request's own id if it is valid, or a new one. */
function requestIdOf(fields: Read): string {
  const id = fields.get("x-request-id");
  return id !== null && /^[!#$%&'*+.^_`|~0-9A-Za-z-]{8,128}$/.test(id)
    ? id
    : crypto.randomUUID();
}

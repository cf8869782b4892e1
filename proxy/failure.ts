/**
 * Failures of attempts that are detected here and not by the runtime.
 *
 * @module
 */

import type { Context } from "./context.ts";
import type { Exchange } from "./exchange.ts";
import { CLIENT_LEFT, CLIENT_SLOW, STOPPED, TOO_LARGE } from "./reasons.ts";
import type { Failure } from "./transport.ts";
import { HandshakeFailed } from "./handshake.ts";

/** The backend's status cannot be passed on. */
export const BAD_STATUS: Failure = {
  type: "http_protocol_error",
  sent: true,
  fault: "backend",
  reason: "an invalid status",
};
/** The backend's response is framed ambiguously. */
export const UNFRAMED: Failure = {
  type: "http_protocol_error",
  sent: true,
  fault: "backend",
  reason: "an answer without a usable length",
};
/** The response body ended before its length. */
export const TRUNCATED: Failure = {
  type: "http_response_incomplete",
  sent: true,
  fault: "backend",
  reason: "a truncated body",
};
/** The request body did not arrive in time. */
const SLOW_CLIENT: Failure = {
  type: "http_request_error",
  sent: true,
  fault: "client",
  reason: "the client did not send its body in time",
  status: 408,
};
/** A hook has failed; no backend is blamed. */
export const HOOK_FAILED: Failure = {
  type: "proxy_internal_error",
  sent: false,
  fault: "none",
  reason: "a hook has failed",
};
/** The learnt limit was reached when the `onRequest` hook ended. */
export const NO_ROOM: Failure = {
  type: "connection_limit_reached",
  sent: false,
  fault: "none",
  reason: "too many requests wait for a backend",
  status: 503,
};
const SLOW_BACKEND: Failure = {
  type: "http_response_timeout",
  sent: true,
  fault: "backend",
  reason: "no answer within the time limit",
};
const ENDED: Failure = {
  type: "destination_unavailable",
  sent: true,
  fault: "proxy",
  reason: "the proxy was stopped",
};
const LEFT: Failure = {
  type: "http_request_error",
  sent: true,
  fault: "client",
  reason: "the client left",
};
const OVERSIZED: Failure = {
  type: "http_request_denied",
  sent: true,
  fault: "client",
  reason: "the body is larger than MAX_BODY",
  status: 413,
};
const THREW: Failure = {
  type: "connection_terminated",
  sent: true,
  fault: "backend",
  reason: "the function threw",
};

/** The failure of an attempt that threw `error`. */
export function failureOf(
  x: Exchange,
  error: unknown,
  { server, transport }: Pick<Context, "server" | "transport">,
): Failure {
  switch (x.cause) {
    case undefined:
      break;
    case CLIENT_LEFT:
      return LEFT;
    case TOO_LARGE:
      return OVERSIZED;
    case CLIENT_SLOW:
      return SLOW_CLIENT;
    case STOPPED:
      return ENDED;
    default:
      return SLOW_BACKEND;
  }
  if (x.clientBody?.broken === true) return LEFT;
  if (server.clientGone?.(x.request) === true) return LEFT;
  if (x.backend?.answer !== undefined) return THREW;
  if (error instanceof HandshakeFailed) return error.failure;
  return transport.classify(error);
}

/**
 * The answers that Sluice gives by itself: to a request that it refuses, and to
 * one that no backend has answered.
 *
 * @module
 */

import { TOO_LARGE_BODY } from "./admit.ts";
import type { Arrival } from "./arrival.ts";
import type { Context } from "./context.ts";
import { answer, type ErrorType, sentenceOf, STATUS } from "./errors.ts";
import type { Exchange } from "./exchange.ts";
import { TOO_LARGE } from "./reasons.ts";
import { SLOW_CLIENT } from "./failure.ts";
import type { Refusal } from "./guard.ts";
import type { ProxyFailure, RequestContext } from "./hook_types.ts";
import { addressOf, requestContext } from "./hooks.ts";
import { answerOrOurs } from "./on_error.ts";
import { explanation, settle, settleRefused } from "./settle.ts";
import type { Failure } from "./transport.ts";

/** Answers a request that is not taken in. */
export function refuse(
  { status, type, sentence, fields }: Refusal,
  arrival: Arrival,
  c: Context,
): Response | Promise<Response> {
  const { method } = arrival.request;
  const response = status === 204
    ? new Response(null, { status, headers: fields ?? {} })
    : answer(status, type, {
      sentence,
      fields: { ...fieldsOf(status, undefined, c), ...fields },
      head: method === "HEAD",
    });
  const settled = (response: Response): Response => {
    // A client that has left takes no answer.
    const bytes = status === 499 ? 0 : bytesOf(response, method);
    settleRefused(
      status === 499 ? status : response.status,
      bytes,
      arrival,
      c,
    );
    const { request, connection } = arrival;
    return c.server.parting?.(request, connection, response) ?? response;
  };
  if (!isReplaceable(status, c)) return settled(response);
  const reason = sentence ?? sentenceOf(status);
  return answerOrOurs(
    response,
    { status, type, reason },
    refusedContext(arrival, c),
    c,
  ).then(settled);
}

/** What the hook is told of a request that was never under way. */
function refusedContext(
  { request, peer }: Arrival,
  c: Context,
): RequestContext {
  return {
    request,
    clientAddress: addressOf(request, peer ?? undefined, c),
    requestId: undefined,
    // Asked for by the hook only: to make one costs something on Deno.
    get signal() {
      return request.signal;
    },
  };
}

/** Whether a hook may answer in place of us: not an `Allow`, nor a client that left. */
function isReplaceable(status: number, { hooks }: Context): boolean {
  return hooks.onError !== undefined && status >= 400 && status !== 499;
}

/** Answers a request whose last attempt has failed, or that had none. */
export function giveUp(
  x: Exchange,
  failure: Failure | undefined,
  c: Context,
): Response | Promise<Response> {
  if (failure === undefined) {
    return answerWith(x, 503, "destination_unavailable", c, {
      reason: "no backend can take the request",
    });
  }
  const { reason } = failure;
  if (x.cause === TOO_LARGE) {
    const { status, type } = TOO_LARGE_BODY;
    return answerWith(x, status, type, c);
  }
  if (failure === SLOW_CLIENT) {
    return answerWith(x, 408, failure.type, c, { reason });
  }
  if (failure.fault === "client") {
    // The client never sees it; the number is the one that nginx gave this end.
    return answerWith(x, 499, "http_request_error", c);
  }
  const status = failure.status ??
    (failure.fault === "proxy" ? 503 : STATUS[failure.type]);
  return answerWith(x, status, failure.type, c, {
    reason,
    last: isStarved(failure),
  });
}

/**
 * Whether there was no descriptor to connect with. Idle connections of clients
 * hold them then, so this client's is one to close.
 */
function isStarved({ fault, type }: Failure): boolean {
  return fault === "proxy" && type === "proxy_internal_error";
}

/** Ends an exchange with an answer of our own, or a hook's in its place. */
export function answerWith(
  x: Exchange,
  status: number,
  type: ErrorType,
  c: Context,
  { sentence, reason = sentence ?? sentenceOf(status), last = false }: {
    /** Said to the client; none for what its status always says. */
    sentence?: string | undefined;
    /** Told to a hook. */
    reason?: string | undefined;
    /** Whether the client's connection is closed behind it. */
    last?: boolean | undefined;
  } = {},
): Response | Promise<Response> {
  x.status = status;
  x.answered = true;
  abandonUpload(x, status);
  const fields = fieldsOf(status, x.requestId, c);
  if (last) fields["connection"] = "close";
  if (x.explained) fields["server-timing"] = explanation(x, c);
  const response = answer(status, type, {
    sentence,
    fields,
    head: x.method === "HEAD",
  });
  if (!isReplaceable(status, c)) return ended(x, response, c);
  const failure: ProxyFailure = { status, type, reason };
  return answerOrOurs(response, failure, requestContext(x, c), c)
    .then((response) => {
      x.status = response.status;
      return ended(x, response, c);
    });
}

/** The request is over, with this answer. */
function ended(x: Exchange, response: Response, c: Context): Response {
  // A client that has left takes no answer.
  x.bytes = x.status === 499 ? 0 : bytesOf(response, x.method);
  settle(x, c);
  return c.server.parting?.(x.request, x.connection, response) ?? response;
}

/** Takes no more of an upload, where an answer is given before its end. */
export function abandonUpload(x: Exchange, status: number): void {
  // Deno keeps a connection for as long as its request might still be read.
  if (x.clientBody?.ended === false && "abandon" in x.upload) {
    x.upload.abandon(status);
  }
}

function fieldsOf(
  status: number,
  requestId: string | undefined,
  c: Context,
): Record<string, string> {
  const fields: Record<string, string> = {};
  if (status === 503) fields["retry-after"] = "1";
  if (requestId !== undefined) fields["x-request-id"] = requestId;
  // After a request that was not understood, or whose body was not read, nothing
  // more can be trusted to begin where we think it does.
  if (status === 400 || status === 408 || status === 413 || c.closing()) {
    fields["connection"] = "close";
  }
  return fields;
}

/** Bytes of the body of an answer of our own. */
function bytesOf(response: Response, method: string): number {
  return method === "HEAD" ? 0 : Number(response.headers.get("content-length"));
}

/**
 * The responses that Sluice sends itself: to refused requests, and to those
 * that no backend answered.
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
import { answerByErrorHook } from "./on_error.ts";
import { explanation, settle, settleRefused } from "./settle.ts";
import type { Failure } from "./transport.ts";

/** Answers a request that is not admitted. */
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
    // A client that has disconnected gets no response.
    const bytes = status === 499 ? 0 : bytesOf(response, method);
    settleRefused(
      status === 499 ? status : response.status,
      bytes,
      arrival,
      c,
    );
    const { request, connection } = arrival;
    return c.server.closingResponse?.(request, connection, response) ??
      response;
  };
  if (!isReplaceable(status, c)) return settled(response);
  const reason = sentence ?? sentenceOf(status);
  return answerByErrorHook(
    response,
    { status, type, reason },
    refusedContext(arrival, c),
    c,
  ).then(settled);
}

/** The context for the hook, for a request that was not admitted. */
function refusedContext(
  { request, peer }: Arrival,
  c: Context,
): RequestContext {
  return {
    request,
    clientAddress: addressOf(request, peer ?? undefined, c),
    requestId: undefined,
    // Created only if the hook reads it: it has a cost on Deno.
    get signal() {
      return request.signal;
    },
  };
}

/**
 * Whether a hook may replace a response: no 204, and no disconnected client.
 */
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
      reason: "no backend is available",
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
    // The client never sees it; nginx logs this number in this case.
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

/** Ends an exchange with a response of our own, or of the hook. */
export function answerWith(
  x: Exchange,
  status: number,
  type: ErrorType,
  c: Context,
  { sentence, reason = sentence ?? sentenceOf(status), last = false }: {
    /** Text for the client; by default the usual one of the status. */
    sentence?: string | undefined;
    /** Reason for the hook. */
    reason?: string | undefined;
    /** Whether this is the last response on the client's connection. */
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
  // It waits for the hook now, and no longer for a backend.
  x.room?.over(x);
  return answerByErrorHook(response, failure, requestContext(x, c), c)
    .then((response) => {
      x.status = response.status;
      return ended(x, response, c);
    });
}

/** Ends the request with this response. */
function ended(x: Exchange, response: Response, c: Context): Response {
  // A client that has disconnected gets no response.
  x.bytes = x.status === 499 ? 0 : bytesOf(response, x.method);
  settle(x, c);
  return c.server.closingResponse?.(x.request, x.connection, response) ??
    response;
}

/** Stops reading an upload when the response comes before its end. */
export function abandonUpload(x: Exchange, status: number): void {
  // Deno keeps a connection open while its request might still be read.
  if (x.clientBody?.ended === false && "abandon" in x.upload) {
    x.upload.abandon(status);
  }
}

/**
 * Statuses of our own after which the start of the next request is not certain:
 * the request was malformed, or its body was not read. A CONNECT (501) is among
 * them: Bun reads what follows it as the bytes of a tunnel, so that the next
 * request would never be answered.
 */
const ENDING: ReadonlySet<number> = new Set([400, 408, 413, 501]);

function fieldsOf(
  status: number,
  requestId: string | undefined,
  c: Context,
): Record<string, string> {
  const fields: Record<string, string> = {};
  if (status === 503) fields["retry-after"] = "1";
  if (requestId !== undefined) fields["x-request-id"] = requestId;
  if (ENDING.has(status) || c.closing()) fields["connection"] = "close";
  return fields;
}

/** Bytes of the body of a response of our own. */
function bytesOf(response: Response, method: string): number {
  return method === "HEAD" ? 0 : Number(response.headers.get("content-length"));
}

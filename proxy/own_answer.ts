/**
 * The answers that Sluice gives by itself: to a request that it refuses, and to
 * one that no backend has answered.
 *
 * @module
 */

import { type Arrival, TOO_LARGE_BODY } from "./admit.ts";
import type { Context } from "./context.ts";
import { answer, type ErrorType, STATUS } from "./errors.ts";
import type { Exchange } from "./exchange.ts";
import { TOO_LARGE } from "./reasons.ts";
import { SLOW_CLIENT } from "./failure.ts";
import type { Refusal } from "./guard.ts";
import { explanation, settle, settleRefused } from "./settle.ts";
import type { Failure } from "./transport.ts";

/** Answers a request that is not taken in. */
export function refuse(
  { status, type, sentence, fields }: Refusal,
  arrival: Arrival,
  c: Context,
): Response {
  const { method } = arrival.request;
  const response = status === 204
    ? new Response(null, { status, headers: fields ?? {} })
    : answer(status, type, {
      sentence,
      fields: { ...fieldsOf(status, undefined, c), ...fields },
      head: method === "HEAD",
    });
  // A client that has left takes no answer.
  const bytes = status === 499 ? 0 : bytesOf(response, method);
  settleRefused(status, bytes, arrival, c);
  const { request, connection } = arrival;
  return c.server.parting?.(request, connection, response) ?? response;
}

/** Answers a request whose last attempt has failed, or that had none. */
export function giveUp(
  x: Exchange,
  failure: Failure | undefined,
  c: Context,
): Response {
  if (failure === undefined) {
    // No backend can take the request.
    return answerWith(x, 503, "destination_unavailable", c);
  }
  if (x.cause === TOO_LARGE) {
    const { status, type } = TOO_LARGE_BODY;
    return answerWith(x, status, type, c);
  }
  if (failure === SLOW_CLIENT) return answerWith(x, 408, failure.type, c);
  if (failure.fault === "client") {
    // The client never sees it; the number is the one that nginx gave this end.
    return answerWith(x, 499, "http_request_error", c);
  }
  const status = failure.status ??
    (failure.fault === "proxy" ? 503 : STATUS[failure.type]);
  return answerWith(x, status, failure.type, c);
}

/** Ends an exchange with an answer of our own. */
export function answerWith(
  x: Exchange,
  status: number,
  type: ErrorType,
  c: Context,
  sentence?: string,
): Response {
  x.status = status;
  x.answered = true;
  // Deno keeps a connection for as long as its request might still be read.
  if (x.clientBody?.ended === false && "abandon" in x.upload) {
    x.upload.abandon(status);
  }
  const fields = fieldsOf(status, x.requestId, c);
  if (x.explained) fields["server-timing"] = explanation(x, c);
  const response = answer(status, type, {
    sentence,
    fields,
    head: x.method === "HEAD",
  });
  // A client that has left takes no answer.
  x.bytes = status === 499 ? 0 : bytesOf(response, x.method);
  settle(x, c);
  return c.server.parting?.(x.request, x.connection, response) ?? response;
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

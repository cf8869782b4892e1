/**
 * `onRequest`: a hook that edits the request to a backend, or answers instead.
 *
 * @module
 */

import type { Backend } from "../balancer.ts";
import { type Chunk, reading } from "./body.ts";
import type { Context } from "./context.ts";
import type { Exchange } from "./exchange.ts";
import { type Fields, isRequestDropped } from "./fields.ts";
import { hasBody } from "./framing.ts";
import { logsConnectionIn, refuseHost } from "./guard.ts";
import {
  answerFields,
  attemptContext,
  callHook,
  checkAnswer,
  hookFailure,
  setFields,
  withdraw,
} from "./hooks.ts";
import { abandonUpload, giveUp } from "./own_answer.ts";
import { Relay } from "./relay.ts";
import { explanation, settle } from "./settle.ts";
import type { Failure } from "./transport.ts";

/** The hook's result: the edited fields, a response, or a failure. */
export type Edited = Fields | Response | Failure;

/** Lets the hook edit the fields of one attempt. Never rejects. */
export async function editRequest(
  x: Exchange,
  backend: Backend,
  fields: Fields,
  c: Context,
): Promise<Edited> {
  const { onRequest } = c.hooks;
  try {
    const headers = new Headers(fields);
    const context = attemptContext(x, backend, c);
    const given = await callHook(x, () => onRequest!(headers, context));
    if (given instanceof Response) {
      checkAnswer(given);
      return given;
    }
    const edited = editedFields(headers, fields);
    x.alone = logsConnectionIn(headers.get("authorization"));
    // For mapping a `Location` in which the backend uses this `Host`.
    x.hookHost = edited[0]![1];
    return edited;
  } catch (error) {
    return hookFailure("onRequest", x, error, c);
  } finally {
    // The time of the hook is not the backend's.
    x.attemptAt = c.clock.now();
  }
}

/**
 * The fields after the hook. It cannot change fields for framing or for one
 * connection, and `Host` must be valid if it is changed.
 *
 * @throws {TypeError} If `Host` is invalid.
 */
function editedFields(headers: Headers, before: Fields): Fields {
  const host = headers.get("host") ?? before[0]![1];
  if (refuseHost(host) !== undefined) {
    throw new TypeError("it set a Host that is no host and port");
  }
  const fields: Fields = [["host", host]];
  headers.forEach((value, name) => {
    if (!isRequestDropped(name)) fields.push([name, value]);
  });
  return fields;
}

/** Ends a request that the hook has answered, or at which it has failed. */
export function answerByHook(
  x: Exchange,
  edited: Response | Failure,
  c: Context,
): Response | Promise<Response> {
  withdraw(x);
  if (!(edited instanceof Response)) return giveUp(x, edited, c);
  const { status, headers, body } = edited;
  x.status = status;
  x.answered = true;
  abandonUpload(x, status);
  const added: Fields = [];
  if (x.requestId !== undefined) added.push(["x-request-id", x.requestId]);
  if (x.explained) added.push(["server-timing", explanation(x, c)]);
  if (c.closing()) added.push(["connection", "close"]);
  const fields = setFields(answerFields(headers), added);
  if (body !== null && hasBody(x.method, status)) {
    x.relay = new Relay(reading(body as ReadableStream<Chunk>), x);
  } else {
    body?.cancel().catch(() => {});
    settle(x, c);
  }
  const stream = x.relay?.stream ?? null;
  return c.server.respond(status, fields, stream, x.method === "HEAD");
}

/**
 * Calling hooks so that they can harm only their own request, and checking
 * their responses.
 *
 * A hook runs in the middle of a request. It may throw, reject, never settle,
 * or return an invalid response. Each of these is a failure of the hook: the
 * response is a 500, and no backend is blamed.
 *
 * @module
 */

import type { Backend } from "../balancer.ts";
import type { Context } from "./context.ts";
import type { Exchange } from "./exchange.ts";
import { TIMED_OUT } from "./reasons.ts";
import { failureOf, HOOK_FAILED } from "./failure.ts";
import { type Fields, isResponseDropped } from "./fields.ts";
import type { AttemptContext, RequestContext } from "./hook_types.ts";
import { leave } from "./settle.ts";
import type { Failure } from "./transport.ts";

/** The context of a request for hooks. */
export function requestContext(x: Exchange, c: Context): RequestContext {
  return {
    request: x.request,
    clientAddress: addressOf(x.request, x.peer, c),
    requestId: x.requestId,
    signal: x.abort.signal,
  };
}

/** The context of an attempt for hooks. */
export function attemptContext(
  x: Exchange,
  backend: Backend,
  c: Context,
): AttemptContext {
  return {
    ...requestContext(x, c),
    backend,
    attempt: x.retries + x.refusals + 1,
  };
}

/** The client's address, if there is one. */
export function addressOf(
  request: Request,
  peer: string | undefined,
  { rules }: Context,
): string | undefined {
  return peer === undefined
    ? undefined
    : rules.clientAddress(request.headers, peer);
}

/** Given to `failed` when a hook exceeds its time limit. */
const TOO_SLOW = new Error("it took longer than timeoutMs");

/**
 * Calls a hook. Rejects if the hook does, or if the request is ended from this
 * side: the client has disconnected, its time has expired, or the proxy stops.
 * A response that comes too late is cancelled.
 */
export async function callHook<T>(
  x: Exchange,
  hook: () => T | Promise<T>,
): Promise<T> {
  x.hookAt = x.now();
  try {
    return await x.interruptible(async () => await hook(), discardLate);
  } finally {
    x.hookAt = undefined;
  }
}

/** Cancels a body that is no longer needed. */
export function discardLate(value: unknown): void {
  if (value instanceof Response && value.body?.locked === false) {
    value.body.cancel().catch(() => {});
  }
}

/** The failure of a request whose hook gave no valid result. */
export function hookFailure(
  hook: string,
  x: Exchange,
  error: unknown,
  c: Context,
): Failure {
  if (x.cause !== undefined && x.cause !== TIMED_OUT) {
    return failureOf(x, error, c);
  }
  c.hooks.failed(hook, x.cause === TIMED_OUT ? TOO_SLOW : error);
  return HOOK_FAILED;
}

/** Takes a request back from a backend that has not been sent any of it. */
export function withdraw(x: Exchange): void {
  const { backend } = x;
  if (backend === undefined) return;
  leave(x);
  backend.requests--;
}

/**
 * Checks whether a hook's response can be passed on.
 *
 * @throws {TypeError} With what is wrong.
 */
export function checkAnswer(answer: Response): void {
  // `Response.error()` has 0; 101 requires an upgraded connection.
  if (answer.status < 200 || answer.status > 599) {
    throw new TypeError(`it gave a Response with status ${answer.status}`);
  }
  if (answer.bodyUsed || answer.body?.locked === true) {
    throw new TypeError("it gave a Response whose body is in use");
  }
}

/**
 * The fields of a hook's response that can be passed on: without those of one
 * connection, and without the length, which is set with the body.
 */
export function answerFields(headers: Headers): Fields {
  const fields: Fields = [];
  headers.forEach((value, name) => {
    if (name === "content-length" || isResponseDropped(name)) return;
    fields.push([name, value]);
  });
  return fields;
}

/** Adds fields, replacing those of the same name. */
export function setFields(fields: Fields, added: Fields | undefined): Fields {
  if (added === undefined) return fields;
  return [
    ...fields.filter(([name]) => !added.some(([ours]) => ours === name)),
    ...added,
  ];
}

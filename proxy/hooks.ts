/**
 * How a hook is called so that it can cost nothing but its own request, and what
 * of its answer may be passed on.
 *
 * A hook runs in the middle of a request. It may throw, be rejected, never come
 * to an end, or give something that cannot be an answer. Each of these is a
 * failure of the hook: the request is answered with 500, and no backend is
 * blamed for it.
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

/** What hooks are told of a request that is under way. */
export function requestContext(x: Exchange, c: Context): RequestContext {
  return {
    request: x.request,
    clientAddress: addressOf(x.request, x.peer, c),
    requestId: x.requestId,
    signal: x.controller.signal,
  };
}

/** The same, of an attempt at a backend. */
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

/** A time limit of a hook. */
const TOO_SLOW = new Error("it took longer than timeoutMs");

/**
 * Waits for a hook. Rejects when it does, and when the request is ended from
 * this side: its client has left, its time has run out, the proxy stops. An
 * answer that comes too late is given up.
 */
export async function called<T>(
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

/** Gives up a body that nothing waits for any more. */
export function discardLate(value: unknown): void {
  if (value instanceof Response && value.body?.locked === false) {
    value.body.cancel().catch(() => {});
  }
}

/** What has become of a request whose hook gave nothing that can be used. */
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

/** Takes a request back from a backend that has heard nothing of it. */
export function withdraw(x: Exchange): void {
  const { backend } = x;
  if (backend === undefined) return;
  leave(x);
  backend.requests--;
}

/**
 * Says why a hook's answer cannot be passed on, if it cannot.
 *
 * @throws {TypeError} With what is wrong.
 */
export function checkAnswer(answer: Response): void {
  // `Response.error()` has 0, and 101 is for a connection that is upgraded.
  if (answer.status < 200 || answer.status > 599) {
    throw new TypeError(`it gave a Response with status ${answer.status}`);
  }
  if (answer.bodyUsed || answer.body?.locked === true) {
    throw new TypeError("it gave a Response whose body is in use");
  }
}

/** Statuses whose answers have no body (RFC 9110 §6.4.1). */
const BODILESS: ReadonlySet<number> = new Set([204, 205, 304]);

/** Whether an answer can have a body. */
export function hasBody(method: string, status: number): boolean {
  return method !== "HEAD" && !BODILESS.has(status);
}

/**
 * The fields of a hook's answer that can be passed on: not those of one
 * connection, and not the length, which is said with the body that is sent.
 */
export function answerFields(headers: Headers): Fields {
  const fields: Fields = [];
  headers.forEach((value, name) => {
    if (name === "content-length" || isResponseDropped(name)) return;
    fields.push([name, value]);
  });
  return fields;
}

/** Sets fields in place of those of the same name. */
export function setFields(fields: Fields, added: Fields | undefined): Fields {
  if (added === undefined) return fields;
  return [
    ...fields.filter(([name]) => !added.some(([ours]) => ours === name)),
    ...added,
  ];
}

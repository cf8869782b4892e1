/**
 * One attempt at a backend: steps 6 and 7 of a request, and the start of step
 * 8. It returns one tagged result.
 *
 * @module
 */

import type { Backend } from "../balancer.ts";
import {
  type Chunk,
  gather,
  type Reading,
  reading,
  readingWhole,
} from "./body.ts";
import type { Context } from "./context.ts";
import type { Exchange } from "./exchange.ts";
import {
  BAD_STATUS,
  failureOf,
  NO_ROOM,
  TRUNCATED,
  UNFRAMED,
} from "./failure.ts";
import type { Fields } from "./fields.ts";
import { hasBody, lengthIn } from "./framing.ts";
import { requestFacts } from "./headers.ts";
import { checkAnswer } from "./hooks.ts";
import { type Edited, editRequest } from "./on_request.ts";
import { isIdempotent } from "./retry.ts";
import { SMALL_BODY } from "./sampling.ts";
import { newSpanId, setSpan } from "./trace.ts";
import type { Answer, Failure, Native, Payload } from "./transport.ts";
import { openBackend } from "./upgrade.ts";
import type { Opened } from "./handshake.ts";

/** The result of an attempt. */
export type Result =
  /** A response, with its body as far as it had to be read. */
  | { readonly kind: "answer"; answer: Response | Answer; body: AnswerBody }
  /** A backend has accepted a WebSocket. */
  | { readonly kind: "opened"; opened: Opened }
  /** A hook has answered in place of the backend, or has failed. */
  | { readonly kind: "hook"; edited: Response | Failure }
  /** No response. */
  | { readonly kind: "failure"; failure: Failure };

/**
 * A response body: complete, or its source, or none. A `Response` is one whose
 * body is left to the runtime, unread.
 */
export type AnswerBody = Chunk | Reading | Response | null;

/** Milliseconds to wait for a small body before the header is sent alone. */
const BODY_WAIT_MS = 10;

/** For requests whose fields are copied instead. */
const NO_FIELDS: Fields = [];

/** Makes one attempt at the exchange's backend. Never rejects. */
export async function attempt(
  x: Exchange,
  backend: Backend,
  c: Context,
): Promise<Result> {
  let edited: Fields | undefined;
  if (c.hooks.onRequest !== undefined) {
    const had = x.room?.pause(x) === true;
    const result = await fieldsByHook(x, backend, c);
    if (!Array.isArray(result)) return { kind: "hook", edited: result };
    if (!goesOn(x, had, c)) return { kind: "hook", edited: NO_ROOM };
    edited = result;
  }
  let answer: Response | Answer;
  x.awaiting = true;
  try {
    if (x.upgrades && backend.answer === undefined) {
      const result = await upgrade(x, backend, c, edited);
      if (!(result instanceof Response)) {
        return { kind: "opened", opened: result };
      }
      answer = result;
    } else {
      answer = await x.interruptible(
        () => send(x, backend, c, edited),
        discard,
      );
    }
  } catch (error) {
    return { kind: "failure", failure: failureOf(x, error, c) };
  } finally {
    x.awaiting = false;
  }
  if (answer.status > 599 || answer.status < 200) {
    discard(answer);
    return { kind: "failure", failure: BAD_STATUS };
  }
  const started = startBody(x, backend, answer, c);
  // Awaited only if necessary: a turn of the event loop per request is
  // measurable.
  const body = started instanceof Promise ? await started : started;
  if (x.cause !== undefined) {
    if (isReading(body)) body.cancel(x.cause);
    return { kind: "failure", failure: failureOf(x, undefined, c) };
  }
  return isFailure(body)
    ? { kind: "failure", failure: body }
    : { kind: "answer", answer, body };
}

/**
 * Whether a request may go on to its backend after the hook. Requests inside the
 * hook do not count against the learnt limit: a slow hook would use it up while
 * the backends are idle.
 */
function goesOn(x: Exchange, had: boolean, c: Context): boolean {
  // A request that was admitted once is not refused at a retry.
  if (c.room === undefined || (!had && x.tried !== undefined)) return true;
  if (c.room.resume(x, had, c.clock.now())) return true;
  c.refusedFull++;
  return false;
}

/**
 * Requests the rest of an interrupted response. Its body is not read yet.
 *
 * @throws The error of the attempt, or {@linkcode AnsweredByHook}.
 */
export async function requestRest(
  x: Exchange,
  backend: Backend,
  c: Context,
  more: Fields,
): Promise<Response | Answer> {
  const fields = c.hooks.onRequest === undefined
    ? fieldsOf(x, backend, c)
    : await fieldsByHook(x, backend, c);
  if (!Array.isArray(fields)) {
    if (fields instanceof Response) discard(fields);
    throw new AnsweredByHook();
  }
  for (const [name, value] of more) setField(fields, name, value);
  x.awaiting = true;
  try {
    return await x.interruptible(() => send(x, backend, c, fields), discard);
  } finally {
    x.awaiting = false;
  }
}

/** A hook has answered in place of a backend, or has failed. */
export class AnsweredByHook extends Error {
  override readonly name = "AnsweredByHook";
  constructor() {
    super("Cannot ask a backend: a hook has answered in its place");
  }
}

/** Cancels a response that is not needed. */
function discard(answer: Response | Answer): void {
  const { body } = answer;
  if (body instanceof ReadableStream) body.cancel().catch(() => {});
  else if (isReading(body)) body.cancel(undefined);
}

/** Reads a response body chunk by chunk; `undefined` if there is none. */
export function sourceOf(
  { body }: Response | Answer,
  native: Native | undefined,
): Reading | undefined {
  if (body === null) return undefined;
  if (body instanceof ReadableStream) {
    const stream = body as ReadableStream<Chunk>;
    return native?.reading?.(stream, undefined) ?? reading(stream);
  }
  return isReading(body) ? body : readingWhole(body);
}

function isFailure(body: AnswerBody | Failure): body is Failure {
  return body === UNFRAMED || body === TRUNCATED;
}

/** Whether a body is read chunk by chunk. */
export function isReading(body: unknown): body is Reading {
  return body !== null && typeof body === "object" && "read" in body;
}

/** Requests a WebSocket of a backend; returns it, or the backend's refusal. */
async function upgrade(
  x: Exchange,
  backend: Backend,
  c: Context,
  edited: Fields | undefined,
): Promise<Opened | Response> {
  const result = await openBackend({
    transport: c.transport,
    backend,
    target: x.target.text,
    fields: edited ?? fieldsOf(x, backend, c),
    signal: x.abort.signal,
    connectTimeoutMs: c.connectTimeoutMs,
  });
  if (x.cause === undefined) return result;
  if (result instanceof Response) discard(result);
  else result.socket.destroy();
  throw x.cause;
}

/** Step 7, with the given header fields or those of step 6. */
function send(
  x: Exchange,
  backend: Backend,
  c: Context,
  ready: Fields | undefined,
): Promise<Response | Answer> {
  const { transport } = c;
  const { upload } = x;
  const copied = ready === undefined ? copyOf(x, backend, c) : undefined;
  const fields = ready ??
    (copied === undefined ? fieldsOf(x, backend, c) : NO_FIELDS);
  const whole = upload.kind === "whole" ? upload.bytes : undefined;
  const payload: Payload = upload.kind === "none" || upload.kind === "whole"
    ? undefined
    : upload;
  if (backend.answer !== undefined) {
    return call(backend.answer, x, c, { fields, payload, whole });
  }
  return transport.send({
    backend,
    url: backend.origin + backend.basePath + x.target.text,
    method: x.method,
    fields,
    copied,
    payload,
    whole,
    empty: upload.kind === "none" && x.length !== null &&
      Number(x.length) === 0,
    once: !isIdempotent(x.method),
    alone: x.alone,
    abort: x.abort,
  });
}

/** Calls a function backend, with the request as a server would receive it. */
async function call(
  answer: NonNullable<Backend["answer"]>,
  x: Exchange,
  { rules }: Context,
  { fields, payload, whole }: {
    fields: Fields;
    payload: Payload;
    whole: Chunk | undefined;
  },
): Promise<Response> {
  const headers = new Headers(fields);
  const { signal } = x.abort;
  const init: RequestInit = { method: x.method, headers, signal };
  const length = whole?.byteLength ?? payload?.length;
  if (whole !== undefined) {
    init.body = whole;
  } else if (payload !== undefined) {
    init.body = payload.stream();
    // Required by the standard; neither runtime checks it.
    (init as { duplex?: string }).duplex = "half";
  }
  if (length !== undefined) headers.set("content-length", String(length));
  const host = x.hookHost ?? x.host ?? x.backend!.authority;
  const url = `${x.scheme}://${host}${x.target.text}`;
  const given = await answer(new Request(url, init), {
    clientAddress: x.peer === undefined
      ? undefined
      : rules.clientAddress(x.fields, x.peer),
    attempt: x.retries + x.refusals + 1,
    signal,
  });
  if (!(given instanceof Response)) throw new TypeError("it gave no Response");
  checkAnswer(given);
  return given;
}

/** Step 6. */
function fieldsOf(
  x: Exchange,
  backend: Backend,
  { rules, hostHeader }: Context,
): Fields {
  const fields = rules.fields(x.fields, requestFacts(x, backend, hostHeader));
  if (x.requestId !== undefined) setField(fields, "x-request-id", x.requestId);
  if (x.trace !== undefined) setSpan(fields, x.trace, x.spanId = newSpanId());
  if (x.method === "OPTIONS") countDown(fields);
  return fields;
}

/** Step 6, followed by a hook. */
function fieldsByHook(
  x: Exchange,
  backend: Backend,
  c: Context,
): Promise<Edited> {
  // Reset the value of the previous attempt.
  x.hookHost = undefined;
  return editRequest(x, backend, fieldsOf(x, backend, c), c);
}

/** Step 6 as a copy of the client's `Headers`, where that suffices. */
function copyOf(
  x: Exchange,
  backend: Backend,
  { rules, hostHeader, transport }: Context,
): Headers | undefined {
  if (
    transport.copiesFields !== true || backend.answer !== undefined ||
    x.trace !== undefined || x.method === "OPTIONS"
  ) return undefined;
  const facts = requestFacts(x, backend, hostHeader);
  const copied = rules.copied(x.request.headers, facts);
  if (x.requestId !== undefined) copied?.set("x-request-id", x.requestId);
  return copied;
}

function setField(fields: Fields, name: string, value: string): void {
  const at = fields.findIndex(([known]) => known === name);
  if (at >= 0) fields.splice(at, 1);
  fields.push([name, value]);
}

/** Decrements `Max-Forwards` (RFC 9110 §7.6.2) if it is a number. */
function countDown(fields: Fields): void {
  for (const field of fields) {
    if (field[0] === "max-forwards" && /^\d{1,9}$/.test(field[1])) {
      field[1] = String(Math.max(0, Number(field[1]) - 1));
    }
  }
}

/** Starts reading a response body; fails if it cannot be passed on. */
function startBody(
  x: Exchange,
  backend: Backend,
  answer: Response | Answer,
  c: Context,
): AnswerBody | Failure | Promise<AnswerBody | Failure> {
  if (answer instanceof Response) return startNativeBody(x, backend, answer, c);
  if (hasBody(x.method, answer.status)) return answer.body;
  discard(answer);
  return null;
}

/**
 * The same for a response of `fetch`, whose body may be left to the runtime.
 */
function startNativeBody(
  x: Exchange,
  backend: Backend,
  answer: Response,
  c: Context,
): AnswerBody | Failure | Promise<AnswerBody | Failure> {
  const { native } = c.transport;
  const length = native === undefined
    ? lengthIn(answer.headers)
    : native.lengthOf(answer);
  if (length === undefined) {
    discard(answer);
    return UNFRAMED;
  }
  if (
    // On Bun, a stream of our own would be sent without its length.
    !x.upgrades && !c.exact && backend.maxConns === Infinity &&
    native !== undefined && length <= SMALL_BODY && length <= native.upTo &&
    native.canPassThrough?.(answer) !== false &&
    c.sampling.skips(backend, x.attemptAt)
  ) return answer;
  const stream = answer.body as ReadableStream<Chunk> | null;
  if (stream === null || !hasBody(x.method, answer.status)) return null;
  const source = native?.reading?.(
    stream,
    Number.isNaN(length) ? undefined : length,
  ) ?? reading(stream);
  return length <= c.server.wholeUpTo && c.idleTimeoutMs === Infinity
    ? gathered(source, length, c)
    : source;
}

/** Reads a small body; complete if it is already there. */
async function gathered(
  source: Reading,
  length: number,
  { clock }: Context,
): Promise<Chunk | Reading | Failure> {
  try {
    const found = await gather(source, length, {
      clock,
      waitMs: BODY_WAIT_MS,
    });
    return found.kind === "whole" ? found.bytes : found;
  } catch {
    // Nothing was passed on yet, so this counts as no response.
    return TRUNCATED;
  }
}

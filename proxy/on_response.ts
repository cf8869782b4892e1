/**
 * `onResponse`: a hook that edits a backend's response, or replaces it by
 * another one whose body may be derived from the backend's.
 *
 * Two bodies must be followed: the backend's, which determines the outcome, and
 * the client's, with which the request ends. A failure of the hook must not be
 * blamed on the backend, and a truncated response of the backend must be
 * noticed although the hook is in between.
 *
 * @module
 */

import type { Backend } from "../balancer.ts";
import { isReading } from "./attempt.ts";
import { type Chunk, type Reading, reading } from "./body.ts";
import type { Context } from "./context.ts";
import type { Exchange } from "./exchange.ts";
import { CLIENT_LEFT, IDLE } from "./reasons.ts";
import { TRUNCATED } from "./failure.ts";
import type { Fields } from "./fields.ts";
import { responseFields } from "./headers.ts";
import {
  answerFields,
  attemptContext,
  callHook,
  checkAnswer,
  hasBody,
  hookFailure,
  setFields,
} from "./hooks.ts";
import { headerReceived, judge, restAborted } from "./judge.ts";
import { giveUp } from "./own_answer.ts";
import { type Ending, Relay } from "./relay.ts";
import { addedTo, sourceFor } from "./respond.ts";
import { leave, settle } from "./settle.ts";
import type { Answer } from "./transport.ts";
import { NO_UPLOAD } from "./upload.ts";

/** The error of a body that the hook did not use. */
const REPLACED = new Error(
  "Cannot read the body: onResponse has returned another one",
);

/** A backend's body, with its state. */
class BackendBody implements Reading {
  /** Open, completely read, broken by the backend, or cancelled. */
  state: "open" | "whole" | "broken" | "cancelled" = "open";
  /** Whether a read from the backend is pending. */
  waits = false;
  /** Whether any of it was read, or it was cancelled. */
  touched = false;
  /** The complete body, if it is available already. */
  readonly whole: Chunk | undefined;
  /** The body as passed to the hook. */
  readonly stream: ReadableStream<Chunk>;
  readonly #source: Reading;
  #controller!: ReadableStreamDefaultController<Chunk>;

  constructor(source: Reading, whole: Chunk | undefined) {
    this.#source = source;
    this.whole = whole;
    this.stream = new ReadableStream<Chunk>({
      start: (controller) => {
        this.#controller = controller;
      },
      pull: async (controller) => {
        const chunk = await this.read();
        if (chunk === undefined) controller.close();
        else controller.enqueue(chunk);
      },
      cancel: (why) => this.cancel(why),
    }, { highWaterMark: 0 });
  }

  readonly read = async (): Promise<Chunk | undefined> => {
    this.touched = true;
    this.waits = true;
    try {
      const chunk = await this.#source.read();
      if (chunk === undefined && this.state === "open") this.state = "whole";
      return chunk;
    } catch (error) {
      if (this.state === "open") this.state = "broken";
      throw error;
    } finally {
      this.waits = false;
    }
  };

  readonly cancel = (why: unknown): void => {
    this.touched = true;
    if (this.state !== "open") return;
    this.state = "cancelled";
    this.#source.cancel(why);
  };

  /** Cancels the rest; reading it afterwards fails with `why`. */
  giveUp(why: Error): void {
    if (this.state !== "open") return;
    this.cancel(why);
    this.#controller.error(why);
  }
}

/** Responds with the result of the hook. Never rejects. */
export async function respondByHook(
  x: Exchange,
  backend: Backend,
  answer: Response | Answer,
  body: Chunk | Reading | null,
  c: Context,
): Promise<Response> {
  const { status } = answer;
  headerReceived(x, status, c);
  if ("forget" in x.upload) x.upload.forget();
  else x.upload = NO_UPLOAD;
  const followed = bodyOf(x, answer, body, c);
  const added = addedTo(x, backend, answer, c);
  const fields = responseFields(
    answer.headers,
    c.rules.answerFacts(
      x,
      backend,
      c.hostHeader,
      added?.filter(([name]) => name !== "connection"),
    ),
  );
  let given: Response;
  try {
    const init = { status, headers: fields };
    const theirs = new Response(followed?.stream ?? null, init);
    const context = attemptContext(x, backend, c);
    const { onResponse } = c.hooks;
    const returned = await callHook(x, () => onResponse!(theirs, context));
    given = returned instanceof Response ? returned : theirs;
    checkAnswer(given);
  } catch (error) {
    return await failed(x, status, followed, error, c);
  }
  x.answered = true;
  x.status = given.status;
  const kept = isKept(given, followed);
  const out = setFields(answerFields(given.headers), ownFields(added));
  const length = kept && fields.find(([name]) => name === "content-length");
  if (length) out.push(length);
  return send(x, backend, { given, followed, kept, status, fields: out }, c);
}

/** Wraps the backend's body to follow it. */
function bodyOf(
  x: Exchange,
  answer: Response | Answer,
  body: Chunk | Reading | null,
  c: Context,
): BackendBody | undefined {
  if (body === null) return undefined;
  if (isReading(body)) {
    return new BackendBody(sourceFor(x, answer, body, c), undefined);
  }
  let rest: Chunk | undefined = body;
  const source: Reading = {
    read() {
      const chunk = rest;
      rest = undefined;
      return Promise.resolve(chunk);
    },
    cancel() {},
  };
  return new BackendBody(source, body);
}

/** Whether a response's body is the backend's, and completely unread. */
function isKept(
  { body }: Response,
  followed: BackendBody | undefined,
): boolean {
  if (followed === undefined) return body === null;
  return body === followed.stream && !followed.touched &&
    !followed.stream.locked;
}

/** Our fields that a response has, whatever the hook sets. */
function ownFields(added: Fields | undefined): Fields | undefined {
  return added?.filter(([name]) =>
    name === "connection" || name === "x-request-id"
  );
}

/** A response that is ready to be sent. */
interface Ready {
  given: Response;
  followed: BackendBody | undefined;
  kept: boolean;
  /** The backend's status. */
  status: number;
  fields: Fields;
}

/** Sends it, and settles the request now or at the end of its body. */
function send(
  x: Exchange,
  backend: Backend,
  { given, followed, kept, status, fields }: Ready,
  c: Context,
): Response {
  const body = hasBody(x.method, given.status)
    ? given.body as ReadableStream<Chunk> | null
    : null;
  const head = x.method === "HEAD";
  if (body !== null && (!kept || followed?.whole === undefined)) {
    const source = kept ? followed! : reading(body);
    if (!kept && followed?.stream.locked === false) followed.giveUp(REPLACED);
    x.relay = new Relay(source, {
      progress: (bytes) => x.progress(bytes),
      relayed: (how) => relayed(x, how, followed, status, c),
      now: () => x.now(),
    });
    return c.server.respond(given.status, fields, x.relay.stream, head);
  }
  const whole = body === null ? null : followed!.whole!;
  if (body === null) given.body?.cancel().catch(() => {});
  if (followed?.whole === undefined) followed?.giveUp(REPLACED);
  else backend.proven++;
  x.bytes = whole?.byteLength ?? 0;
  judge(x, status, c);
  settle(x, c);
  return c.server.respond(given.status, fields, whole, head);
}

/** Ends the request when the client's body has ended. */
function relayed(
  x: Exchange,
  how: Ending,
  followed: BackendBody | undefined,
  status: number,
  c: Context,
): void {
  const { backend } = x;
  if (how === "left") x.end(CLIENT_LEFT);
  const broken = followed?.state === "broken" && x.cause === undefined;
  const stalled = followed?.waits === true && x.cause === IDLE;
  if (restAborted(x, c)) {
    // Recorded.
  } else if (backend !== undefined && (broken || stalled)) {
    backend.proven = 0;
    const reason = stalled ? "a stalled body" : "a truncated body";
    c.outcome(backend, false, x.attemptAt, reason);
  } else if (backend !== undefined && x.cause === undefined) {
    if (followed === undefined || followed.state === "whole") backend.proven++;
    // One that is still asked for the rest has shown nothing.
    if (!x.awaiting) judge(x, status, c);
    if (how === "broken") {
      c.hooks.failed("onResponse", new Error("the body it made has failed"));
    }
  }
  followed?.giveUp(REPLACED);
  settle(x, c);
}

/** Answers a request whose hook has failed or was aborted. */
function failed(
  x: Exchange,
  status: number,
  followed: BackendBody | undefined,
  error: unknown,
  c: Context,
): Response | Promise<Response> {
  const { cause, backend } = x;
  const broken = followed?.state === "broken" && cause === undefined;
  followed?.giveUp(cause ?? REPLACED);
  if (backend !== undefined && broken) {
    // The hook waited for the complete body, which the backend truncated.
    backend.proven = 0;
    c.outcome(backend, false, x.attemptAt, TRUNCATED.reason);
  } else if (cause === undefined) {
    judge(x, status, c);
  }
  const failure = broken ? TRUNCATED : hookFailure("onResponse", x, error, c);
  leave(x);
  return giveUp(x, failure, c);
}

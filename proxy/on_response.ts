/**
 * `onResponse`: a hook that edits a backend's answer, or puts another in its
 * place, whose body may be made of the backend's.
 *
 * Two bodies have to be followed then: the backend's, which shows whether the
 * backend has done its part, and the client's, with which the request ends. A
 * hook's own fault must not be held against the backend, nor may a backend that
 * breaks off go unnoticed because a hook stands between.
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
  called,
  checkAnswer,
  hasBody,
  hookFailure,
  setFields,
} from "./hooks.ts";
import { answered, judge } from "./judge.ts";
import { giveUp } from "./own_answer.ts";
import { type Ending, Relay } from "./relay.ts";
import { addedTo, sourceFor } from "./respond.ts";
import { leave, settle } from "./settle.ts";
import type { Answer } from "./transport.ts";
import { NO_UPLOAD } from "./upload.ts";

/** Says what became of a body that the hook did not use. */
const REPLACED = new Error(
  "Cannot read the body: onResponse has returned another one",
);

/** A backend's body, with a note of how far it has come. */
class BackendBody implements Reading {
  /** How it stands: still to come, at its end, broken, or given up. */
  state: "open" | "whole" | "broken" | "given up" = "open";
  /** Whether the backend is being waited for. */
  waits = false;
  /** Whether anything of it was read, or it was given up. */
  touched = false;
  /** All of it, where it is here already. */
  readonly whole: Chunk | undefined;
  /** The body as the hook sees it. */
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
        const piece = await this.read();
        if (piece === undefined) controller.close();
        else controller.enqueue(piece);
      },
      cancel: (why) => this.cancel(why),
    }, { highWaterMark: 0 });
  }

  readonly read = async (): Promise<Chunk | undefined> => {
    this.touched = true;
    this.waits = true;
    try {
      const piece = await this.#source.read();
      if (piece === undefined && this.state === "open") this.state = "whole";
      return piece;
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
    this.state = "given up";
    this.#source.cancel(why);
  };

  /** Gives up what is left of it; who reads it all the same gets an error. */
  giveUp(why: Error): void {
    if (this.state !== "open") return;
    this.cancel(why);
    this.#controller.error(why);
  }
}

/** Answers with what the hook makes of a backend's answer. Never rejects. */
export async function respondByHook(
  x: Exchange,
  backend: Backend,
  answer: Response | Answer,
  body: Chunk | Reading | null,
  c: Context,
): Promise<Response> {
  const { status } = answer;
  answered(x, status, c);
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
    const returned = await called(x, () => onResponse!(theirs, context));
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

/** The backend's body, to be followed. */
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
      const piece = rest;
      rest = undefined;
      return Promise.resolve(piece);
    },
    cancel() {},
  };
  return new BackendBody(source, body);
}

/** Whether an answer's body is the backend's, and all of it still to be read. */
function isKept(
  { body }: Response,
  followed: BackendBody | undefined,
): boolean {
  if (followed === undefined) return body === null;
  return body === followed.stream && !followed.touched &&
    !followed.stream.locked;
}

/** Fields that an answer has from us, whatever the hook says. */
function ownFields(added: Fields | undefined): Fields | undefined {
  return added?.filter(([name]) =>
    name === "connection" || name === "x-request-id"
  );
}

/** An answer that is ready to be sent. */
interface Ready {
  given: Response;
  followed: BackendBody | undefined;
  kept: boolean;
  /** The backend's own. */
  status: number;
  fields: Fields;
}

/** Sends it, and settles the request: now, or at the end of its body. */
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

/** The client's body has ended, and the request with it. */
function relayed(
  x: Exchange,
  how: Ending,
  followed: BackendBody | undefined,
  status: number,
  c: Context,
): void {
  const { backend } = x;
  const broken = followed?.state === "broken" && x.cause === undefined;
  const stalled = followed?.waits === true && x.cause === IDLE;
  if (how === "left") {
    x.end(CLIENT_LEFT);
  } else if (backend !== undefined && (broken || stalled)) {
    backend.proven = 0;
    const reason = stalled ? "a stalled body" : "a truncated body";
    c.outcome(backend, false, x.attemptAt, reason);
  } else if (backend !== undefined && x.cause === undefined) {
    if (followed === undefined || followed.state === "whole") backend.proven++;
    judge(x, status, c);
    if (how === "broken") {
      c.hooks.failed("onResponse", new Error("the body it made has failed"));
    }
  }
  followed?.giveUp(REPLACED);
  settle(x, c);
}

/** Answers a request whose hook has failed, or was ended before it had. */
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
    // The hook has waited for all of the body, and the backend broke it off.
    backend.proven = 0;
    c.outcome(backend, false, x.attemptAt, TRUNCATED.reason);
  } else if (cause === undefined) {
    judge(x, status, c);
  }
  const failure = broken ? TRUNCATED : hookFailure("onResponse", x, error, c);
  leave(x);
  return giveUp(x, failure, c);
}

/**
 * A request on its way through the client, and what comes of it.
 *
 * @module
 */

import type { Chunk } from "./bytes.ts";
import type { FieldLines } from "./head.ts";
import type { RequestFraming, RequestHead } from "./request.ts";

/** Reads a body piece by piece. */
export interface Reading {
  /** The next piece; none at the end. One read at a time. */
  read(): Promise<Chunk | undefined>;
  /** Gives the rest up. */
  cancel(why: unknown): void;
  /** Takes the memory of a piece back whose bytes are not needed any more. */
  reuse?(piece: Chunk): void;
}

/** A request to be sent. */
export interface ClientRequest extends RequestHead {
  /** Its body, if that is here. Not changed until there is an answer. */
  readonly whole?: Chunk | undefined;
  /** Its body, if it is read as it is sent. */
  readonly payload?: Payload | undefined;
  /** Whether a backend may get it twice (RFC 9110 §9.2.2). */
  readonly repeatable: boolean;
  /** Whether it must have a connection of its own, which ends with it. */
  readonly alone?: boolean | undefined;
  /** Ends it at any time, its answer's body included. */
  readonly signal: AbortSignal;
}

/** A body that is read as it is sent. */
export interface Payload {
  /** Where it comes from. */
  readonly reading: Reading;
  /** Its length, if it is known; it is sent in chunks otherwise. */
  readonly length: number | undefined;
}

/** An answer: its head, and its body as far as it is here. */
export interface Answer {
  /** Its status, from 200 to 599. */
  readonly status: number;
  /** Its fields, names in lower case. */
  readonly fields: FieldLines;
  /** All of it, where the rest of it comes from, or `null` if it has none. */
  readonly body: Chunk | Reading | null;
  /** Takes the memory of a whole body back, once nothing needs its bytes. */
  readonly reuse?: (() => void) | undefined;
}

/** Why there is no answer, or no whole one. */
export type Reason =
  /** No connection was made; the cause says why. */
  | "unconnected"
  /** The connection was ended before the answer's head. */
  | "ended"
  /** The connection broke; the cause says how. */
  | "broken"
  /** The answer is not valid HTTP/1.1. */
  | "malformed"
  /** The answer's body was cut. */
  | "cut"
  /** The request's own body failed, or has another length than was said. */
  | "payload"
  /** The request cannot be said in HTTP/1.1. */
  | "unsendable";

/** There is no answer, or no whole one. */
export class Unanswered extends Error {
  override readonly name = "Unanswered";
  /** Why. */
  readonly reason: Reason;
  /** Whether anything of the request may have been received. */
  readonly sent: boolean;

  constructor(reason: Reason, sent: boolean, cause: unknown) {
    const detail = cause instanceof Error ? cause.message : String(cause);
    super(`No answer (${reason}): ${detail}`, { cause });
    this.reason = reason;
    this.sent = sent;
  }
}

/** A request on its way. */
export class Call {
  /** The request. */
  readonly request: ClientRequest;
  /** Takes the answer. */
  readonly resolve: (answer: Answer) => void;
  /** Takes the reason why there is none. */
  readonly reject: (error: unknown) => void;
  /** Whether anything was read of its payload. */
  begun = false;
  /** Whether anything of it may have been received. */
  sent = false;

  constructor(
    request: ClientRequest,
    resolve: (answer: Answer) => void,
    reject: (error: unknown) => void,
  ) {
    this.request = request;
    this.resolve = resolve;
    this.reject = reject;
  }

  /** How its body is framed. */
  get framing(): RequestFraming {
    const { whole, payload } = this.request;
    if (whole !== undefined) return whole.length;
    return payload === undefined ? undefined : payload.length ?? "chunked";
  }
}

/**
 * A request to the client, and its result.
 *
 * @module
 */

import type { Chunk } from "./bytes.ts";
import type { FieldLines } from "./head.ts";
import type { RequestFraming, RequestHead } from "./request.ts";
import type { Signal } from "./signal.ts";

/** Reads a body chunk by chunk. */
export interface Reading {
  /** The next chunk; `undefined` at the end. One read at a time. */
  read(): Promise<Chunk | undefined>;
  /** The next chunk if it is there already. Not while a read is pending. */
  ready?(): Chunk | undefined;
  /** Cancels the rest. */
  cancel(why: unknown): void;
  /** Takes back the memory of a chunk that is no longer used. */
  reuse?(chunk: Chunk): void;
  /**
   * Gives up the memory of a chunk, which is empty afterwards. It is then freed
   * as soon as the runtime has sent it, and not when the collector runs.
   */
  detach?(chunk: Chunk): void;
}

/** A request to send. */
export interface ClientRequest extends RequestHead {
  /** Its complete body. Must not change until there is a response. */
  readonly whole?: Chunk | undefined;
  /** Its body, if it is read while it is sent. */
  readonly payload?: Payload | undefined;
  /** Whether a backend may receive it twice (RFC 9110 §9.2.2). */
  readonly repeatable: boolean;
  /** Whether it needs its own connection, which ends with it. */
  readonly alone?: boolean | undefined;
  /** Aborts it at any time, also while the response body is read. */
  readonly signal: Signal;
}

/** A body that is read while it is sent. */
export interface Payload {
  /** Its source. */
  readonly reading: Reading;
  /** Its length if known; otherwise it is sent chunked. */
  readonly length: number | undefined;
}

/** A response: its head, and its body as far as it was read. */
export interface Answer {
  /** Its status, from 200 to 599. */
  readonly status: number;
  /** Its header fields, names in lower case. */
  readonly fields: FieldLines;
  /** Complete, or its source, or `null` if there is none. */
  readonly body: Chunk | Reading | null;
  /** Takes the memory of a whole body back, once nothing needs its bytes. */
  readonly reuse?: (() => void) | undefined;
}

/** Why there is no response, or no complete one. */
export type Reason =
  /** No connection was opened; see the cause. */
  | "unconnected"
  /** The connection was closed before the response head. */
  | "ended"
  /** The connection failed; see the cause. */
  | "broken"
  /** The response is not valid HTTP/1.1. */
  | "malformed"
  /** The response body was truncated. */
  | "cut"
  /** The request's body failed, or has another length than declared. */
  | "payload"
  /** The request cannot be expressed in HTTP/1.1. */
  | "unsendable";

/** There is no response, or no complete one. */
export class Unanswered extends Error {
  override readonly name = "Unanswered";
  /** The reason. */
  readonly reason: Reason;
  /** Whether any part of the request may have been received. */
  readonly sent: boolean;

  constructor(reason: Reason, sent: boolean, cause: unknown) {
    const detail = cause instanceof Error ? cause.message : String(cause);
    super(`No answer (${reason}): ${detail}`, { cause });
    this.reason = reason;
    this.sent = sent;
  }
}

/** A request in progress. */
export class Call {
  /** The request. */
  readonly request: ClientRequest;
  /** Takes the response. */
  readonly resolve: (answer: Answer) => void;
  /** Takes the reason why there is none. */
  readonly reject: (error: unknown) => void;
  /** Whether any of its payload was read. */
  begun = false;
  /** Whether any of it may have been received. */
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

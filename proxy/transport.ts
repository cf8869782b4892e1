/**
 * How a request gets to a backend, as types alone: `runtime/` has the
 * implementations, and tests pass their own.
 *
 * @module
 */

import type { Backend } from "../balancer.ts";
import type { ProbeResult } from "../health.ts";
import type { Chunk, Reading } from "./body.ts";
import type { ErrorType } from "./errors.ts";
import type { Fields, Read } from "./fields.ts";
import type { Socket } from "./socket.ts";

/** A request body, on its way from the client. */
export type Payload = {
  /** Its bytes, from the beginning. Asked for once, or {@linkcode reading} is. */
  stream(): ReadableStream<Chunk>;
  /** The same, piece by piece, and kept for another attempt or not. */
  reading(keeps?: boolean): Reading;
  /** The length that the client declared, if it did. */
  readonly length: number | undefined;
} | undefined;

/** One attempt, ready to be sent. */
export interface Outgoing {
  /** Whom it goes to. */
  backend: Backend;
  /** Scheme, authority, path and query. */
  url: string;
  /** Method, as the client sent it. */
  method: string;
  /** Field lines; `content-length` is not among them. */
  fields: Fields;
  /** The fields as a copy of the client's, in place of {@linkcode fields}. */
  copied?: Headers | undefined;
  /** Body, if there is one. */
  payload: Payload;
  /** A small body that was read whole, in place of {@linkcode payload}. */
  whole?: Chunk | undefined;
  /** Whether it is said that there is a body, of length 0. */
  empty?: boolean;
  /** Whether the backend must not get it twice, whatever happens on the way. */
  once: boolean;
  /** Whether it must have a connection of its own, which ends with it. */
  alone?: boolean;
  /** Ends the attempt. */
  signal: AbortSignal;
}

/** A failed attempt, by what it means. */
export interface Failure {
  /** Type for `Proxy-Status`, the most specific that is certain. */
  type: ErrorType;
  /** Whether anything of the request may have reached the backend. */
  sent: boolean;
  /**
   * Whose fault it is. Only a backend's counts as an outcome: a client that
   * cuts its upload, or this machine running out of sockets, is no backend's
   * fault. `"none"` is a backend that may have meant it.
   */
  fault: "backend" | "client" | "proxy" | "none";
  /** For the log, in a few words. */
  reason: string;
  /** Status for the client, where its type and fault do not say it. */
  status?: number;
}

/**
 * A backend's answer: its head, and its body as far as it is here. A `Response`
 * is one whose body has not been begun, see {@linkcode Native}.
 */
export interface Answer {
  /** Its status. */
  readonly status: number;
  /** Its fields. */
  readonly headers: Read;
  /** All of the body, or where it comes from, or none. */
  readonly body: Chunk | Reading | null;
  /** Takes the memory of a whole body back, once nothing needs its bytes. */
  readonly reuse?: (() => void) | undefined;
}

/** What can be done with an answer of `fetch` in place of reading its body. */
export interface Native {
  /**
   * Bytes up to which a small answer goes through faster as it is than read
   * whole; `Infinity` if it always does.
   */
  readonly upTo: number;
  /**
   * The declared length of an answer; `NaN` for one whose end shows itself, and
   * nothing for one whose end cannot be known.
   */
  lengthOf(response: Response): number | undefined;
  /** How its body is best read, if not piece by piece as it comes. */
  reading?(
    stream: ReadableStream<Chunk>,
    length: number | undefined,
  ): Reading;
  /**
   * Whether an answer can be handed over without its body being looked at. Asked
   * of a backend whose bodies are trusted; none means always.
   */
  handsOver?(response: Response): boolean;
  /**
   * Takes the fields that concern one connection out of an answer in place, and
   * says whether it may go out as it is then. What needs more than that (a
   * `Location`, an unusual `Connection`, a cookie of a backend with this base
   * path) is left untouched, and copied.
   */
  strip?(response: Response, basePath: string): boolean;
}

/** What a probe says, where that is not what it usually says. */
export interface ProbeOptions {
  /** What `Host` says in place of the backend's own. */
  readonly host?: string | undefined;
  /** The method. @default {"GET"} */
  readonly method?: string | undefined;
  /** Further fields, in lower case; they go before a probe's own. */
  readonly fields?: Fields | undefined;
}

/** Fields of a probe: its own, and those that it is told. */
export function probeFields(
  own: Fields,
  { fields = [] }: ProbeOptions,
): Fields {
  const told = new Set(fields.map(([name]) => name));
  return [...own.filter(([name]) => !told.has(name)), ...fields];
}

/** The connections to one backend. */
export interface Connections {
  /** Those that carry a request. */
  readonly busy: number;
  /** Those that are open and carry none. */
  readonly idle: number;
}

/** How requests get to backends. */
export interface Transport {
  /** What can be done with its answers, if they are those of `fetch`. */
  readonly native?: Native;
  /** Whether fields that need few changes are better copied than taken apart. */
  readonly copiesFields?: boolean;
  /** Whether this method is sent as it is. Asked of uncommon ones only. */
  sendsMethod(method: string): boolean;
  /** Whether one more request to this backend would have to wait its turn. */
  full?(backend: Backend): boolean;
  /** Makes one attempt; resolves with the response header. */
  send(outgoing: Outgoing): Promise<Response | Answer>;
  /** Says what an error of {@linkcode send} means. */
  classify(error: unknown): Failure;
  /**
   * Starts what the runtime otherwise starts with its first request, when there
   * may be nothing left to start it with.
   */
  warm?(): void;
  /** Asks a backend for its health, on a connection of its own. */
  probe(
    backend: Backend,
    path: string,
    signal: AbortSignal,
    options?: ProbeOptions,
  ): Promise<ProbeResult>;
  /**
   * Opens a connection to a backend, for bytes; it is paused. `limitMs` is for
   * all of it, TLS handshake included.
   */
  dial(
    backend: Backend,
    signal: AbortSignal,
    limitMs: number,
  ): Promise<Socket>;
  /** Says what an error of {@linkcode dial} means. */
  undialled(error: unknown): Failure;
  /** The connections to a backend; only a transport that opens them knows. */
  connections?(backend: Backend): Connections;
  /** Ends what it keeps for a backend that has left the pool. */
  forget?(backend: Backend): void;
  /** Ends what the transport holds. */
  close(): void;
}

/** A transport over a runtime's `fetch`. */
export interface FetchTransport extends Transport {
  readonly native: Native;
  send(outgoing: Outgoing): Promise<Response>;
  /** The fields, with what keeps `fetch` from adding its own and from decoding. */
  forFetch(fields: Fields): Fields;
}

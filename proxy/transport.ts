/**
 * The interface to a transport, which sends requests to backends. `runtime/`
 * has the implementations; tests pass their own.
 *
 * @module
 */

import type { Backend } from "../balancer.ts";
import type { ProbeResult } from "../health.ts";
import type { Abort } from "../http/signal.ts";
import type { Chunk, Reading } from "./body.ts";
import type { ErrorType } from "./errors.ts";
import type { Fields, Read } from "./fields.ts";
import type { Socket } from "./socket.ts";

/** A request body from the client. */
export type Payload = {
  /**
   * Its bytes from the start. Call either this or {@linkcode reading}, once.
   */
  stream(): ReadableStream<Chunk>;
  /**
   * The same, chunk by chunk. With `keeps` false, what was read is not kept for
   * another attempt.
   */
  reading(keeps?: boolean): Reading;
  /** The declared length, if there is one. */
  readonly length: number | undefined;
} | undefined;

/** One attempt, ready to be sent. */
export interface Outgoing {
  /** Its backend. */
  backend: Backend;
  /** Scheme, authority, path and query. */
  url: string;
  /** The method as sent by the client. */
  method: string;
  /** Field lines, without `content-length`. */
  fields: Fields;
  /** The fields as a copy of the client's, instead of {@linkcode fields}. */
  copied?: Headers | undefined;
  /** The body, if there is one. */
  payload: Payload;
  /** A small body, completely read, instead of {@linkcode payload}. */
  whole?: Chunk | undefined;
  /** Whether a length of 0 was declared. */
  empty?: boolean;
  /** Whether the backend must not receive it twice under any circumstances. */
  once: boolean;
  /** Whether it needs its own connection, which ends with it. */
  alone?: boolean;
  /** Aborts the attempt. */
  abort: Abort;
}

/** A failed attempt, classified. */
export interface Failure {
  /** Type for `Proxy-Status`, the most specific that is certain. */
  type: ErrorType;
  /** Whether any part of the request may have reached the backend. */
  sent: boolean;
  /**
   * The side at fault. Only a backend's fault is a bad outcome, not a client
   * that aborts its upload, nor this machine running out of sockets. `"none"`:
   * the backend may have intended it.
   */
  fault: "backend" | "client" | "proxy" | "none";
  /** The reason for the log, in a few words. */
  reason: string;
  /** Status for the client, if it does not follow from type and fault. */
  status?: number;
}

/**
 * A backend's response: its head, and its body as far as it was read. A
 * `Response` is one whose body is unread, see {@linkcode Native}.
 */
export interface Answer {
  /** Its status. */
  readonly status: number;
  /** Its header fields. */
  readonly headers: Read;
  /** The complete body, or its source, or none. */
  readonly body: Chunk | Reading | null;
  /** Takes back the memory of a complete body that is no longer used. */
  readonly reuse?: (() => void) | undefined;
}

/** What can be done with a response of `fetch` instead of reading its body. */
export interface Native {
  /**
   * Small responses up to this many bytes are faster passed through than read;
   * `Infinity` if all are.
   */
  readonly upTo: number;
  /**
   * The declared length of a response; `NaN` if its end is marked otherwise,
   * and `undefined` if its end cannot be known.
   */
  lengthOf(response: Response): number | undefined;
  /** Reads its body, if there is a better way than chunk by chunk. */
  reading?(
    stream: ReadableStream<Chunk>,
    length: number | undefined,
  ): Reading;
  /**
   * Whether a response can be passed through without reading its body. Called
   * for proven backends; absent means always.
   */
  canPassThrough?(response: Response): boolean;
  /**
   * Removes the fields of one connection from a response in place; returns
   * whether it can be passed through then. A response that needs more (a
   * `Location`, an unusual `Connection`, a cookie of a backend with this base
   * path) is left unchanged, to be copied.
   */
  strip?(response: Response, basePath: string): boolean;
}

/** Deviations of a probe from the default. */
export interface ProbeOptions {
  /** `Host` instead of the backend's own. */
  readonly host?: string | undefined;
  /** The method. @default {"GET"} */
  readonly method?: string | undefined;
  /** Further fields, in lower case; they replace a probe's own. */
  readonly fields?: Fields | undefined;
}

/** The fields of a probe: its own, and the configured ones. */
export function probeFields(
  own: Fields,
  { fields = [] }: ProbeOptions,
): Fields {
  const configured = new Set(fields.map(([name]) => name));
  return [...own.filter(([name]) => !configured.has(name)), ...fields];
}

/** The connections to one backend. */
export interface Connections {
  /** Connections with a request. */
  readonly busy: number;
  /** Open connections without one. */
  readonly idle: number;
}

/** Sends requests to backends. */
export interface Transport {
  /** Operations on its responses, if they are those of `fetch`. */
  readonly native?: Native;
  /** Whether copying and editing `Headers` is faster than building them. */
  readonly copiesFields?: boolean;
  /** Whether it sends this method unchanged. Called for uncommon ones only. */
  sendsMethod(method: string): boolean;
  /** Whether a further request to this backend would have to wait. */
  full?(backend: Backend): boolean;
  /** Makes one attempt; resolves with the response header. */
  send(outgoing: Outgoing): Promise<Response | Answer>;
  /** Classifies an error of {@linkcode send}. */
  classify(error: unknown): Failure;
  /**
   * Starts what the runtime otherwise starts at its first request, when
   * resources may have run out.
   */
  warm?(): void;
  /** Probes a backend, on a connection of its own. */
  probe(
    backend: Backend,
    path: string,
    signal: AbortSignal,
    options?: ProbeOptions,
  ): Promise<ProbeResult>;
  /**
   * Opens a byte connection to a backend; it is paused. `limitMs` includes the
   * TLS handshake.
   */
  dial(
    backend: Backend,
    signal: AbortSignal,
    limitMs: number,
  ): Promise<Socket>;
  /** Classifies an error of {@linkcode dial}. */
  classifyDial(error: unknown): Failure;
  /** The connections to a backend, if the transport opens them itself. */
  connections?(backend: Backend): Connections;
  /** Releases what it keeps for a backend that has left the pool. */
  forget?(backend: Backend): void;
  /** Releases all resources. */
  close(): void;
}

/** A transport over a runtime's `fetch`. */
export interface FetchTransport extends Transport {
  readonly native: Native;
  send(outgoing: Outgoing): Promise<Response>;
  /** Adds fields that keep `fetch` from adding its own and from decoding. */
  forFetch(fields: Fields): Fields;
}

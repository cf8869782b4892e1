/**
 * What the request's way needs of a runtime, as types alone: `runtime/` has one
 * implementation for Deno and one for Bun, and tests pass their own.
 *
 * @module
 */

import type { Backend } from "../balancer.ts";
import type { ProbeResult } from "../health.ts";
import type { Chunk, Reading } from "./body.ts";
import type { ErrorType } from "./errors.ts";
import type { Fields, Read } from "./headers.ts";
import type { Acceptance, ClientEvents, Socket } from "./socket.ts";

/** A request body, on its way from the client. */
export type Payload = {
  /** Its bytes. */
  readonly stream: ReadableStream<Chunk>;
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
}

/** What a runtime does for the proxy. */
export interface Transport {
  /**
   * Whether it is only heard that a client has given up a request of HTTP/2 if
   * that is listened for from the request's beginning.
   */
  readonly losesResets?: boolean;
  /**
   * Bytes up to which an answer of declared length that has to be looked at is
   * better read whole than piece by piece.
   */
  readonly wholeUpTo: number;
  /**
   * Bytes up to which a small answer goes through faster natively than read
   * whole; `Infinity` if it always does.
   */
  readonly nativeUpTo: number;
  /** Whether fields that need few changes are better copied than taken apart. */
  readonly copiesFields?: boolean;
  /**
   * Whether an answer can be handed over without its body being looked at. Asked
   * of a backend whose bodies are trusted; none means always.
   */
  handsOver?(response: Response): boolean;
  /**
   * The fields of a request, where the runtime has them in a form that is read
   * for less than its `Headers`.
   */
  read?(request: Request): Read | undefined;
  /**
   * All of a request's body, if these are as many bytes as are here already.
   * They are taken: the request's own stream is as good as read then.
   */
  whole?(request: Request, length: number): Chunk | undefined;
  /**
   * How a body of declared length is best read, if not piece by piece as it
   * comes: an upload, or an answer.
   */
  reading?(
    stream: ReadableStream<Chunk>,
    length: number | undefined,
    upload: boolean,
  ): Reading;
  /**
   * The declared length of an answer; `NaN` for one whose end shows itself, and
   * nothing for one whose end cannot be known.
   */
  lengthOf(response: Response): number | undefined;
  /** The fields, with what keeps `fetch` from adding its own and from decoding. */
  forFetch(fields: Fields): Fields;
  /** Whether `fetch` sends this method as it is. Asked of uncommon ones only. */
  sendsMethod(method: string): boolean;
  /**
   * Whether a request's URL is scheme, `Host` and target pasted together, or the
   * target itself in absolute form, as this runtime's server makes it.
   */
  pastesUrl?(connection: unknown): boolean;
  /**
   * Address of a request's peer, if it came from this runtime's server; `null` if
   * it did and the address is not known any more, since the client has left.
   */
  peerOf(request: Request, connection: unknown): string | null | undefined;
  /** The scheme that this runtime's server speaks, where it can be asked. */
  schemeOf?(connection: unknown): string | undefined;
  /** Whether one more request to this backend would have to wait its turn. */
  full?(backend: Backend): boolean;
  /** Makes one attempt; resolves with the response header. */
  send(outgoing: Outgoing): Promise<Response>;
  /** Says what an error of {@linkcode send} means. */
  classify(error: unknown): Failure;
  /** Whether a client's own leaving explains an error of {@linkcode send}. */
  left?(request: Request): boolean;
  /**
   * Takes the fields that concern one connection out of an answer in place, and
   * says whether it may go out as it is then. What needs more than that (a
   * `Location`, an unusual `Connection`, a cookie of a backend with this base
   * path) is left untouched, and copied.
   */
  strip?(response: Response, basePath: string): boolean;
  /**
   * Makes the answer to a client: `body` in place of the backend's, which stays
   * if it is `undefined`, and `fields` in place of the backend's, likewise.
   */
  respond(
    response: Response,
    fields: Fields | undefined,
    body: Chunk | ReadableStream<Chunk> | null | undefined,
    head: boolean,
  ): Response;
  /**
   * Starts what the runtime otherwise starts with its first request, when there
   * may be nothing left to start it with.
   */
  warm?(): void;
  /** Says that a request will take long, so that no idle limit may cut it. */
  unhurried?(request: Request, connection: unknown): void;
  /** Names a client's connection, if several requests at once may come on it. */
  connectionOf?(connection: unknown): string | undefined;
  /** Ends the connection of a client that takes nothing, where it can. */
  release?(request: Request, connection: unknown): void;
  /**
   * Asks a backend for its health, on a connection of its own; `host` is what
   * `Host` says in place of the backend's own.
   */
  probe(
    backend: Backend,
    path: string,
    signal: AbortSignal,
    host?: string,
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
  /**
   * Whether a request's client is still there, for a runtime whose server takes
   * back nothing of an upgrade that its client is not there for.
   */
  present?(request: Request): Promise<boolean>;
  /**
   * Makes a WebSocket of a request; what it returns has to be answered with.
   *
   * @throws If the request does not come from a server that can do it.
   */
  accept(
    request: Request,
    connection: unknown,
    acceptance: Acceptance,
    events: ClientEvents,
  ): Response;
  /** Ends what the transport holds. */
  close(): void;
}

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
   * cuts its upload, or this machine running out of sockets, blames nobody.
   */
  fault: "backend" | "client" | "proxy";
  /** For the log, in a few words. */
  reason: string;
  /** Status for the client, where its type and fault do not say it. */
  status?: number;
}

/** What a runtime does for the proxy. */
export interface Transport {
  /**
   * Whether a client's stream can be given to `fetch` again after a refused
   * connection, because nothing is read from it before the connection stands.
   */
  readonly survivesRefusal: boolean;
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
  /**
   * Bytes up to which an upload of declared length is better read whole before
   * it is sent on; none where it never is.
   */
  readonly wholeUploadUpTo?: number;
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
  /** Address of a request's peer, if it came from this runtime's server. */
  peerOf(request: Request, connection: unknown): string | undefined;
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
   * `Location`, an unusual `Connection`) is left untouched, and copied.
   */
  strip?(response: Response): boolean;
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
   * An answer of our own that closes its connection and may come before its
   * request has ended, made so that its client gets it; none leaves it as it is.
   */
  parting?(
    request: Request,
    connection: unknown,
    response: Response,
  ): Response;
  /**
   * Has `ended` called when an answer has left or was cut, if the runtime can
   * tell without its body being read here.
   */
  watch(connection: unknown, ended: () => void): boolean;
  /** Whether such an answer is over, for a runtime that has to be asked. */
  gone?(request: Request, connection: unknown): boolean;
  /** Says that a request will take long, so that no idle limit may cut it. */
  unhurried?(request: Request, connection: unknown): void;
  /** Asks a backend for its health, on a connection of its own. */
  probe(
    backend: Backend,
    path: string,
    signal: AbortSignal,
  ): Promise<ProbeResult>;
  /** Opens a connection to a backend, for bytes; it is paused. */
  dial(backend: Backend, signal: AbortSignal): Promise<Socket>;
  /** Says what an error of {@linkcode dial} means. */
  undialled(error: unknown): Failure;
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

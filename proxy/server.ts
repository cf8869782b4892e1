/**
 * What the request's way needs of a runtime's server, as types alone: `runtime/`
 * has one implementation for each runtime, and tests pass their own.
 *
 * @module
 */

import type { Chunk, Reading } from "./body.ts";
import type { Fields, Read } from "./fields.ts";
import type { Acceptance, ClientEvents } from "./socket.ts";

/** A runtime's server, as far as a handler sees it. */
export interface Server {
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
  /** Whether {@linkcode respond} copies a body that is given as bytes. */
  readonly copiesBodies?: boolean;
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
  /** How an upload is best read, if not piece by piece as it comes. */
  reading?(stream: ReadableStream<Chunk>, length: number | undefined): Reading;
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
  /** Whether a client's own leaving explains that an attempt has failed. */
  left?(request: Request): boolean;
  /** Makes the answer to a client. The fields are the callee's from then on. */
  respond(
    status: number,
    fields: Fields,
    body: Chunk | ReadableStream<Chunk> | null,
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
  /** Says that a request will take long, so that no idle limit may cut it. */
  unhurried?(request: Request, connection: unknown): void;
  /** Names a client's connection, if several requests at once may come on it. */
  connectionOf?(connection: unknown): string | undefined;
  /** Ends the connection of a client that takes nothing, where it can. */
  release?(request: Request, connection: unknown): void;
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
}

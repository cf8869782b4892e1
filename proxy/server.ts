/**
 * The interface to a runtime's server. `runtime/` has an implementation for
 * each runtime; tests pass their own.
 *
 * @module
 */

import type { Chunk, Reading } from "./body.ts";
import type { Fields, Read } from "./fields.ts";
import type { Acceptance, ClientEvents } from "./socket.ts";

/** A runtime's server, as seen by a handler. */
export interface Server {
  /**
   * Whether the reset of an HTTP/2 request is only noticed if the listener is
   * added when the request arrives.
   */
  readonly losesResets?: boolean;
  /** Whether it lets a field through that holds the byte DEL. */
  readonly admitsDelete?: boolean;
  /**
   * Responses of declared length that must be read are read as a whole up to
   * this many bytes.
   */
  readonly wholeUpTo: number;
  /** Whether {@linkcode respond} copies a body that is given as bytes. */
  readonly copiesBodies?: boolean;
  /**
   * Whether it has a reference of its own to a chunk of a stream when it asks
   * for the next one, so that the chunk's `ArrayBuffer` may be detached.
   */
  readonly refersToChunks?: boolean;
  /**
   * The header fields of a request, if the runtime has a form that is faster to
   * read than `Headers`. `logged`: the request's own `Headers` will be read after
   * it has ended.
   */
  read?(request: Request, logged: boolean): Read | undefined;
  /**
   * The complete request body, if exactly this many bytes have arrived: now, or
   * by the next turn of the event loop. The request's own stream is consumed
   * then; it may be read only if the result is `undefined`.
   */
  whole?(
    request: Request,
    length: number,
  ): Chunk | undefined | Promise<Chunk | undefined>;
  /** Reads an upload, if there is a better way than chunk by chunk. */
  reading?(stream: ReadableStream<Chunk>, length: number | undefined): Reading;
  /**
   * Whether a request's URL is scheme, `Host` and target pasted together, or
   * the target itself in absolute form, as this runtime's server makes it.
   */
  pastesUrl?(connection: unknown): boolean;
  /**
   * Address of a request's peer, if it came from this runtime's server; `null`
   * if the client has disconnected and the address is no longer known.
   */
  peerOf(request: Request, connection: unknown): string | null | undefined;
  /** The scheme of this runtime's server, if it can tell. */
  schemeOf?(connection: unknown): string | undefined;
  /** Whether an attempt failed because the client has disconnected. */
  clientGone?(request: Request): boolean;
  /** Makes the response to a client; takes ownership of the fields. */
  respond(
    status: number,
    fields: Fields,
    body: Chunk | ReadableStream<Chunk> | null,
    head: boolean,
  ): Response;
  /**
   * Prepares a response of our own that closes its connection and may come
   * before the request has ended, so that the client receives it.
   */
  closingResponse?(
    request: Request,
    connection: unknown,
    response: Response,
  ): Response;
  /** Disables the idle limit of a long-running request's connection. */
  keepOpen?(request: Request, connection: unknown): void;
  /** Identifies a client's connection, if requests can share it. */
  connectionOf?(connection: unknown): string | undefined;
  /** Cuts the connection of a client that reads nothing, if possible. */
  release?(request: Request, connection: unknown): void;
  /**
   * Whether a request's client is still connected, for a runtime whose server
   * cannot undo an upgrade without a client.
   */
  clientPresent?(request: Request): Promise<boolean>;
  /**
   * Upgrades a request to a WebSocket; the result must be returned to the
   * server.
   *
   * @throws If the request is not from a server that can upgrade it.
   */
  accept(
    request: Request,
    connection: unknown,
    acceptance: Acceptance,
    events: ClientEvents,
  ): Response;
}

/**
 * The client's side of a WebSocket, as its runtime's server provides it: types
 * only. The backend's side is a byte connection.
 *
 * @module
 */

import type { Chunk } from "../http/bytes.ts";
import type { Fields } from "./headers.ts";

export type { Socket, SocketEvents } from "../http/socket.ts";

/** A client's WebSocket. */
export interface ClientEnd {
  /** Bytes sent and still buffered. */
  readonly queued: number;
  /**
   * Sends a message. Returns whether there is room for more; if not, `drained`
   * is called when there is.
   */
  send(data: string | Chunk): boolean;
  /** Sends a close frame after all messages, with or without a code. */
  close(code: number | undefined, reason: string): void;
  /** Ends it without a close frame; with 1014 if that is not possible. */
  cut(): void;
  /** Pauses reading, if the runtime can. */
  pause?(): void;
  /** Resumes reading. */
  resume?(): void;
}

/** Receives the events of a {@linkcode ClientEnd}. */
export interface ClientEvents {
  /** The 101 was sent, and messages may follow. The first event. */
  opened(end: ClientEnd): void;
  /** A message was received. */
  message(data: string | Chunk): void;
  /** There is room again. */
  drained(): void;
  /** It has ended; code 1005 if there was none, 1006 without a close frame. */
  closed(code: number, reason: string): void;
}

/** What the client's 101 contains. */
export interface Acceptance {
  /** The subprotocol chosen by the backend. */
  protocol: string | undefined;
  /** Further fields. */
  fields: Fields;
}

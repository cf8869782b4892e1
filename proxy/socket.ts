/**
 * What the WebSocket bridge needs of a client's end, as types alone: a WebSocket
 * as its runtime's server has it. The backend's end is a connection as bytes.
 *
 * @module
 */

import type { Chunk } from "../http/bytes.ts";
import type { Fields } from "./headers.ts";

export type { Socket, SocketEvents } from "../http/socket.ts";

/** A client's WebSocket. */
export interface ClientEnd {
  /** Bytes that were sent and have not left. */
  readonly queued: number;
  /**
   * Sends a message. Says whether there is room for more; when there is not,
   * `drained` tells of it.
   */
  send(data: string | Chunk): boolean;
  /** Sends a close frame, after all messages; without a code if there is none. */
  close(code: number | undefined, reason: string): void;
  /** Ends it without a close frame, or, where that cannot be, with 1014. */
  cut(): void;
  /** Reads no more, where the runtime can. */
  pause?(): void;
  /** Goes on reading. */
  resume?(): void;
}

/** Hears what happens on a {@linkcode ClientEnd}. */
export interface ClientEvents {
  /** The 101 is out, and messages may be sent. Before all other events. */
  opened(end: ClientEnd): void;
  /** A message came. */
  message(data: string | Chunk): void;
  /** There is room again. */
  drained(): void;
  /** It is over. The code is 1005 if none was said and 1006 if it broke. */
  closed(code: number, reason: string): void;
}

/** What a client is told in the 101. */
export interface Acceptance {
  /** The subprotocol that the backend has chosen. */
  protocol: string | undefined;
  /** Further fields. */
  fields: Fields;
}

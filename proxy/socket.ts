/**
 * What the WebSocket bridge needs of its two ends, as types alone: a connection
 * to a backend as bytes, and a client's WebSocket as its runtime's server has it.
 *
 * @module
 */

import type { Chunk } from "./body.ts";
import type { Fields } from "./headers.ts";

/** Hears what happens on a {@linkcode Socket}. */
export interface SocketEvents {
  /** Bytes came. */
  data(bytes: Chunk): void;
  /** The peer has ended it, or it broke. Once; nothing comes after it. */
  ended(error?: Error): void;
  /** All that was written has left. */
  drained(): void;
}

/** A connection to a backend. It is paused until somebody listens and resumes. */
export interface Socket {
  /** Bytes that were written and have not left. */
  readonly queued: number;
  /** Says who hears of it from now on. */
  listen(events: SocketEvents): void;
  /** Sends bytes, after those that were written before. */
  write(bytes: Chunk): void;
  /** Reads no more until {@linkcode resume}, so that the peer has to wait. */
  pause(): void;
  /** Goes on reading. */
  resume(): void;
  /** Ends it after what was written; what still comes is read. */
  end(): void;
  /** Ends it at once. */
  destroy(): void;
}

/** A client's WebSocket. */
export interface ClientEnd {
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

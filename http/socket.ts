/**
 * A connection as bytes, as a type alone: what reads and writes HTTP is handed
 * one, and knows neither the runtime nor what carries it.
 *
 * @module
 */

import type { Chunk } from "./bytes.ts";

/** Takes what happens on a {@linkcode Socket}. */
export interface SocketEvents {
  /**
   * Bytes came. Gives `true` if nothing of them is kept, so that they may be
   * overwritten; otherwise they are the listener's.
   */
  data(bytes: Chunk): boolean | void;
  /**
   * Where the next bytes should be put, for a socket that is asked for them; it
   * has room of its own for a few.
   */
  room?(): Chunk | undefined;
  /**
   * The peer has ended it, or, with an error, it broke. Once; nothing comes
   * after it.
   */
  ended(error?: Error): void;
  /** All that was written has left. */
  drained(): void;
}

/** A connection to a backend. It is paused until it has a listener and resumes. */
export interface Socket {
  /** Bytes that were written and have not left. */
  readonly queued: number;
  /** Sets what takes its events from now on. */
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

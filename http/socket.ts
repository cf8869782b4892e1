/**
 * The interface to a byte connection. The HTTP code knows neither the runtime
 * nor the transport below it.
 *
 * @module
 */

import type { Chunk } from "./bytes.ts";

/** Receives the events of a {@linkcode Socket}. */
export interface SocketEvents {
  /**
   * Bytes have arrived. Returns `true` if they were consumed, so that their
   * memory can be reused; otherwise the listener keeps them.
   */
  data(bytes: Chunk): boolean | void;
  /**
   * Where the next bytes should be written, for a socket that asks; otherwise
   * it uses a small buffer of its own.
   */
  room?(): Chunk | undefined;
  /**
   * The peer has ended the connection; with an error, it has failed. The last
   * event.
   */
  ended(error?: Error): void;
  /** All written bytes were sent. */
  drained(): void;
}

/** A connection to a backend. Paused until it has a listener and is resumed. */
export interface Socket {
  /** Bytes written but not sent. */
  readonly queued: number;
  /** Sets the receiver of its events. */
  listen(events: SocketEvents): void;
  /** Sends bytes, in order. */
  write(bytes: Chunk): void;
  /** Stops reading until {@linkcode resume}: backpressure for the peer. */
  pause(): void;
  /** Resumes reading. */
  resume(): void;
  /** Closes the writing side after all written bytes; reading continues. */
  end(): void;
  /** Closes it at once. */
  destroy(): void;
}

/** A socket that counts the bytes that were sent. */
export interface CountingSocket extends Socket {
  /**
   * Bytes that were sent or may have been: taken by the kernel, or passed to it
   * right now.
   */
  readonly left: number;
  /** Unread bytes up to which reading on is cheaper than pausing. */
  readonly ahead: number;
}

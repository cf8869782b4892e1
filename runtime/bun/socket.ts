/**
 * Bun's connections, for the client and the bridge.
 *
 * Bun delivers each chunk in its own memory, reads up to 512 KB at a time, and
 * returns at once how much of a write was sent. Measured on 1.4.5.
 *
 * @module
 */

import type { Chunk } from "../../http/bytes.ts";
import type { CountingSocket, SocketEvents } from "../../http/socket.ts";

/** The part of Bun's socket that is used. */
export interface RawSocket {
  data: BunSocket;
  /** Number of bytes sent; negative once it is closed. */
  write(bytes: Chunk): number;
  pause(): void;
  resume(): void;
  shutdown(): void;
  terminate(): void;
}

/** One connection. */
export class BunSocket implements CountingSocket {
  // Pausing and resuming is a system call each.
  readonly ahead = 256 * 1024;
  readonly #raw: RawSocket;
  #events: SocketEvents | undefined;
  #waiting: Chunk[] = [];
  #queued = 0;
  #left = 0;
  #paused = false;
  #closed = false;
  #ends = false;
  /** The error after which nothing is written. */
  #unwritable: Error | undefined;
  #ended: { error: Error | undefined } | undefined;

  /** Bytes that came before there was a listener. */
  #early: Chunk[] = [];

  /** Takes over a new connection. */
  constructor(raw: RawSocket) {
    this.#raw = raw;
  }

  get queued(): number {
    return this.#queued;
  }

  get left(): number {
    return this.#left;
  }

  listen(events: SocketEvents): void {
    this.#events = events;
    if (this.#ended !== undefined && this.#early.length === 0) {
      events.ended(this.#ended.error);
    }
  }

  write(bytes: Chunk): void {
    if (this.#closed || this.#unwritable !== undefined) return;
    this.#queued += bytes.length;
    if (this.#waiting.length > 0) this.#waiting.push(bytes);
    else this.#send(bytes);
  }

  pause(): void {
    if (this.#paused || this.#closed) return;
    this.#paused = true;
    this.#raw.pause();
  }

  resume(): void {
    if (this.#early.length > 0) this.#giveEarly();
    if (!this.#paused || this.#closed) return;
    this.#paused = false;
    this.#raw.resume();
  }

  end(): void {
    this.#ends = true;
    if (this.#queued === 0 && !this.#closed) this.#raw.shutdown();
  }

  destroy(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#events = undefined;
    this.#waiting = [];
    this.#raw.terminate();
  }

  /** Bytes have arrived. */
  received(bytes: Chunk): void {
    if (this.#events !== undefined && this.#early.length === 0) {
      this.#events.data(bytes);
    } else if (!this.#closed) {
      this.#early.push(bytes);
      this.pause();
    }
  }

  /** It accepts more bytes. */
  drained(): void {
    while (this.#waiting.length > 0) {
      if (!this.#send(this.#waiting.shift()!, true)) return;
    }
    if (this.#closed || this.#unwritable !== undefined) return;
    if (this.#ends) this.#raw.shutdown();
    this.#events?.drained();
  }

  /** It has ended. */
  over(error: Error | undefined): void {
    if (this.#ended !== undefined) return;
    // The kernel reports a reset once: after a failed write, a read sees a
    // regular end, which would make a truncated body look complete.
    this.#ended = { error: error ?? this.#unwritable };
    if (this.#closed || this.#early.length > 0) return;
    this.#events?.ended(this.#ended.error);
  }

  #giveEarly(): void {
    const early = this.#early;
    this.#early = [];
    for (const bytes of early) this.#events?.data(bytes);
    if (this.#ended !== undefined) this.#events?.ended(this.#ended.error);
  }

  /** Writes what is accepted, and queues the rest; true if all was sent. */
  #send(bytes: Chunk, first = false): boolean {
    const size = this.#raw.write(bytes);
    if (size < 0) {
      // A response may explain it; if there is none, the next read fails.
      this.#unwritable = new Error("Cannot write: the connection was closed");
      this.#waiting = [];
      return false;
    }
    this.#left += size;
    this.#queued -= size;
    if (size === bytes.length) return true;
    const rest = bytes.subarray(size) as Chunk;
    if (first) this.#waiting.unshift(rest);
    else this.#waiting.push(rest);
    return false;
  }
}

/** Passes the events of `Bun.connect` to the socket that they are for. */
export const handlers = {
  data(raw: RawSocket, bytes: Chunk): void {
    raw.data.received(bytes);
  },
  drain(raw: RawSocket): void {
    raw.data.drained();
  },
  end(raw: RawSocket): void {
    raw.data.over(undefined);
  },
  close(raw: RawSocket, error?: Error): void {
    raw.data.over(error);
  },
  error(raw: RawSocket, error: Error): void {
    raw.data.over(error);
  },
};

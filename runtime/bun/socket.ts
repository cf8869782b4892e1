/**
 * Bun's connections as the client and the bridge see them.
 *
 * Bun hands over each piece in memory of its own, reads up to 512 KB at a time,
 * and says at once how much of what is written has left. Measured on 1.4.5.
 *
 * @module
 */

import type { Chunk } from "../../http/bytes.ts";
import type { CountingSocket } from "../../http/connection.ts";
import type { SocketEvents } from "../../http/socket.ts";

/** What is used of a socket of `Bun.connect`. */
export interface RawSocket {
  data: BunSocket;
  /** Bytes that it has taken; negative once it is closed. */
  write(bytes: Chunk): number;
  pause(): void;
  resume(): void;
  shutdown(): void;
  terminate(): void;
}

/** One connection. */
export class BunSocket implements CountingSocket {
  // To pause and to resume are a system call each.
  readonly ahead = 256 * 1024;
  readonly #raw: RawSocket;
  #events: SocketEvents | undefined;
  #waiting: Chunk[] = [];
  #queued = 0;
  #left = 0;
  #paused = false;
  #closed = false;
  #ends = false;
  /** Why nothing is written any more. */
  #unwritable: Error | undefined;
  #ended: { error: Error | undefined } | undefined;

  /** What came before there was a listener. */
  #early: Chunk[] = [];

  /** Takes over a connection that has just been made. */
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

  /** Bytes came. */
  came(bytes: Chunk): void {
    if (this.#events !== undefined && this.#early.length === 0) {
      this.#events.data(bytes);
    } else if (!this.#closed) {
      this.#early.push(bytes);
      this.pause();
    }
  }

  /** It takes more. */
  drained(): void {
    while (this.#waiting.length > 0) {
      if (!this.#send(this.#waiting.shift()!, true)) return;
    }
    if (this.#closed || this.#unwritable !== undefined) return;
    if (this.#ends) this.#raw.shutdown();
    this.#events?.drained();
  }

  /** It is over. */
  over(error: Error | undefined): void {
    if (this.#ended !== undefined) return;
    // The kernel says once that a connection was reset: having told a write, it
    // shows a read a proper end, which would make a cut body look whole.
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

  /** Writes what it takes, and keeps the rest; says whether all has left. */
  #send(bytes: Chunk, first = false): boolean {
    const size = this.#raw.write(bytes);
    if (size < 0) {
      // An answer may be here that says why; if there is none, to read tells.
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

/** What `Bun.connect` tells, handed to the socket that it is about. */
export const handlers = {
  data(raw: RawSocket, bytes: Chunk): void {
    raw.data.came(bytes);
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

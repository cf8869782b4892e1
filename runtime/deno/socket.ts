/**
 * Deno's connections, for the client and the bridge.
 *
 * Each read and write is one call, which mostly completes at once: 5.9 µs for a
 * small request and its response (1.4 of them outside the kernel), measured on
 * 2.9.6; `node:net` takes twice as long.
 *
 * @module
 */

import type { Chunk } from "../../http/bytes.ts";
import type { CountingSocket, SocketEvents } from "../../http/socket.ts";

/**
 * Size of the buffer that a connection keeps for heads and small responses. A
 * new one for each read would cost 3 µs.
 */
const OWN_ROOM = 4 * 1024;

/** One connection. */
export class DenoSocket implements CountingSocket {
  // Pausing costs nothing, so nothing is read ahead.
  readonly ahead = 1;
  readonly #connection: Deno.Conn;
  #events: SocketEvents | undefined;
  #room: Chunk | undefined;
  #paused = true;
  #reading = false;
  #closed = false;
  /** The current write, and the next ones. */
  #writing: Chunk | undefined;
  readonly #waiting: Chunk[] = [];
  #queued = 0;
  #left = 0;
  /** The error after which nothing is written. */
  #unwritable: Error | undefined;
  #ends = false;
  #ended: { error: Error | undefined } | undefined;

  /** Takes over a connection. */
  constructor(connection: Deno.Conn) {
    this.#connection = connection;
  }

  get queued(): number {
    return this.#queued;
  }

  get left(): number {
    return this.#left;
  }

  listen(events: SocketEvents): void {
    this.#events = events;
    if (this.#ended !== undefined) events.ended(this.#ended.error);
  }

  write(bytes: Chunk): void {
    if (this.#closed || this.#unwritable !== undefined || bytes.length === 0) {
      return;
    }
    this.#queued += bytes.length;
    if (this.#writing === undefined) this.#send(bytes);
    else this.#waiting.push(bytes);
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    if (!this.#reading && !this.#closed) this.#read();
  }

  end(): void {
    this.#ends = true;
    if (this.#writing === undefined) this.#endNow();
  }

  destroy(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#events = undefined;
    this.#waiting.length = 0;
    try {
      this.#connection.close();
    } catch {
      // The runtime has closed it.
    }
  }

  #read(): void {
    const room = this.#events?.room?.() ??
      (this.#room ??= new Uint8Array(OWN_ROOM));
    this.#reading = true;
    this.#connection.read(room).then(
      (size) => this.#received(room, size),
      this.#failed,
    );
  }

  #received(room: Chunk, size: number | null): void {
    if (this.#closed) return;
    // The kernel reports a reset once: after a failed write, a read sees a
    // regular end, which would make a truncated body look complete.
    if (size === null) return this.#over(this.#unwritable);
    const bytes = size === room.length ? room : room.subarray(0, size) as Chunk;
    const free = this.#events?.data(bytes) === true;
    if (!free && room === this.#room) this.#room = undefined;
    // Not earlier: the listener may pause and resume at once, and two
    // concurrent reads would return bytes out of order.
    this.#reading = false;
    if (!this.#paused && !this.#closed) this.#read();
  }

  readonly #failed = (error: Error): void => {
    if (!this.#closed) this.#over(error);
  };

  #over(error: Error | undefined): void {
    if (this.#ended !== undefined) return;
    this.#ended = { error };
    this.#events?.ended(error);
  }

  #send(bytes: Chunk): void {
    this.#writing = bytes;
    this.#left += bytes.length;
    this.#connection.write(bytes).then(this.#wrote, this.#unwritten);
  }

  readonly #wrote = (size: number): void => {
    const bytes = this.#writing!;
    this.#queued -= size;
    if (size < bytes.length) {
      this.#left -= bytes.length - size;
      return this.#send(bytes.subarray(size) as Chunk);
    }
    const next = this.#waiting.shift();
    if (next !== undefined) return this.#send(next);
    this.#writing = undefined;
    if (this.#ends) this.#endNow();
    if (!this.#closed) this.#events?.drained();
  };

  /**
   * A failed write does not end the connection: a response may explain it, and
   * if there is none, the next read fails.
   */
  readonly #unwritten = (error: Error): void => {
    this.#unwritable = error;
    this.#left -= this.#writing!.length;
    this.#writing = undefined;
    this.#waiting.length = 0;
  };

  #endNow(): void {
    if (this.#closed) return;
    this.#connection.closeWrite().catch(() => {});
  }
}

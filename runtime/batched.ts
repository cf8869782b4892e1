/**
 * Small writes of one turn as one.
 *
 * A write costs ten times what a small message does, and a client may have sent
 * thousands of those in one piece. Requests leave in one write anyway.
 *
 * @module
 */

import { type Chunk, joined } from "../http/bytes.ts";
import type { Socket, SocketEvents } from "../http/socket.ts";

/** Bytes up to which writes are joined. */
const SMALL = 4 * 1024;

/** A socket whose small writes leave together. */
export class Batched implements Socket {
  readonly #socket: Socket;
  #small: Chunk[] = [];
  #bytes = 0;

  /** Takes over a socket. */
  constructor(socket: Socket) {
    this.#socket = socket;
  }

  get queued(): number {
    return this.#socket.queued + this.#bytes;
  }

  listen(events: SocketEvents): void {
    this.#socket.listen(events);
  }

  write(bytes: Chunk): void {
    if (bytes.length > SMALL) {
      this.#flush();
      this.#socket.write(bytes);
      return;
    }
    if (this.#bytes === 0) queueMicrotask(() => this.#flush());
    this.#small.push(bytes);
    this.#bytes += bytes.length;
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  end(): void {
    this.#flush();
    this.#socket.end();
  }

  destroy(): void {
    this.#flush();
    this.#socket.destroy();
  }

  #flush(): void {
    if (this.#bytes === 0) return;
    const bytes = joined(this.#small);
    this.#small = [];
    this.#bytes = 0;
    this.#socket.write(bytes);
  }
}

/**
 * Joins small writes of one turn of the event loop.
 *
 * A write costs ten times as much as a small message, and a client may have
 * sent thousands of messages in one chunk. Requests are a single write anyway.
 *
 * @module
 */

import type { Backend } from "../balancer.ts";
import { type Chunk, joined } from "../http/bytes.ts";
import type { Socket, SocketEvents } from "../http/socket.ts";
import {
  type ConnectOptions,
  destinationOf,
  type Open,
} from "./destination.ts";

/** Writes up to this size are joined. */
const SMALL = 4 * 1024;

/** Opens a connection to a backend that joins small writes. */
export async function dial(
  open: Open,
  backend: Backend,
  options: ConnectOptions,
): Promise<Socket> {
  return new Batched(await open(destinationOf(backend), options));
}

/** A socket that joins small writes. */
class Batched implements Socket {
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

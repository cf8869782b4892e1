/**
 * A connection to a backend in a test's hands.
 *
 * @module
 */

import { bytesOf, type Chunk, latin1 } from "../http/bytes.ts";
import type { Socket, SocketEvents } from "../http/socket.ts";

/** Behaves as a `node:net` socket does, and records what is done to it. */
export class FakeSocket implements Socket {
  queued = 0;
  paused = true;
  ended = false;
  destroyed = false;
  readonly written: Chunk[] = [];
  /** Called with what is written, for a backend that answers. */
  answer: ((text: string) => void) | undefined;
  #events: SocketEvents | undefined;
  #waiting: Chunk[] = [];
  #over: { error?: Error } | undefined;

  listen(events: SocketEvents): void {
    this.#events = events;
    this.#flow();
  }

  write(bytes: Chunk): void {
    this.written.push(bytes);
    this.answer?.(latin1(bytes));
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
    this.#flow();
  }

  end(): void {
    this.ended = true;
  }

  destroy(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    this.queued = 0;
    this.#waiting = [];
    this.#over = { error: new Error("Cannot read: closed") };
    this.#flow();
  }

  /** Bytes from the backend. */
  receive(bytes: string | Chunk): void {
    this.#waiting.push(typeof bytes === "string" ? bytesOf(bytes) : bytes);
    this.#flow();
  }

  /** The backend ends it. */
  finish(error?: Error): void {
    this.#over = error === undefined ? {} : { error };
    this.#flow();
  }

  drained(): void {
    this.queued = 0;
    this.#events?.drained();
  }

  #flow(): void {
    while (!this.paused && !this.destroyed && this.#waiting.length > 0) {
      this.#events?.data(this.#waiting.shift()!);
    }
    if (this.#over === undefined) return;
    // An end is seen after all bytes before it; a reset is seen at once.
    const { error } = this.#over;
    if (error === undefined && (this.#waiting.length > 0 || this.paused)) {
      return;
    }
    this.#over = undefined;
    this.#events?.ended(error);
  }
}

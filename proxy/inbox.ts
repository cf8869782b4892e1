/**
 * A queue of received messages.
 *
 * @module
 */

import type { Chunk } from "../http/bytes.ts";

/** Bytes added per message, so that empty ones count too. */
const OVERHEAD = 64;

/** A queue of messages; taking one does not move the others. */
export class Inbox {
  #messages: (string | Chunk)[] = [];
  #at = 0;
  #bytes = 0;

  /** Whether it has no messages. */
  get empty(): boolean {
    return this.#at === this.#messages.length;
  }

  /** Bytes of the messages, with overhead. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Appends a message. */
  push(message: string | Chunk): void {
    this.#messages.push(message);
    this.#bytes += message.length + OVERHEAD;
  }

  /** Takes the first message; the queue must not be empty. */
  take(): string | Chunk {
    const message = this.#messages[this.#at]!;
    // Releases the message before the last one is taken.
    this.#messages[this.#at++] = "";
    this.#bytes -= message.length + OVERHEAD;
    if (this.empty) this.clear();
    return message;
  }

  /** Drops all messages. */
  clear(): void {
    this.#messages = [];
    this.#at = this.#bytes = 0;
  }
}

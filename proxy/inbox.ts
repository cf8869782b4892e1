/**
 * Messages that have come and wait for their turn.
 *
 * @module
 */

import type { Chunk } from "../http/bytes.ts";

/** Bytes that a message counts for beside its own, so that empty ones count. */
const EACH = 64;

/** A queue of messages; what is taken from it does not move the rest. */
export class Inbox {
  #messages: (string | Chunk)[] = [];
  #at = 0;
  #bytes = 0;

  /** Whether there is none. */
  get empty(): boolean {
    return this.#at === this.#messages.length;
  }

  /** Bytes that they count for. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Adds one at the end. */
  push(message: string | Chunk): void {
    this.#messages.push(message);
    this.#bytes += message.length + EACH;
  }

  /** Takes the first; there has to be one. */
  take(): string | Chunk {
    const message = this.#messages[this.#at]!;
    // Not kept alive until the last of them is taken.
    this.#messages[this.#at++] = "";
    this.#bytes -= message.length + EACH;
    if (this.empty) this.clear();
    return message;
  }

  /** Drops all of them. */
  clear(): void {
    this.#messages = [];
    this.#at = this.#bytes = 0;
  }
}

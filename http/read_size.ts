/**
 * The size of reads of a body.
 *
 * @module
 */

import type { Chunk } from "./bytes.ts";

const FIRST = 64 * 1024;
const MIN = 4 * 1024;
const MAX = 256 * 1024;

/** Enlarges the reads while buffers are filled, and reduces them otherwise. */
export class ReadSize {
  #size: number;
  #left: number;

  /** For a body with so many remaining bytes, or `Infinity`. */
  constructor(left: number) {
    this.#left = left;
    // A quarter of a large body has usually arrived by the first read.
    this.#size = left === Infinity
      ? FIRST
      : Math.min(Math.max(left / 4 >> 12 << 12, FIRST), MAX);
  }

  /** A buffer for the next bytes. */
  room(): Chunk {
    // One byte more than expected, to detect data after the end.
    return new Uint8Array(Math.min(this.#size, this.#left + 1));
  }

  /** Counts received bytes. */
  received(bytes: number): void {
    const size = this.#size;
    this.#left = Math.max(1, this.#left - bytes);
    if (bytes * 4 > size * 3) {
      this.#size = Math.min(size * 2, MAX);
    } else if (bytes * 4 < size) {
      this.#size = Math.max(size / 2, MIN);
    }
  }
}

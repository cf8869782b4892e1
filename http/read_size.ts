/**
 * How much of a body is read at a time.
 *
 * @module
 */

import type { Chunk } from "./bytes.ts";

const FIRST = 64 * 1024;
const SMALLEST = 4 * 1024;
const LARGEST = 256 * 1024;

/** More at a time while buffers come back full, and less otherwise. */
export class ReadSize {
  #size: number;
  #left: number;

  /** For a body that has so many bytes to come, or no known end. */
  constructor(left: number) {
    this.#left = left;
    // A quarter of a large body has usually arrived by the first read.
    this.#size = left === Infinity
      ? FIRST
      : Math.min(Math.max(left / 4 >> 12 << 12, FIRST), LARGEST);
  }

  /** Where the next bytes go. */
  room(): Chunk {
    // One more than there should be, to see what comes behind it.
    return new Uint8Array(Math.min(this.#size, this.#left + 1));
  }

  /** So many bytes came. */
  came(bytes: number): void {
    const size = this.#size;
    this.#left = Math.max(1, this.#left - bytes);
    if (bytes * 4 > size * 3) {
      this.#size = Math.min(size * 2, LARGEST);
    } else if (bytes * 4 < size) {
      this.#size = Math.max(size / 2, SMALLEST);
    }
  }
}

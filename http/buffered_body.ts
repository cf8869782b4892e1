/**
 * The body of a small response, which is buffered.
 *
 * @module
 */

import type { Chunk } from "./bytes.ts";

/** Buffers for heads of requests and bodies of responses. */
export interface Buffers {
  /** Whether the memory of response bodies is returned for reuse. */
  readonly reuses: boolean;
  /** A buffer of at least so many bytes, with space for a small body. */
  takeBuffer(bytes: number): Chunk;
  /** Returns a buffer that is no longer read. */
  returnBuffer(room: Chunk): void;
}

/** One body of declared length. */
export class BufferedBody {
  /** Its declared length. */
  readonly length: number;
  readonly #buffers: Buffers;
  readonly #buffer: Chunk;
  #filled = 0;

  /** Makes an empty one. */
  constructor(buffers: Buffers, length: number) {
    this.#buffers = buffers;
    this.length = length;
    // One byte more than expected, to detect data after the end.
    this.#buffer = buffers.reuses
      ? buffers.takeBuffer(length + 1)
      : new Uint8Array(length + 1);
  }

  /** Bytes that have not arrived. */
  get missing(): number {
    return this.length - this.#filled;
  }

  /** The bytes that have arrived. */
  get bytes(): Chunk {
    return this.#buffer.subarray(0, this.#filled) as Chunk;
  }

  /** Space for the next bytes. */
  get room(): Chunk {
    return this.#buffer.subarray(this.#filled, this.length + 1) as Chunk;
  }

  /** Adds bytes; returns whether all of them belong to the body. */
  add(bytes: Chunk): boolean {
    const size = Math.min(bytes.length, this.missing);
    // The bytes may have been read to their place.
    if (bytes.buffer !== this.#buffer.buffer) {
      this.#buffer.set(bytes.subarray(0, size), this.#filled);
    }
    this.#filled += size;
    return size === bytes.length;
  }

  /** Returns its memory. Call it only once. */
  reuse(): void {
    if (this.#buffers.reuses) this.#buffers.returnBuffer(this.#buffer);
  }
}

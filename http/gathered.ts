/**
 * A small answer's body that is waited for whole.
 *
 * @module
 */

import type { Chunk } from "./bytes.ts";

/** Where the memory of requests' heads and answers' bodies comes from. */
export interface Rooms {
  /** Whether an answer's body is told when nothing needs its memory any more. */
  readonly reuses: boolean;
  /** Room for so many bytes at least, and a small body behind them. */
  takeRoom(bytes: number): Chunk;
  /** Takes room back that nothing is read from any more. */
  giveRoom(room: Chunk): void;
}

/** One body of declared length. */
export class Gathered {
  /** How long it is to be. */
  readonly length: number;
  readonly #rooms: Rooms;
  readonly #room: Chunk;
  #filled = 0;

  /** Makes one that nothing has come of. */
  constructor(rooms: Rooms, length: number) {
    this.#rooms = rooms;
    this.length = length;
    // One more than there should be, to see what comes behind it.
    this.#room = rooms.reuses
      ? rooms.takeRoom(length + 1)
      : new Uint8Array(length + 1);
  }

  /** Bytes that are still to come. */
  get missing(): number {
    return this.length - this.#filled;
  }

  /** What has come of it. */
  get bytes(): Chunk {
    return this.#room.subarray(0, this.#filled) as Chunk;
  }

  /** Where the next bytes should be put. */
  get room(): Chunk {
    return this.#room.subarray(this.#filled, this.length + 1) as Chunk;
  }

  /** Takes bytes; says whether all of them belong to it. */
  add(bytes: Chunk): boolean {
    const size = Math.min(bytes.length, this.missing);
    // They may have been read to where they belong.
    if (bytes.buffer !== this.#room.buffer) {
      this.#room.set(bytes.subarray(0, size), this.#filled);
    }
    this.#filled += size;
    return size === bytes.length;
  }

  /** Its bytes are not needed any more. Once. */
  reuse(): void {
    if (this.#rooms.reuses) this.#rooms.giveRoom(this.#room);
  }
}

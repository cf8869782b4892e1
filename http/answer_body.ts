/**
 * An answer's body between the connection that it comes from and its reader.
 *
 * It outlives its connection's part in it: once the last byte has come the
 * connection may serve the next request, while what came is still being read.
 *
 * @module
 */

import { type Chunk, joined } from "./bytes.ts";
import type { Reading } from "./call.ts";

/** Where the pieces of an {@linkcode AnswerBody} come from. */
export interface AnswerBodySource {
  /** The next piece is waited for. */
  wanted(): void;
  /** All that came was read. */
  emptied(): void;
  /** No more is wanted. */
  cancelled(why: unknown): void;
}

/** One body. */
export class AnswerBody implements Reading {
  #source: AnswerBodySource | undefined;
  #pieces: Chunk[] = [];
  #bytes = 0;
  #pending: PromiseWithResolvers<Chunk | undefined> | undefined;
  #error: unknown;

  /** Makes one that nothing has come of. */
  constructor(source: AnswerBodySource) {
    this.#source = source;
  }

  /** Bytes that came and were not read. */
  get waiting(): number {
    return this.#bytes;
  }

  /** Whether the next piece is being waited for. */
  get awaited(): boolean {
    return this.#pending !== undefined;
  }

  /** The next piece; none at the end. */
  read(): Promise<Chunk | undefined> {
    if (this.#bytes > 0) {
      const piece = this.#take();
      this.#source?.emptied();
      return Promise.resolve(piece);
    }
    if (this.#error !== undefined) return Promise.reject(this.#error);
    if (this.#source === undefined) return Promise.resolve(undefined);
    this.#pending = Promise.withResolvers();
    const { promise } = this.#pending;
    this.#source.wanted();
    return promise;
  }

  /** Gives the rest up. */
  cancel(why: unknown): void {
    const source = this.#source;
    this.#pieces = [];
    this.#bytes = 0;
    this.#end();
    source?.cancelled(why);
  }

  /** Takes a piece that came. */
  give(piece: Chunk): void {
    if (piece.length === 0 || this.#source === undefined) return;
    const pending = this.#pending;
    if (pending !== undefined) {
      this.#pending = undefined;
      pending.resolve(piece);
    } else {
      this.#pieces.push(piece);
      this.#bytes += piece.length;
    }
  }

  /** All of it has come; or, with an error, no more will. */
  end(error?: unknown): void {
    if (this.#source === undefined) return;
    this.#error = error;
    this.#end();
  }

  #end(): void {
    const pending = this.#pending;
    this.#source = this.#pending = undefined;
    if (pending === undefined) return;
    if (this.#error === undefined) pending.resolve(undefined);
    else pending.reject(this.#error);
  }

  #take(): Chunk {
    const pieces = this.#pieces;
    this.#pieces = [];
    this.#bytes = 0;
    // One piece for the many that a peer may have made of it: each costs more
    // than its bytes further on.
    return joined(pieces);
  }
}

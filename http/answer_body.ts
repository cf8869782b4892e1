/**
 * A response body between its connection and its reader.
 *
 * It outlives the connection's part in it: after the last byte has arrived, the
 * connection may serve the next request while the body is still being read.
 *
 * @module
 */

import { type Chunk, joined } from "./bytes.ts";
import type { Reading } from "./call.ts";

/** The source of an {@linkcode AnswerBody}. */
export interface AnswerBodySource {
  /** A read waits for the next chunk. */
  wanted(): void;
  /** Everything that has arrived was read. */
  emptied(): void;
  /** The rest is not needed. */
  cancelled(why: unknown): void;
}

/** One response body. */
export class AnswerBody implements Reading {
  #source: AnswerBodySource | undefined;
  #chunks: Chunk[] = [];
  #bytes = 0;
  #pending: PromiseWithResolvers<Chunk | undefined> | undefined;
  #error: unknown;
  readonly #owns: boolean;

  /**
   * Makes a body that has received nothing. `owns`: the memory of its chunks is
   * used for nothing else.
   */
  constructor(source: AnswerBodySource, owns: boolean) {
    this.#source = source;
    this.#owns = owns;
  }

  /** Bytes received but not read. */
  get waiting(): number {
    return this.#bytes;
  }

  /** Whether a read is pending. */
  get awaited(): boolean {
    return this.#pending !== undefined;
  }

  /** The next chunk; `undefined` at the end. */
  read(): Promise<Chunk | undefined> {
    const chunk = this.ready();
    if (chunk !== undefined) return Promise.resolve(chunk);
    if (this.#error !== undefined) return Promise.reject(this.#error);
    if (this.#source === undefined) return Promise.resolve(undefined);
    this.#pending = Promise.withResolvers();
    const { promise } = this.#pending;
    this.#source.wanted();
    return promise;
  }

  /** The next chunk if it has arrived. */
  ready(): Chunk | undefined {
    if (this.#bytes === 0) return undefined;
    const chunk = this.#take();
    this.#source?.emptied();
    return chunk;
  }

  /** Cancels the rest. */
  cancel(why: unknown): void {
    const source = this.#source;
    this.#chunks = [];
    this.#bytes = 0;
    this.#end();
    source?.cancelled(why);
  }

  /** Gives up the memory of a chunk. */
  detach({ buffer }: Chunk): void {
    if (this.#owns) buffer.transfer(0);
  }

  /** Adds a received chunk. */
  give(chunk: Chunk): void {
    if (chunk.length === 0 || this.#source === undefined) return;
    const pending = this.#pending;
    if (pending !== undefined) {
      this.#pending = undefined;
      pending.resolve(chunk);
    } else {
      this.#chunks.push(chunk);
      this.#bytes += chunk.length;
    }
  }

  /** The body is complete, or has failed with an error. */
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
    const chunks = this.#chunks;
    this.#chunks = [];
    this.#bytes = 0;
    // Joins them: further on, each chunk costs more than its bytes.
    return joined(chunks);
  }
}

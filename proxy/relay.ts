/**
 * Relays a response body to the client chunk by chunk, and tracks which side is
 * waited for and how it ended.
 *
 * @module
 */

import type { Chunk, Reading } from "./body.ts";

/** How a relayed body ended: complete, broken by its source, client gone. */
export type Ending = "whole" | "broken" | "left";

/** Is notified by a {@linkcode Relay}. */
export interface RelayOwner {
  /** Bytes were passed to the client. */
  progress(bytes: number): void;
  /** The body has ended. Called once. */
  relayed(how: Ending): void;
  /** The current time in milliseconds. */
  now(): number;
}

/**
 * Passes on the chunks of its source. It reads only when the client has room
 * for a chunk, so backpressure reaches the backend. The time limits depend on
 * which side is waited for, and since when.
 */
export class Relay {
  /** The body for the client. */
  readonly stream: ReadableStream<Chunk>;
  /** Whether it waits for the client rather than the backend. */
  waitsForClient = true;
  /** Since when it waits for that side. */
  movedAt: number;
  readonly #source: Reading;
  readonly #owner: RelayOwner;
  /** Gives up the memory of the last chunk, once the server has taken it. */
  readonly #detach: Reading["detach"];
  #last: Chunk | undefined;
  #controller!: ReadableStreamDefaultController<Chunk>;
  #over = false;

  /**
   * Takes over a source. `detaches`: the stream's reader does not look at a
   * chunk any more when it asks for the next one.
   */
  constructor(source: Reading, owner: RelayOwner, detaches = false) {
    this.#source = source;
    this.#owner = owner;
    this.#detach = detaches ? source.detach : undefined;
    this.movedAt = owner.now();
    this.stream = new ReadableStream<Chunk>({
      start: (controller) => {
        this.#controller = controller;
        // Bun sends the head in one write with a chunk that is there by now, and
        // otherwise in up to ten small ones.
        const first = source.ready?.();
        if (first !== undefined) this.#give(first);
      },
      pull: () => this.#pull(),
      cancel: (why) => {
        if (this.#over) return;
        this.#over = true;
        owner.relayed("left");
        source.cancel(why);
      },
    }, { highWaterMark: 0 });
  }

  /** Cuts the client's connection and cancels the source. */
  abort(why: Error): void {
    if (this.#over) return;
    this.#over = true;
    this.#controller.error(why);
    this.#source.cancel(why);
    this.#owner.relayed("broken");
  }

  async #pull(): Promise<void> {
    this.waitsForClient = false;
    this.movedAt = this.#owner.now();
    if (this.#last !== undefined) {
      this.#detach?.call(this.#source, this.#last);
      this.#last = undefined;
    }
    let chunk: Chunk | undefined;
    try {
      chunk = await this.#source.read();
    } catch (error) {
      if (this.#over) return;
      this.#over = true;
      this.#owner.relayed("broken");
      // Both runtimes then cut the connection, so the body never looks
      // complete.
      this.#controller.error(error);
      return;
    }
    // It may have been cancelled during the read; both runtimes would throw.
    if (this.#over) return;
    if (chunk === undefined) {
      this.#over = true;
      this.#owner.relayed("whole");
      this.#controller.close();
      return;
    }
    this.#give(chunk);
  }

  #give(chunk: Chunk): void {
    this.waitsForClient = true;
    this.movedAt = this.#owner.now();
    this.#owner.progress(chunk.byteLength);
    if (this.#detach !== undefined) this.#last = chunk;
    this.#controller.enqueue(chunk);
  }
}

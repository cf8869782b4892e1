/**
 * An answer's body on its way to the client, piece by piece: how it goes on,
 * whom it waits for, and how it ended.
 *
 * @module
 */

import type { Chunk, Reading } from "./body.ts";

/** How a relayed body ended: whole, broken by its source, left by the client. */
export type Ending = "whole" | "broken" | "left";

/** Hears how a {@linkcode Relay} goes. */
export interface RelayOwner {
  /** Bytes were handed to the client. */
  progress(bytes: number): void;
  /** The body ended. Once. */
  relayed(how: Ending): void;
  /** The time, in milliseconds. */
  now(): number;
}

/**
 * Hands on what its source gives. A piece is asked for when the client has room
 * for one, so a client that stops reading also stops the backend. Which of the
 * two is waited for, and since when, is what the time limits go by.
 */
export class Relay {
  /** The body for the client. */
  readonly stream: ReadableStream<Chunk>;
  /** Whether the client is waited for, and not the backend. */
  waitsForClient = true;
  /** When it began to wait for whom it waits now. */
  movedAt: number;
  readonly #source: Reading;
  readonly #owner: RelayOwner;
  #controller!: ReadableStreamDefaultController<Chunk>;
  #over = false;

  /** Takes a source over; `owner` hears of it. */
  constructor(source: Reading, owner: RelayOwner) {
    this.#source = source;
    this.#owner = owner;
    this.movedAt = owner.now();
    this.stream = new ReadableStream<Chunk>({
      start: (controller) => {
        this.#controller = controller;
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

  /** Cuts the body: the client's connection is cut and the source given up. */
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
    let piece: Chunk | undefined;
    try {
      piece = await this.#source.read();
    } catch (error) {
      if (this.#over) return;
      this.#over = true;
      this.#owner.relayed("broken");
      // Both runtimes cut the connection then: it never looks whole.
      this.#controller.error(error);
      return;
    }
    // A cancel may come while a piece is awaited; both runtimes throw then.
    if (this.#over) return;
    if (piece === undefined) {
      this.#over = true;
      this.#owner.relayed("whole");
      this.#controller.close();
      return;
    }
    this.waitsForClient = true;
    this.movedAt = this.#owner.now();
    this.#owner.progress(piece.byteLength);
    this.#controller.enqueue(piece);
  }
}

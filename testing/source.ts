/**
 * A stream that a test controls, for tests of code that reads bodies.
 *
 * @module
 */

import type { Chunk } from "../proxy/body.ts";

/** A text as bytes. */
export function bytes(text: string): Chunk {
  return new TextEncoder().encode(text);
}

/** Bytes as a text. */
export function text(...chunks: Chunk[]): string {
  return chunks.map((chunk) => new TextDecoder().decode(chunk)).join("");
}

/** A stream with the chunks, and at the times, that the test chooses. */
export class Source {
  readonly stream: ReadableStream<Chunk>;
  pulls = 0;
  cancelled: unknown;
  #controller!: ReadableStreamDefaultController<Chunk>;

  constructor() {
    this.stream = new ReadableStream<Chunk>({
      start: (controller) => void (this.#controller = controller),
      pull: () => void this.pulls++,
      cancel: (why) => void (this.cancelled = why ?? "cancelled"),
    }, { highWaterMark: 0 });
  }

  give(...pieces: string[]): this {
    for (const piece of pieces) this.#controller.enqueue(bytes(piece));
    return this;
  }

  close(): this {
    this.#controller.close();
    return this;
  }

  fail(error: Error): this {
    this.#controller.error(error);
    return this;
  }
}

/** All pieces, as texts. */
export async function all(
  read: () => Promise<Chunk | undefined>,
): Promise<string[]> {
  const pieces: string[] = [];
  for (let piece; (piece = await read()) !== undefined;) {
    pieces.push(text(piece));
  }
  return pieces;
}

/**
 * How bodies are read: piece by piece, into buffers that grow, or whole where
 * they are small.
 *
 * @module
 */

import type { Clock } from "../base/clock.ts";

/** A piece of a body, as both runtimes' streams give it. */
export type Chunk = Uint8Array<ArrayBuffer>;

/** What {@linkcode gather} found. */
export type Gathered =
  /** All of it. */
  | { kind: "whole"; bytes: Chunk }
  /** It comes in pieces, or late: what is here, and where the rest comes from. */
  | { kind: "rest" } & Reading;

/**
 * Reads a body of declared `length` that is expected to be here already, from its
 * beginning. Gives up on having it whole when its first piece is not all of it, or when `waitMs`
 * have passed, so that what dribbles is passed on as it dribbles.
 *
 * @throws Whatever the stream fails with before that, or {@linkcode CutShort}.
 */
export async function gather(
  source: Reading,
  length: number,
  { clock, waitMs }: { clock: Clock; waitMs: number },
): Promise<Gathered> {
  const first = source.read();
  let ring: (() => void) | undefined;
  const timer = clock.setTimeout(() => ring?.(), waitMs);
  let piece: Chunk | undefined | null;
  try {
    piece = await Promise.race([
      first,
      new Promise<null>((resolve) => ring = () => resolve(null)),
    ]);
  } finally {
    clock.clear(timer);
  }
  if (piece !== null) {
    if ((piece?.byteLength ?? 0) >= length) {
      return { kind: "whole", bytes: piece ?? new Uint8Array() };
    }
    if (piece === undefined) throw new CutShort();
  } else {
    // It may still fail before anybody reads on, which is no fault of ours.
    first.catch(() => {});
  }
  let pending: Promise<Chunk | undefined> | undefined = first;
  const read = () => {
    const next = pending ?? source.read();
    pending = undefined;
    return next;
  };
  return { kind: "rest", read, cancel: source.cancel };
}

/** Cancels a reader; what it is cancelled with interests nobody behind it. */
function canceller(
  reader: ReadableStreamGenericReader,
): (why: unknown) => void {
  return (why) => void reader.cancel(why).catch(() => {});
}

/** A body ended before its declared length. */
export class CutShort extends Error {
  override readonly name = "CutShort";
  constructor() {
    super("Cannot read the body: it ended before its declared length");
  }
}

/** Reads a stream piece by piece. */
export interface Reading {
  /** The next piece; none at the end. */
  read: () => Promise<Chunk | undefined>;
  /** Gives the rest up. */
  cancel: (why: unknown) => void;
  /** Takes the memory of a piece back whose bytes are not needed any more. */
  reuse?: (piece: Chunk) => void;
}

/** Reads the pieces of a stream, one call a piece. */
export function reading(stream: ReadableStream<Chunk>): Reading {
  const reader = stream.getReader();
  return {
    read: async () => {
      const result = await reader.read();
      return result.done ? undefined : result.value;
    },
    cancel: canceller(reader),
  };
}

/**
 * Reads a body of declared `length` into buffers that grow as long as they come
 * back full, where the stream takes any: left alone, Deno reads into 64 KB at a
 * time, also 13 bytes and to see the end. Gave some 1.2 of the requests for
 * uploads of 1 MB (`bench/TRIED.md`). What comes slowly is read into small
 * buffers, since a buffer stays as long as its piece.
 *
 * No buffer has less than `least` bytes, but where a piece was small before, or
 * nothing is left.
 */
export function readingInto(
  stream: ReadableStream<Chunk>,
  length: number | undefined,
  least: number,
): Reading {
  let reader: ReadableStreamBYOBReader;
  try {
    reader = stream.getReader({ mode: "byob" });
  } catch {
    // What came with its head, or was made in code, is no stream of bytes.
    return reading(stream);
  }
  let left = length ?? Infinity;
  let size = firstRead(length);
  return {
    read: async () => {
      const room = left === 0 ? 1 : Math.min(size, Math.max(left, least));
      const { done, value } = await reader.read(roomOf(room));
      if (done) return undefined;
      const bytes = value.byteLength;
      left -= bytes;
      if (bytes * 4 > size * 3) size = Math.min(size * 2, LARGEST_READ);
      else if (bytes * 4 < size) size = Math.max(size / 2, SMALLEST_READ);
      return value;
    },
    cancel: canceller(reader),
    reuse({ buffer }) {
      if (buffer.byteLength < LARGEST_READ || spare.length === MOST_SPARE) {
        return;
      }
      spare.push(buffer);
    },
  };
}

/**
 * Memory of large pieces that is used again. To make it anew, filled with zeros,
 * and to have it collected was a quarter of what an upload of 1 MB costs.
 */
const spare: ArrayBuffer[] = [];

/** Buffers that are kept: 4 MB of them. */
const MOST_SPARE = 16;

/** Room for so many bytes. */
function roomOf(bytes: number): Chunk {
  const buffer = bytes > FIRST_READ ? spare.pop() : undefined;
  return buffer === undefined
    ? new Uint8Array(bytes)
    : new Uint8Array(buffer, 0, bytes);
}

/** Bytes of the first buffer that {@linkcode readingInto} fills, if not more. */
const FIRST_READ = 64 * 1024;

/** A quarter of what is declared large is likely to be here soon. */
function firstRead(length: number | undefined): number {
  return length === undefined
    ? FIRST_READ
    : Math.min(Math.max(length / 4 >> 12 << 12, FIRST_READ), LARGEST_READ);
}

/** Bytes of its smallest, for who dribbles: thousands may do so at a time. */
const SMALLEST_READ = 4 * 1024;

/** Bytes of its largest: three of them wait when a backend takes nothing. */
const LARGEST_READ = 256 * 1024;

/** A stream of one piece. Filled at its start: a `pull` costs some µs more on Deno. */
export function streamOf(bytes: Chunk): ReadableStream<Chunk> {
  return new ReadableStream({
    start(controller) {
      controller.enqueue(bytes);
      controller.close();
    },
  });
}

/**
 * Bodies that Sluice has to look at on their way: to replay one, to count it,
 * or to know how it ended. All others go through untouched, as the runtime's
 * own streams; reading one in JavaScript halves the requests a second.
 *
 * @module
 */

import type { Clock } from "../runtime/clock.ts";

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

/** Who hears how a followed body goes. */
export interface Follower {
  /** Bytes went by. */
  progress(bytes: number): void;
  /** It ended: whole, broken by its source, or left by its reader. */
  ended(how: "whole" | "broken" | "left", error?: unknown): void;
}

/** Reads a stream piece by piece. */
export interface Reading {
  /** The next piece; none at the end. */
  read: () => Promise<Chunk | undefined>;
  /** Gives the rest up. */
  cancel: (why: unknown) => void;
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
  let size = FIRST_READ;
  let left = length ?? Infinity;
  return {
    read: async () => {
      const room = left === 0 ? 1 : Math.min(size, Math.max(left, least));
      const { done, value } = await reader.read(new Uint8Array(room));
      if (done) return undefined;
      const bytes = value.byteLength;
      left -= bytes;
      if (bytes * 4 > size * 3) size = Math.min(size * 2, LARGEST_READ);
      else if (bytes * 4 < size) size = Math.max(size / 2, SMALLEST_READ);
      return value;
    },
    cancel: canceller(reader),
  };
}

/** Bytes of the first buffer that {@linkcode readingInto} fills. */
const FIRST_READ = 64 * 1024;

/** Bytes of its smallest, for who dribbles: thousands may do so at a time. */
const SMALLEST_READ = 4 * 1024;

/** Bytes of its largest: three of them wait when a backend takes nothing. */
const LARGEST_READ = 256 * 1024;

/**
 * A stream that hands on what `read` gives and tells `follower` about it. A
 * piece is asked for when the reader has room for one, so that a reader that
 * stops also stops the source.
 */
export function followed(
  read: () => Promise<Chunk | undefined>,
  cancel: (why: unknown) => void,
  follower: Follower,
): ReadableStream<Chunk> {
  let over = false;
  return new ReadableStream<Chunk>({
    async pull(controller) {
      let piece: Chunk | undefined;
      try {
        piece = await read();
      } catch (error) {
        if (over) return;
        over = true;
        follower.ended("broken", error);
        // Both runtimes cut the connection then: it never looks whole.
        controller.error(error);
        return;
      }
      // A cancel may come while a piece is awaited; both runtimes throw then.
      if (over) return;
      if (piece === undefined) {
        over = true;
        follower.ended("whole");
        controller.close();
        return;
      }
      follower.progress(piece.byteLength);
      controller.enqueue(piece);
    },
    cancel(why) {
      if (over) return;
      over = true;
      follower.ended("left");
      cancel(why);
    },
  }, { highWaterMark: 0 });
}

/** A stream of one piece. Filled at its start: a `pull` costs some µs more on Deno. */
export function streamOf(bytes: Chunk): ReadableStream<Chunk> {
  return new ReadableStream({
    start(controller) {
      controller.enqueue(bytes);
      controller.close();
    },
  });
}

/**
 * A body of unknown length that can be begun anew as long as nothing of it was
 * sent: what `fetch` has pulled before it found nobody to send it to is kept
 * for the next attempt. Deno pulls about two pieces before it connects; they
 * would be missing from the next attempt without anybody noticing, since a
 * chunked body that lacks its beginning looks whole.
 */
export class Remembering {
  readonly #read: () => Promise<Chunk | undefined>;
  readonly #cancel: (why: unknown) => void;
  #kept: Chunk[] | undefined = [];
  #keptBytes = 0;
  #attempt = 0;
  #pending: Promise<Chunk | undefined> | undefined;

  constructor(
    read: () => Promise<Chunk | undefined>,
    cancel: (why: unknown) => void,
  ) {
    this.#read = read;
    this.#cancel = cancel;
  }

  /** Whether {@linkcode stream} would begin at the beginning. */
  get whole(): boolean {
    return this.#kept !== undefined;
  }

  /** Whether the client is being waited for, and not the backend. */
  get waiting(): boolean {
    return this.#pending !== undefined;
  }

  /** The body from its beginning; a stream given out before is dead then. */
  stream(): ReadableStream<Chunk> {
    const attempt = ++this.#attempt;
    let at = 0;
    return new ReadableStream<Chunk>({
      pull: async (controller) => {
        const kept = this.#kept?.[at];
        if (kept !== undefined) {
          at++;
          controller.enqueue(kept);
          return;
        }
        // One read is under way at most, whichever attempt asked for it.
        this.#pending ??= this.#next();
        const piece = await this.#pending;
        if (attempt !== this.#attempt) return;
        if (piece === undefined) {
          controller.close();
          return;
        }
        at++;
        controller.enqueue(piece);
      },
      cancel: (why) => {
        if (attempt === this.#attempt && this.#kept === undefined) {
          this.#cancel(why);
        }
      },
    }, { highWaterMark: 0 });
  }

  /** Nothing need be kept any more: the body has begun to be sent. */
  forget(): void {
    this.#kept = undefined;
  }

  /** Nobody reads it any more, though all of it may not have come. */
  abandon(why: unknown): void {
    this.#attempt++;
    this.#cancel(why);
  }

  async #next(): Promise<Chunk | undefined> {
    try {
      const piece = await this.#read();
      // Kept before the next read can begin, or two attempts could swap pieces.
      if (piece !== undefined) this.#keep(piece);
      return piece;
    } finally {
      this.#pending = undefined;
    }
  }

  #keep(piece: Chunk): void {
    if (this.#kept === undefined) return;
    const { byteLength, buffer } = piece;
    this.#keptBytes += byteLength + PIECE_BYTES;
    // More than `fetch` pulls ahead means that it is being sent.
    if (this.#keptBytes > MOST_KEPT) {
      this.#kept = undefined;
      return;
    }
    // Deno gives a byte in a buffer of 64 KB. An upload that dribbles a byte at
    // a time would have each of them kept: 10,000 bytes took 460 MB.
    this.#kept.push(byteLength * 8 < buffer.byteLength ? piece.slice() : piece);
  }
}

/** Bytes of a streamed body that are kept before its header is answered. */
const MOST_KEPT = 512 * 1024;

/** Bytes that a kept piece counts for besides its own. */
const PIECE_BYTES = 64;

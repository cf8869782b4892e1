/**
 * Reading bodies: chunk by chunk, into growing buffers, or complete if they are
 * small.
 *
 * @module
 */

import type { Clock } from "../base/clock.ts";
import type { Chunk } from "../http/bytes.ts";
import type { Reading } from "../http/call.ts";

export type { Chunk, Reading };

/** The result of {@linkcode gather}. */
export type Gathered =
  /** The complete body. */
  | { kind: "whole"; bytes: Chunk }
  /** The body comes in several chunks or late: reads it from the start. */
  | { kind: "rest" } & Reading;

/**
 * Reads a body of declared `length` that is probably available already. It is
 * not complete if its first chunk is only a part of it or does not arrive
 * within `waitMs`; then the chunks are passed on as they come.
 *
 * @throws The error of the stream, or {@linkcode TruncatedBody}.
 */
export async function gather(
  source: Reading,
  length: number,
  { clock, waitMs }: { clock: Clock; waitMs: number },
): Promise<Gathered> {
  const first = source.read();
  let wake: (() => void) | undefined;
  const timer = clock.setTimeout(() => wake?.(), waitMs);
  let chunk: Chunk | undefined | null;
  try {
    chunk = await Promise.race([
      first,
      new Promise<null>((resolve) => wake = () => resolve(null)),
    ]);
  } finally {
    clock.clear(timer);
  }
  if (chunk !== null) {
    if ((chunk?.byteLength ?? 0) >= length) {
      return { kind: "whole", bytes: chunk ?? new Uint8Array() };
    }
    if (chunk === undefined) throw new TruncatedBody();
  } else {
    // It may fail before it is read again; that is not an unhandled rejection.
    first.catch(() => {});
  }
  let pending: Promise<Chunk | undefined> | undefined = first;
  const read = () => {
    const next = pending ?? source.read();
    pending = undefined;
    return next;
  };
  return { kind: "rest", read, cancel: (why) => source.cancel(why) };
}

/** Cancels a reader, ignoring errors. */
function canceller(
  reader: ReadableStreamGenericReader,
): (why: unknown) => void {
  return (why) => void reader.cancel(why).catch(() => {});
}

/** A body ended before its declared length. */
export class TruncatedBody extends Error {
  override readonly name = "TruncatedBody";
  constructor() {
    super("Cannot read the body: it ended before its declared length");
  }
}

/** Reads a complete body. */
export function readingWhole(bytes: Chunk): Reading {
  let rest: Chunk | undefined = bytes;
  return {
    read() {
      const chunk = rest;
      rest = undefined;
      return Promise.resolve(chunk);
    },
    cancel() {},
  };
}

/** Reads the chunks of a stream, one per call. */
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

/** The reads of {@linkcode readingInto}; sizes in bytes. */
export interface Reads {
  /** The minimum while chunks are not small, also if less is left. */
  readonly least: number;
  /** The maximum. */
  readonly most: number;
  /** Returned buffers of the maximum size. */
  readonly spare: ArrayBuffer[];
}

/**
 * Reads a body of declared `length` into buffers that grow while they are
 * filled, if the stream supports that. By default, Deno allocates 64 KB for
 * each read, even for 13 bytes or to see the end. Bodies that are slow for a
 * while are read into small buffers, since a buffer lives as long as its chunk.
 */
export function readingInto(
  stream: ReadableStream<Chunk>,
  length: number | undefined,
  reads: Reads,
): Reading {
  let reader: ReadableStreamBYOBReader;
  try {
    reader = stream.getReader({ mode: "byob" });
  } catch {
    // A body that came with its head, or was made in code, is not a byte
    // stream.
    return reading(stream);
  }
  const { least, most, spare } = reads;
  let left = length ?? Infinity;
  let size = firstRead(length, reads);
  let smallInARow = 0;
  return {
    read: async () => {
      const room = left === 0 ? 1 : Math.min(size, Math.max(left, least));
      const { done, value } = await reader.read(roomOf(room, reads));
      if (done) return undefined;
      const bytes = value.byteLength;
      left -= bytes;
      smallInARow = bytes * 4 < size ? smallInARow + 1 : 0;
      if (bytes * 4 > size * 3) size = Math.min(size * 2, most);
      else if (smallInARow >= SLOW) size = Math.max(size / 2, MIN_READ);
      return value;
    },
    cancel: canceller(reader),
    reuse({ buffer }) {
      if (buffer.byteLength === most && spare.length < MAX_SPARE) {
        spare.push(buffer);
      }
    },
  };
}

/** Small chunks in a row after which a body counts as slow. */
const SLOW = 4;

/** Size of the first buffer of {@linkcode readingInto}, if not larger. */
const FIRST_READ = 64 * 1024;

/** Size of its smallest buffer: thousands of slow clients may have one each. */
const MIN_READ = 4 * 1024;

/** Maximum buffers kept for reuse. */
const MAX_SPARE = 64;

/** A quarter of a large body has usually arrived by the time of the first read. */
function firstRead(
  length: number | undefined,
  { least, most }: Reads,
): number {
  const quarter = length === undefined ? 0 : length / 4 >> 12 << 12;
  return Math.min(Math.max(quarter, FIRST_READ, least), most);
}

/**
 * A buffer of so many bytes. Allocating, zeroing and collecting them took a
 * tenth of the time of an upload of 1 MB (`bench/TRIED.md`).
 */
function roomOf(bytes: number, { most, spare }: Reads): Chunk {
  const buffer = bytes < FIRST_READ ? undefined : spare.pop();
  if (buffer !== undefined) return new Uint8Array(buffer, 0, bytes);
  return new Uint8Array(
    new ArrayBuffer(bytes > most / 2 ? most : bytes),
    0,
    bytes,
  );
}

/**
 * A stream of one chunk. Filled in `start`: on Deno `pull` costs some µs more.
 */
export function streamOf(bytes: Chunk): ReadableStream<Chunk> {
  return new ReadableStream({
    start(controller) {
      controller.enqueue(bytes);
      controller.close();
    },
  });
}

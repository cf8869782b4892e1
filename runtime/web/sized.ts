/**
 * Bodies of a known length, where a platform can be told it.
 *
 * @module
 */

import type { Chunk } from "../../proxy/body.ts";

/** Cloudflare's way to say the length of a stream. */
type FixedLength = new (
  length: number,
) => ReadableWritablePair<Chunk, Chunk>;

/**
 * A stream that goes out with its length and not chunked, where the platform has
 * a way to say so.
 */
export function sized(
  stream: ReadableStream<Chunk>,
  length: number | undefined,
): ReadableStream<Chunk> {
  const { FixedLengthStream } = globalThis as unknown as {
    FixedLengthStream?: FixedLength;
  };
  return length === undefined || FixedLengthStream === undefined
    ? stream
    : stream.pipeThrough(new FixedLengthStream(length));
}

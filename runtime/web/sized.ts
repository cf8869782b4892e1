/**
 * Bodies of a known length, on platforms that support declaring it.
 *
 * @module
 */

import type { Chunk } from "../../proxy/body.ts";

/** Cloudflare's way to declare the length of a stream. */
type FixedLength = new (
  length: number,
) => ReadableWritablePair<Chunk, Chunk>;

/**
 * A stream that is sent with its length and not chunked, if the platform
 * supports it.
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

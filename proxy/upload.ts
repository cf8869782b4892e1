/**
 * A request's body, by what can be done with it: handed on as the runtime's own
 * stream, taken whole because it is small, or read piece by piece because it has
 * to be counted, or remembered for another attempt.
 *
 * @module
 */

import type { Clock } from "../runtime/clock.ts";
import { type Chunk, reading, Remembering } from "./body.ts";
import { type Exchange, TOO_LARGE } from "./exchange.ts";
import { isIdempotent } from "./retry.ts";
import type { Transport } from "./transport.ts";

/** Bytes of a declared body that are kept so that it can be sent again. */
export const KEPT_BODY = 64 * 1024;

/** Methods whose requests have no body that `fetch` could send. */
const BODILESS: ReadonlySet<string> = new Set(["GET", "HEAD"]);

/** An upload, as it is handed on. */
export interface Body {
  /** The length that was declared. */
  length: number | undefined;
  /** The client's own stream; none when the exchange reads it, or has. */
  stream: ReadableStream<Chunk> | undefined;
  /** Whether it is to be read whole before the first attempt. */
  gathered?: true;
}

/** What {@linkcode uploadOf} needs to know. */
export interface UploadOptions {
  /** The runtime. */
  transport: Transport;
  /** Bytes of a request body. */
  maxBodyBytes: number;
  /** Milliseconds between two pieces of a body; none for no limit. */
  idleTimeoutMs: number | undefined;
  /** Time and timers. */
  clock: Clock;
}

/** The upload, by what can be done with it. */
export function uploadOf(
  x: Exchange,
  length: string | null,
  options: UploadOptions,
): Body | undefined {
  const { request, method } = x;
  const { transport, maxBodyBytes, idleTimeoutMs, clock } = options;
  if (BODILESS.has(method)) return undefined;
  const declared = length === null ? undefined : Number(length);
  if (declared === 0) return undefined;
  if (
    declared === undefined &&
    x.fields.get("transfer-encoding") === null
  ) {
    // From a socket of HTTP/1.1 that means none, though Deno has a stream all
    // the same, which would go out as chunked. HTTP/2 frames bodies without
    // either field, and so do requests that were made in code.
    if (x.peer !== undefined && x.fields.get("host") !== null) {
      return undefined;
    }
    if (request.body === null) return undefined;
  }
  if (
    declared !== undefined && declared <= KEPT_BODY &&
    idleTimeoutMs === undefined
  ) {
    // What is here need not be read through a stream that remembers.
    x.whole = transport.whole?.(request, declared);
    if (x.whole !== undefined) return { length: declared, stream: undefined };
  }
  const stream = request.body as ReadableStream<Chunk> | null;
  if (stream === null) return undefined;
  if (
    declared !== undefined && declared <= (transport.wholeUploadUpTo ?? 0) &&
    idleTimeoutMs === undefined
  ) {
    return { length: declared, stream: undefined, gathered: true };
  }
  const limited = declared === undefined && maxBodyBytes !== Infinity;
  const replay = isIdempotent(method) && declared !== undefined &&
    declared <= KEPT_BODY;
  if (
    transport.survivesRefusal && !replay && !limited &&
    idleTimeoutMs === undefined
  ) {
    return { length: declared, stream };
  }
  const { read, cancel } = transport.reading?.(stream, declared, true) ??
    reading(stream);
  if (idleTimeoutMs !== undefined) x.movedAt = clock.now();
  let size = 0;
  x.upload = new Remembering(async () => {
    let piece: Chunk | undefined;
    try {
      piece = await read();
    } catch (error) {
      x.uploadBroke = true;
      throw error;
    }
    if (x.movedAt !== Infinity) x.movedAt = clock.now();
    if (piece === undefined) {
      x.uploaded = true;
      return undefined;
    }
    size += piece.byteLength;
    // Nobody need ask for the end of what has a length.
    if (size === declared) x.uploaded = true;
    if (size > maxBodyBytes) {
      x.end(TOO_LARGE);
      throw TOO_LARGE;
    }
    return piece;
  }, cancel);
  return { length: declared, stream: undefined };
}

/** Reads a small upload whole; says whether all of it has come. */
export async function gathers(
  x: Exchange,
  { length }: Body,
): Promise<boolean> {
  try {
    x.whole = await new Promise<Chunk>((resolve, reject) => {
      x.stopWaiting = reject;
      x.request.bytes().then(resolve, reject);
    });
    // A request that was made in code may say another length than it has.
    x.uploadBroke = x.whole.byteLength !== length;
  } catch {
    // Either its client has failed to send it, or the wait was ended.
    x.uploadBroke = x.cause === undefined;
  }
  if (x.cause !== undefined || x.uploadBroke) return false;
  x.stopWaiting = undefined;
  return true;
}

/**
 * Step 4: a request's body, as one tagged value:
 *
 * - `none`: there is none;
 * - `whole`: it is completely read, and can be sent any number of times;
 * - `replayable`: it is read while it is sent, and everything read so far is
 *   kept, so it can be sent from the start as long as nothing has reached a
 *   backend;
 * - `once`: it is read while it is sent, and its start is gone.
 *
 * A declared small body is read before a backend is picked, so that a slow
 * client occupies no backend. {@linkcode ClientBody} reads all bodies, enforces
 * the size limit, and knows since when the client is waited for.
 *
 * @module
 */

import type { Clock } from "../base/clock.ts";
import { type Chunk, type Reading, reading } from "./body.ts";
import type { Read } from "./headers.ts";
import { TOO_LARGE } from "./reasons.ts";
import type { Server } from "./server.ts";
import { watchClient, type Watched } from "./watch.ts";

/**
 * Bytes of a declared body that is read completely, so that it can be resent.
 */
const KEPT_BODY = 64 * 1024;

/** Bodies up to this size are copied out of the buffer that they were read to. */
const COPIED = 16 * 1024;

/** Bytes of a streamed body that are kept until a response begins. */
const MAX_KEPT = 512 * 1024;

/** Bytes added per kept chunk. */
const CHUNK_OVERHEAD = 64;

/** The error of reads for an attempt that has ended. */
const SUPERSEDED = new Error(
  "Cannot read the body: another attempt has begun",
);

/**
 * Turns of the event loop after which the end of a body without a length
 * counts. Deno ends the body of a cancelled HTTP/2 upload as if it were
 * complete, and reports the cancellation one or two turns later.
 */
const END_TURNS = 4;

/** Methods for which `fetch` cannot send a body. */
const BODILESS: ReadonlySet<string> = new Set(["GET", "HEAD"]);

/** A request's body, by how it can be sent. */
export type Upload = NoUpload | WholeUpload | StreamedUpload;

/** No body. */
export interface NoUpload {
  /** Discriminates the type. */
  readonly kind: "none";
}

/** A completely read body. */
export interface WholeUpload {
  /** Discriminates the type. */
  readonly kind: "whole";
  /** The body. */
  readonly bytes: Chunk;
}

/** No body. */
export const NO_UPLOAD: NoUpload = { kind: "none" };

/** What {@linkcode uploadOf} needs. */
export interface UploadOptions {
  /** The runtime's server. */
  server: Server;
  /** Maximum bytes of a request body. */
  maxBodyBytes: number;
  /** The current time. */
  clock: Clock;
}

/** The request whose upload it is. */
export interface UploadOwner extends Watched {
  /** The second argument of the runtime's handler. */
  readonly connection: unknown;
  readonly fields: Read;
  readonly method: string;
  /** Its declared length. */
  readonly length: string | null;
  /** The body, if it is read here. */
  clientBody: ClientBody | undefined;
  /** Runs a task until {@linkcode end}. */
  interruptible<T>(task: () => Promise<T>): Promise<T>;
  /** Ends the request from this side. */
  end(cause: Error): void;
  /** Why it was ended, if it was. */
  readonly cause: Error | undefined;
}

/** The upload of a request; a promise if something must be read first. */
export function uploadOf(
  x: UploadOwner,
  options: UploadOptions,
): Upload | Promise<Upload> {
  const { server, clock } = options;
  const { request, method, length } = x;
  if (BODILESS.has(method)) return NO_UPLOAD;
  const declared = length === null ? undefined : Number(length);
  if (declared === 0) return NO_UPLOAD;
  if (declared !== undefined && declared <= KEPT_BODY) {
    const bytes = server.whole?.(request, declared);
    if (bytes instanceof Uint8Array) return { kind: "whole", bytes };
    if (bytes !== undefined) {
      return x.interruptible(async () => {
        const whole = await bytes;
        return whole === undefined
          ? await readWhole(clientBody(x, declared, options), declared)
          : { kind: "whole", bytes: whole };
      });
    }
    const body = clientBody(x, declared, options);
    return x.interruptible(() => readWhole(body, declared));
  }
  const body = clientBody(x, declared, options);
  if (body === undefined) return NO_UPLOAD;
  const streamed = new StreamedUpload(body);
  if (
    declared !== undefined || x.fields.get("transfer-encoding") !== null
  ) return streamed;
  // HTTP/2 frames a body without either field, as a request made in code may.
  // Deno also has a stream if an HTTP/1.1 request has no body; sent on, it
  // would be chunked, which some servers refuse.
  if (server.connectionOf?.(x.connection) !== undefined) {
    watchClient(x);
    // A request with `Host` is probably HTTP/1.1 without a body, and need not
    // wait.
    const mayBeNone = x.fields.get("host") !== null;
    body.confirmEnd = (size) =>
      size === 0 && mayBeNone ? undefined : confirmNotCancelled(x, clock);
  }
  return x.interruptible(() => streamed.first()).then((first) =>
    first === undefined ? NO_UPLOAD : streamed
  );
}

/** Waits until the cancellation of an upload would have been noticed. */
async function confirmNotCancelled(
  x: UploadOwner,
  clock: Clock,
): Promise<void> {
  for (let i = 0; i < END_TURNS && x.cause === undefined; i++) {
    await new Promise<void>((resolve) => void clock.setTimeout(resolve, 0));
  }
  if (x.cause !== undefined) throw x.cause;
}

/** The body of a request, to be read chunk by chunk, if there is one. */
function clientBody(
  x: UploadOwner,
  declared: number | undefined,
  { server, maxBodyBytes, clock }: UploadOptions,
): ClientBody | undefined {
  const stream = x.request.body as ReadableStream<Chunk> | null;
  if (stream === null) return undefined;
  const body = x.clientBody = new ClientBody(
    server.reading?.(stream, declared) ?? reading(stream),
    declared,
    clock,
    maxBodyBytes,
  );
  body.onTooLarge = () => x.end(TOO_LARGE);
  return body;
}

/**
 * Reads a small body. It can be too short only if the request was made in code.
 */
async function readWhole(
  body: ClientBody | undefined,
  length: number,
): Promise<Upload> {
  if (body === undefined) return NO_UPLOAD;
  let bytes = await body.read();
  if (bytes !== undefined && bytes.byteLength < length) {
    const first = bytes;
    bytes = new Uint8Array(length);
    let at = 0;
    for (let chunk: Chunk | undefined = first; at < length;) {
      if (chunk === undefined || at + chunk.byteLength > length) break;
      bytes.set(chunk, at);
      at += chunk.byteLength;
      body.reuse(chunk);
      if (at < length) chunk = await body.read();
    }
    if (at < length) throw body.fail();
  }
  if (bytes?.byteLength !== length) throw body.fail();
  if (length <= COPIED && bytes.buffer.byteLength > length) {
    const read = bytes;
    bytes = read.slice();
    body.reuse(read);
  }
  // Deno closes a connection whose request was not read to its end.
  body.read().catch(() => {});
  return { kind: "whole", bytes };
}

/** A client's body, with its timing and its size limit. */
export class ClientBody {
  /** When the current read began, or the last chunk arrived. */
  movedAt: number;
  /** Whether it has arrived completely. */
  ended = false;
  /** Whether a read has failed, which is the client's fault. */
  broken = false;
  /** Resolves when its end is certain; rejects if it was cancelled. */
  confirmEnd: ((size: number) => Promise<void> | undefined) | undefined;
  /** Called when it exceeds the size limit. */
  onTooLarge: () => void = () => {};
  /** The declared length, if there is one. */
  readonly length: number | undefined;
  readonly #reading: Reading;
  readonly #clock: Clock;
  readonly #maxBytes: number;
  #size = 0;
  #reads = false;

  constructor(
    reading: Reading,
    length: number | undefined,
    clock: Clock,
    maxBytes: number,
  ) {
    this.#reading = reading;
    this.length = length;
    this.#clock = clock;
    this.#maxBytes = maxBytes;
    this.movedAt = clock.now();
  }

  /** Whether it waits for the client rather than for the backend. */
  get waits(): boolean {
    // With a declared length, the end itself is not waited for.
    return this.#reads && !this.ended;
  }

  /** The next chunk; `undefined` at the end. One read at a time. */
  async read(): Promise<Chunk | undefined> {
    this.#reads = true;
    this.movedAt = this.#clock.now();
    let chunk: Chunk | undefined;
    try {
      // Deno yields an empty chunk for an empty body.
      do chunk = await this.#reading.read(); while (chunk?.byteLength === 0);
      if (chunk === undefined) await this.confirmEnd?.(this.#size);
    } catch (error) {
      this.broken = true;
      throw error;
    } finally {
      this.#reads = false;
      this.movedAt = this.#clock.now();
    }
    if (chunk === undefined) {
      this.ended = true;
      return undefined;
    }
    this.#size += chunk.byteLength;
    if (this.#size === this.length) this.ended = true;
    if (this.#size > this.#maxBytes) {
      this.onTooLarge();
      throw TOO_LARGE;
    }
    return chunk;
  }

  /** Marks it as having a wrong length; returns the error to throw. */
  fail(): Error {
    this.broken = true;
    return new Error("Cannot forward: the body has another length");
  }

  /** Cancels the unread part. */
  cancel(why: unknown): void {
    this.#reading.cancel(why);
  }

  /** Takes back the memory of a chunk. */
  reuse(chunk: Chunk): void {
    this.#reading.reuse?.(chunk);
  }
}

/**
 * A body that is read while it is sent, and can be sent again as long as
 * nothing of it was sent: chunks that `fetch` has pulled before it found no
 * connection are kept for the next attempt. Deno pulls about two chunks before
 * it connects. The next attempt would lack them unnoticed, since a chunked body
 * without its start looks complete.
 */
export class StreamedUpload {
  /** The client's body. */
  readonly body: ClientBody;
  #kept: Chunk[] | undefined = [];
  #keptBytes = 0;
  #attempt = 0;
  #pending: Promise<Chunk | undefined> | undefined;

  constructor(body: ClientBody) {
    this.body = body;
  }

  /** Whether {@linkcode stream} would start at the beginning. */
  get kind(): "replayable" | "once" {
    return this.#kept === undefined ? "once" : "replayable";
  }

  /** The declared length, if there is one. */
  get length(): number | undefined {
    return this.body.length;
  }

  /** Reads and keeps the first chunk; `undefined` if the body is empty. */
  first(): Promise<Chunk | undefined> {
    return this.#pending ??= this.#next();
  }

  /** The body from its start; earlier streams get no more data. */
  stream(): ReadableStream<Chunk> {
    const { read, cancel } = this.reading();
    return new ReadableStream<Chunk>({
      pull: async (controller) => {
        let chunk: Chunk | undefined;
        try {
          chunk = await read();
        } catch (error) {
          // This stream's attempt has ended and needs no error.
          if (error === SUPERSEDED) return;
          throw error;
        }
        if (chunk === undefined) controller.close();
        else controller.enqueue(chunk);
      },
      cancel,
    }, { highWaterMark: 0 });
  }

  /**
   * The same, chunk by chunk. With `keeps` false, the body cannot be replayed once
   * a new chunk was read. For transports that read nothing before they have a
   * connection.
   */
  reading(keeps = true): Reading {
    const attempt = ++this.#attempt;
    // Its own reference: a response may begin, and `forget()` be called, before
    // this attempt has read the kept chunks.
    let kept = this.#kept;
    let at = 0;
    return {
      read: async () => {
        if (kept !== undefined && at < kept.length) return kept[at++]!;
        if (!keeps) this.#kept = undefined;
        if (this.#kept === undefined) kept = undefined;
        // At most one read is pending, whichever attempt started it.
        this.#pending ??= this.#next();
        const chunk = await this.#pending;
        if (attempt !== this.#attempt) throw SUPERSEDED;
        at++;
        // More than `fetch` pulls ahead: it is being sent. Checked only now,
        // since until here nothing else held the chunk.
        if (this.#keptBytes > MAX_KEPT) this.#kept = undefined;
        return chunk;
      },
      cancel: (why) => {
        if (attempt === this.#attempt && this.#kept === undefined) {
          this.body.cancel(why);
        }
      },
      reuse: (chunk) => {
        if (this.#kept === undefined) this.body.reuse(chunk);
      },
    };
  }

  /** A response has begun: nothing needs to be kept. */
  forget(): void {
    this.#kept = undefined;
  }

  /** A response of ours comes before its end: no backend needs the rest. */
  abandon(why: unknown): void {
    this.#attempt++;
    this.body.cancel(why);
  }

  async #next(): Promise<Chunk | undefined> {
    try {
      const chunk = await this.body.read();
      // Kept before the next read begins, or two attempts could swap chunks.
      if (chunk !== undefined) this.#keep(chunk);
      return chunk;
    } finally {
      this.#pending = undefined;
    }
  }

  #keep(chunk: Chunk): void {
    if (this.#kept === undefined) return;
    const { byteLength, buffer } = chunk;
    this.#keptBytes += byteLength + CHUNK_OVERHEAD;
    // Deno may yield one byte in a buffer of 64 KB. With an upload of one byte
    // at a time, keeping the buffers of 10,000 bytes took 460 MB.
    this.#kept.push(byteLength * 8 < buffer.byteLength ? chunk.slice() : chunk);
  }
}

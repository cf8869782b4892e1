/**
 * A request's body as one tagged value that says what can be done with it:
 *
 * - `none`: there is none;
 * - `whole`: all of it is here, and it can be sent as often as needed;
 * - `replayable`: it is read as it is sent, and all that was read is kept, so
 *   it can be begun anew as long as nothing has reached a backend;
 * - `once`: it is read as it is sent, and its beginning is gone.
 *
 * What is declared and small is `whole` before a backend is picked, so a slow
 * client costs no backend anything. {@linkcode ClientBody} reads all of them:
 * it owns the size limit, and knows since when the client is waited for.
 *
 * @module
 */

import type { Clock } from "../base/clock.ts";
import { type Chunk, type Reading, reading } from "./body.ts";
import type { Read } from "./headers.ts";
import { TOO_LARGE } from "./reasons.ts";
import type { Server } from "./server.ts";
import { watchClient, type Watched } from "./watch.ts";

/** Bytes of a declared body that are read whole, so that it can be sent again. */
export const KEPT_BODY = 64 * 1024;

/** Bytes of a streamed body that are kept until an answer begins. */
const MOST_KEPT = 512 * 1024;

/** Bytes that a kept piece counts for in addition to its own. */
const PIECE_BYTES = 64;

/** Given to what still reads for an attempt that is over. */
const DEAD = new Error("Cannot read the body: another attempt has begun");

/**
 * Turns of the event loop after which the end of a body without a length is
 * believed. Deno ends the body of an HTTP/2 upload that the client has cancelled
 * as if it were whole, and tells of the cancelling one or two turns later.
 */
const END_TURNS = 4;

/** Methods whose requests have no body that `fetch` could send. */
const BODILESS: ReadonlySet<string> = new Set(["GET", "HEAD"]);

/** A request's body, by what can be done with it. */
export type Upload = NoUpload | WholeUpload | StreamedUpload;

/** There is no body. */
export interface NoUpload {
  /** Tells it from the others. */
  readonly kind: "none";
}

/** All of the body is here. */
export interface WholeUpload {
  /** Tells it from the others. */
  readonly kind: "whole";
  /** The body. */
  readonly bytes: Chunk;
}

/** There is no body. */
export const NO_UPLOAD: NoUpload = { kind: "none" };

/** What {@linkcode uploadOf} needs to know. */
export interface UploadOptions {
  /** The runtime's server. */
  server: Server;
  /** Bytes of a request body. */
  maxBodyBytes: number;
  /** Time. */
  clock: Clock;
}

/** The request whose upload it is. */
export interface UploadOwner extends Watched {
  /** What the server knows of its connection. */
  readonly connection: unknown;
  readonly fields: Read;
  readonly method: string;
  /** Its declared length. */
  readonly length: string | null;
  /** Its body, once it is read here. */
  clientBody: ClientBody | undefined;
  /** Does something that {@linkcode end} is to end. */
  interruptible<T>(task: () => Promise<T>): Promise<T>;
  /** Ends the request for a reason of this side's. */
  end(cause: Error): void;
  /** Why it was ended. */
  readonly cause: Error | undefined;
}

/** The upload of a request. A promise where something has to be read first. */
export function uploadOf(
  x: UploadOwner,
  { server, maxBodyBytes, clock }: UploadOptions,
): Upload | Promise<Upload> {
  const { request, method, length } = x;
  if (BODILESS.has(method)) return NO_UPLOAD;
  const declared = length === null ? undefined : Number(length);
  if (declared === 0) return NO_UPLOAD;
  const small = declared !== undefined && declared <= KEPT_BODY;
  if (small) {
    const bytes = server.whole?.(request, declared);
    if (bytes !== undefined) return { kind: "whole", bytes };
  }
  const stream = request.body as ReadableStream<Chunk> | null;
  if (stream === null) return NO_UPLOAD;
  const body = x.clientBody = new ClientBody(
    server.reading?.(stream, declared) ?? reading(stream),
    declared,
    clock,
    maxBodyBytes,
  );
  body.onTooLarge = () => x.end(TOO_LARGE);
  if (small) return x.interruptible(() => received(body, declared));
  const streamed = new StreamedUpload(body);
  if (
    declared !== undefined || x.fields.get("transfer-encoding") !== null
  ) return streamed;
  // HTTP/2 frames a body without either field, and so may a request that was
  // made in code. Deno has a stream also where HTTP/1.1 says that there is no
  // body; sent on, it would arrive as chunked, which some servers refuse.
  if (server.connectionOf?.(x.connection) !== undefined) {
    watchClient(x);
    // HTTP/1.1, which is what a `Host` looks like, has no body then, and is not
    // to wait for it.
    const mayBeNone = x.fields.get("host") !== null;
    body.confirmEnd = (size) =>
      size === 0 && mayBeNone ? undefined : uncancelled(x, clock);
  }
  return x.interruptible(() => streamed.first()).then((first) =>
    first === undefined ? NO_UPLOAD : streamed
  );
}

/** Waits until a client that has cancelled its upload would have been heard of. */
async function uncancelled(x: UploadOwner, clock: Clock): Promise<void> {
  for (let i = 0; i < END_TURNS && x.cause === undefined; i++) {
    await new Promise<void>((resolve) => void clock.setTimeout(resolve, 0));
  }
  if (x.cause !== undefined) throw x.cause;
}

/** Reads a small body whole. It may be shorter than it should only if made in code. */
async function received(body: ClientBody, length: number): Promise<Upload> {
  let bytes = await body.read();
  if (bytes !== undefined && bytes.byteLength < length) {
    const first = bytes;
    bytes = new Uint8Array(length);
    let at = 0;
    for (let piece: Chunk | undefined = first; at < length;) {
      if (piece === undefined || at + piece.byteLength > length) break;
      bytes.set(piece, at);
      at += piece.byteLength;
      if (at < length) piece = await body.read();
    }
    if (at < length) throw body.fail();
  }
  if (bytes?.byteLength !== length) throw body.fail();
  // Deno ends a connection whose request was not read to its end.
  body.read().catch(() => {});
  return { kind: "whole", bytes };
}

/** A client's body as it is read, with its clock and its limit. */
export class ClientBody {
  /** When the wait for the next piece began, or the last piece came. */
  movedAt: number;
  /** Whether all of it has come. */
  ended = false;
  /** Whether a piece failed to come, which is the client's doing. */
  broken = false;
  /** Waits until its end can be believed; rejects if it was cut. */
  confirmEnd: ((size: number) => Promise<void> | undefined) | undefined;
  /** Called when it is larger than it may be. */
  onTooLarge: () => void = () => {};
  /** The length that the client declared, if it did. */
  readonly length: number | undefined;
  readonly #reading: Reading;
  readonly #clock: Clock;
  readonly #most: number;
  #size = 0;
  #reads = false;

  constructor(
    reading: Reading,
    length: number | undefined,
    clock: Clock,
    most: number,
  ) {
    this.#reading = reading;
    this.length = length;
    this.#clock = clock;
    this.#most = most;
    this.movedAt = clock.now();
  }

  /** Whether the client is being waited for, and not the backend. */
  get waits(): boolean {
    // Nobody waits for the end of what has a length.
    return this.#reads && !this.ended;
  }

  /** The next piece; none at the end. One read at a time. */
  async read(): Promise<Chunk | undefined> {
    this.#reads = true;
    this.movedAt = this.#clock.now();
    let piece: Chunk | undefined;
    try {
      // Deno gives an empty piece of a body that is empty.
      do piece = await this.#reading.read(); while (piece?.byteLength === 0);
      if (piece === undefined) await this.confirmEnd?.(this.#size);
    } catch (error) {
      this.broken = true;
      throw error;
    } finally {
      this.#reads = false;
      this.movedAt = this.#clock.now();
    }
    if (piece === undefined) {
      this.ended = true;
      return undefined;
    }
    this.#size += piece.byteLength;
    if (this.#size === this.length) this.ended = true;
    if (this.#size > this.#most) {
      this.onTooLarge();
      throw TOO_LARGE;
    }
    return piece;
  }

  /** Says that it is not as long as it was declared; the error to throw. */
  fail(): Error {
    this.broken = true;
    return new Error("Cannot forward: the body has another length");
  }

  /** Gives up what has not been read. */
  cancel(why: unknown): void {
    this.#reading.cancel(why);
  }

  /** Takes the memory of a piece back. */
  reuse(piece: Chunk): void {
    this.#reading.reuse?.(piece);
  }
}

/**
 * A body that is read as it is sent, and that can be begun anew as long as
 * nothing of it was sent: what `fetch` has pulled before it found no backend to
 * send it to is kept for the next attempt. Deno pulls about two pieces before it
 * connects. They would be missing from the next attempt unnoticed, since a
 * chunked body that lacks its beginning looks whole.
 */
export class StreamedUpload {
  /** The client's side of it. */
  readonly body: ClientBody;
  #kept: Chunk[] | undefined = [];
  #keptBytes = 0;
  #attempt = 0;
  #pending: Promise<Chunk | undefined> | undefined;

  constructor(body: ClientBody) {
    this.body = body;
  }

  /** Whether {@linkcode stream} would begin at the beginning. */
  get kind(): "replayable" | "once" {
    return this.#kept === undefined ? "once" : "replayable";
  }

  /** The length that the client declared, if it did. */
  get length(): number | undefined {
    return this.body.length;
  }

  /** Reads the first piece and keeps it; none if the body is empty. */
  first(): Promise<Chunk | undefined> {
    return this.#pending ??= this.#next();
  }

  /** The body from its beginning; what was given out before is dead then. */
  stream(): ReadableStream<Chunk> {
    const { read, cancel } = this.reading();
    return new ReadableStream<Chunk>({
      pull: async (controller) => {
        let piece: Chunk | undefined;
        try {
          piece = await read();
        } catch (error) {
          // The attempt that this stream was for is over, and wants no error.
          if (error === DEAD) return;
          throw error;
        }
        if (piece === undefined) controller.close();
        else controller.enqueue(piece);
      },
      cancel,
    }, { highWaterMark: 0 });
  }

  /**
   * The same, piece by piece. Unless it `keeps` what it reads, the body cannot be
   * begun anew once anything new was read: for what reads nothing before there is
   * a connection that takes it.
   */
  reading(keeps = true): Reading {
    const attempt = ++this.#attempt;
    // Its own hold on what is kept: an answer may begin, and all be forgotten,
    // before this attempt has been given what an earlier one had read.
    let kept = this.#kept;
    let at = 0;
    return {
      read: async () => {
        if (kept !== undefined && at < kept.length) return kept[at++]!;
        if (!keeps) this.#kept = undefined;
        if (this.#kept === undefined) kept = undefined;
        // One read is under way at most, whichever attempt asked for it.
        this.#pending ??= this.#next();
        const piece = await this.#pending;
        if (attempt !== this.#attempt) throw DEAD;
        at++;
        // More than `fetch` pulls ahead means that it is being sent. Not before
        // this attempt has the piece: nothing else would hold it.
        if (this.#keptBytes > MOST_KEPT) this.#kept = undefined;
        return piece;
      },
      cancel: (why) => {
        if (attempt === this.#attempt && this.#kept === undefined) {
          this.body.cancel(why);
        }
      },
      reuse: (piece) => {
        if (this.#kept === undefined) this.body.reuse(piece);
      },
    };
  }

  /** Nothing need be kept any more: an answer has begun. */
  forget(): void {
    this.#kept = undefined;
  }

  /** An answer of ours is given before its end: the rest is for no backend. */
  abandon(why: unknown): void {
    this.#attempt++;
    this.body.cancel(why);
  }

  async #next(): Promise<Chunk | undefined> {
    try {
      const piece = await this.body.read();
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
    // Deno gives a byte in a buffer of 64 KB. An upload that dribbles a byte at
    // a time would have each of them kept: 10,000 bytes took 460 MB.
    this.#kept.push(byteLength * 8 < buffer.byteLength ? piece.slice() : piece);
  }
}

/**
 * A request's body on its way to a socket.
 *
 * @module
 */

import { type Chunk, joined } from "./bytes.ts";
import type { Payload } from "./call.ts";
import type { Socket } from "./socket.ts";

/** Bytes that may wait for the socket before the next piece is read. */
const AHEAD = 256 * 1024;

/** Bytes of a piece that is copied to leave in one write with its framing. */
const COPIED = 64 * 1024;

/** Takes how an {@linkcode Uploading} ends. */
export interface UploadingEvents {
  /** All of it was written. */
  uploaded(): void;
  /** It failed by itself: its source broke, or its length was not as declared. */
  failed(error: Error, uploading: Uploading): void;
}

/** Sends one body, no faster than the socket takes it. */
export class Uploading {
  readonly #socket: Socket;
  readonly #payload: Payload;
  readonly #events: UploadingEvents;
  #stopped = false;
  #over = false;
  #drained: (() => void) | undefined;
  /** Pieces that have not left. */
  #under: Chunk[] = [];

  /** Makes one that has not begun. */
  constructor(socket: Socket, payload: Payload, events: UploadingEvents) {
    this.#socket = socket;
    this.#payload = payload;
    this.#events = events;
  }

  /** Whether all of it was written. */
  get over(): boolean {
    return this.#over;
  }

  /** Sends it. Never rejects. */
  async start(): Promise<void> {
    const { reading, length } = this.#payload;
    let sent = 0;
    try {
      for (;;) {
        if (sent === length && !this.#over) this.#end();
        // The end of a declared body is read too: one that goes on is a fault,
        // and Deno closes a client's connection that was not read to its end.
        const piece = await reading.read();
        if (this.#stopped) return;
        if (piece === undefined) break;
        if (piece.length === 0) continue;
        sent += piece.length;
        if (length === undefined) this.#chunk(piece);
        else if (sent > length) throw new TypeError(TOO_LONG);
        else this.#socket.write(piece);
        this.#under.push(piece);
        if (this.#socket.queued === 0) this.#reuse();
        if (this.#socket.queued > AHEAD) {
          await new Promise<void>((resolve) => this.#drained = resolve);
          if (this.#stopped) return;
        }
      }
      if (length === undefined) {
        this.#socket.write(LAST_CHUNK);
        this.#end();
      } else if (sent < length) {
        throw new TypeError(TOO_SHORT);
      }
    } catch (error) {
      if (!this.#stopped) this.#events.failed(error as Error, this);
    }
  }

  /** The socket has room again. */
  drained(): void {
    this.#reuse();
    const drained = this.#drained;
    this.#drained = undefined;
    drained?.();
  }

  /** Reads no more of it, and gives up what was not read. */
  stop(why: unknown): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#under = [];
    this.drained();
    this.#payload.reading.cancel(why);
  }

  #reuse(): void {
    const { reading } = this.#payload;
    for (const piece of this.#under) reading.reuse?.(piece);
    this.#under = [];
  }

  #end(): void {
    this.#over = true;
    this.#events.uploaded();
  }

  /** Writes a chunk (RFC 9112 §7.1). */
  #chunk(piece: Chunk): void {
    const size = `${piece.length.toString(16)}\r\n`;
    const framing = new Uint8Array(size.length);
    for (let at = 0; at < size.length; at++) framing[at] = size.charCodeAt(at);
    if (piece.length <= COPIED) {
      this.#socket.write(joined([framing, piece, CRLF]));
    } else {
      this.#socket.write(framing);
      this.#socket.write(piece);
      this.#socket.write(CRLF);
    }
  }
}

const CRLF = new Uint8Array([13, 10]);
const LAST_CHUNK = new Uint8Array([48, 13, 10, 13, 10]); // "0", and no trailers
const TOO_LONG = "Cannot send: the body is longer than was declared";
const TOO_SHORT = "Cannot send: the body is shorter than was declared";

/**
 * Sends a request's body to a socket.
 *
 * @module
 */

import { bytesOf, type Chunk, joined } from "./bytes.ts";
import type { Payload } from "./call.ts";
import type { Socket } from "./socket.ts";

/** Chunks up to this size are copied to be sent with their framing. */
const COPIED = 64 * 1024;

/** Is notified of the end of an {@linkcode Uploading}. */
export interface UploadingEvents {
  /** All of it was written. */
  uploaded(): void;
  /** Its source failed, or its length differs from the declared one. */
  failed(error: Error, uploading: Uploading): void;
}

/** Sends one body, with backpressure from the socket. */
export class Uploading {
  readonly #socket: Socket;
  readonly #payload: Payload;
  readonly #events: UploadingEvents;
  #stopped = false;
  #over = false;
  #drained: (() => void) | undefined;
  /** Chunks that were not sent. */
  #unsent: Chunk[] = [];

  /** Makes an upload that has not started. */
  constructor(socket: Socket, payload: Payload, events: UploadingEvents) {
    this.#socket = socket;
    this.#payload = payload;
    this.#events = events;
  }

  /** Whether all of it was written. */
  get over(): boolean {
    return this.#over;
  }

  /** Sends the body. Never rejects. */
  async start(): Promise<void> {
    const { reading, length } = this.#payload;
    let sent = 0;
    try {
      for (;;) {
        if (sent === length && !this.#over) this.#end();
        // One chunk at a time: more of them would fill the kernel no faster,
        // and their memory would no longer be in the processor's cache.
        if (this.#socket.queued > 0) {
          await new Promise<void>((resolve) => this.#drained = resolve);
          if (this.#stopped) return;
        }
        // Also reads past the end of a declared body: more data is an error,
        // and Deno closes a client's connection that was not read to its end.
        const chunk = await reading.read();
        if (this.#stopped) return;
        if (chunk === undefined) break;
        if (chunk.length === 0) continue;
        sent += chunk.length;
        if (length === undefined) this.#chunk(chunk);
        else if (sent > length) throw new TypeError(TOO_LONG);
        else this.#socket.write(chunk);
        this.#unsent.push(chunk);
        if (this.#socket.queued === 0) this.#reuse();
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

  /** Stops reading, and cancels the rest. */
  stop(why: unknown): void {
    if (this.#stopped) return;
    this.#stopped = true;
    this.#unsent = [];
    this.drained();
    this.#payload.reading.cancel(why);
  }

  #reuse(): void {
    const { reading } = this.#payload;
    for (const chunk of this.#unsent) reading.reuse?.(chunk);
    this.#unsent = [];
  }

  #end(): void {
    this.#over = true;
    this.#events.uploaded();
  }

  /** Writes a chunk (RFC 9112 §7.1). */
  #chunk(chunk: Chunk): void {
    const framing = bytesOf(`${chunk.length.toString(16)}\r\n`);
    if (chunk.length <= COPIED) {
      this.#socket.write(joined([framing, chunk, CRLF]));
    } else {
      this.#socket.write(framing);
      this.#socket.write(chunk);
      this.#socket.write(CRLF);
    }
  }
}

const CRLF = bytesOf("\r\n");
const LAST_CHUNK = bytesOf("0\r\n\r\n"); // no trailers
const TOO_LONG = "Cannot send: the body is longer than was declared";
const TOO_SHORT = "Cannot send: the body is shorter than was declared";

/**
 * Reads one response from a connection that is closed afterwards.
 *
 * The reader owns the connection from start to end: it closes it when the
 * response has ended, is malformed or is cancelled. The exception is a 101:
 * then it hands the connection over.
 *
 * @module
 */

import { BodyReader } from "./body.ts";
import { type Chunk, Ended, joined } from "./bytes.ts";
import { framingOf } from "./framing.ts";
import { type AnswerHead, HeadReader } from "./head.ts";
import type { Socket, SocketEvents } from "./socket.ts";

/**
 * Bytes of a body that are read before they are requested. A response that fits
 * is read completely and its connection closed, even if its body is never read.
 */
const READ_AHEAD = 64 * 1024;

/** Reads one response. */
export class AnswerReader implements SocketEvents {
  readonly #socket: Socket;
  readonly #method: string;
  readonly #heads = new HeadReader();
  readonly #head = Promise.withResolvers<AnswerHead>();
  #headCame = false;
  #begun = false;
  /** Bytes after the head, or of the body, that were not consumed yet. */
  #waiting: Chunk[] = [];
  #waits = 0;
  #paused = true;
  #body: BodyReader | undefined;
  #stream: ReadableStreamDefaultController<Chunk> | undefined;
  #wanted = false;
  /** How the connection has ended; `true`: properly. */
  #ended: true | Error | undefined;

  /** Takes over a connection; `method` is that of the request. */
  constructor(socket: Socket, method: string) {
    this.#socket = socket;
    this.#method = method;
    // Avoids an unhandled rejection if the reader is closed before `head()`.
    this.#head.promise.catch(() => {});
    socket.listen(this);
  }

  /** Whether any byte of the response has arrived. */
  get begun(): boolean {
    return this.#begun;
  }

  /**
   * Reads the head of the final response.
   *
   * @throws {Malformed | Ended} The connection is then closed.
   */
  head(): Promise<AnswerHead> {
    if (!this.#headCame && this.#ended === undefined) this.#pause(false);
    return this.#head.promise;
  }

  /**
   * Hands over the connection, paused, with the bytes after the head. Further
   * bytes are added to them until it has another listener.
   */
  detach(): readonly Chunk[] {
    return this.#waiting;
  }

  /**
   * Reads the body: complete if it has arrived already, otherwise a stream.
   * Also corrects the fields of the head, see {@linkcode framingOf}.
   *
   * @throws {Malformed} If its framing is invalid.
   */
  body(head: AnswerHead): Chunk | ReadableStream<Chunk> {
    const chunks = this.#waiting;
    const ended = this.#ended;
    this.#waiting = [];
    this.#waits = 0;
    try {
      this.#body = new BodyReader(framingOf(head, this.#method));
      for (const chunk of chunks) this.#take(chunk);
      if (ended !== undefined) this.#bodyEnds(ended);
    } catch (error) {
      this.close(error as Error);
      throw error;
    }
    if (this.#body.over) {
      this.#ended = true;
      this.#socket.destroy();
      return joined(this.#waiting);
    }
    const stream = new ReadableStream<Chunk>({
      start: (controller) => {
        this.#stream = controller;
      },
      pull: () => {
        this.#wanted = true;
        this.#give();
      },
      cancel: () => this.close(new Ended("Cannot read: cancelled")),
    }, { highWaterMark: 0 });
    if (this.#ended === undefined) this.#pause(false);
    return stream;
  }

  /** Closes the connection and fails pending reads with `why`. */
  close(why: Error): void {
    this.#fail(why);
    this.#waiting = [];
    this.#waits = 0;
    this.#socket.destroy();
  }

  data(bytes: Chunk): void {
    // A destroyed connection may still deliver data.
    if (this.#ended !== undefined) return;
    this.#begun = true;
    try {
      if (this.#body !== undefined) {
        this.#take(bytes);
        if (this.#body.over) this.#bodyEnds(true);
        else if (this.#waits >= READ_AHEAD) this.#pause(true);
        this.#give();
      } else if (this.#headCame) {
        this.#waiting.push(bytes);
      } else {
        const at = this.#heads.push(bytes);
        if (at < 0) return;
        this.#pause(true);
        this.#headCame = true;
        if (at < bytes.length) this.#waiting.push(bytes.subarray(at));
        this.#head.resolve(this.#heads.take());
      }
    } catch (error) {
      this.#fail(error as Error);
      this.#socket.destroy();
    }
  }

  ended(error?: Error): void {
    if (this.#ended !== undefined) return;
    if (this.#body !== undefined) {
      this.#bodyEnds(error ?? true);
      this.#give();
    } else if (this.#headCame) {
      // Reported when the body is read or the connection handed over.
      this.#ended = error ?? true;
    } else {
      this.#fail(error ?? new Ended("Cannot read: no whole head"));
      this.#socket.destroy();
    }
  }

  drained(): void {}

  #pause(paused: boolean): void {
    if (this.#paused === paused) return;
    this.#paused = paused;
    if (paused) this.#socket.pause();
    else this.#socket.resume();
  }

  #take(bytes: Chunk): void {
    const chunk = this.#body!.push(bytes);
    if (chunk.length === 0) return;
    this.#waiting.push(chunk);
    this.#waits += chunk.length;
  }

  /** The body or the connection has ended. */
  #bodyEnds(how: true | Error): void {
    try {
      if (how === true) this.#body!.end();
      this.#ended = how;
    } catch (error) {
      this.#ended = error as Error;
    }
    this.#socket.destroy();
  }

  #fail(error: Error): void {
    this.#ended ??= error;
    this.#head.reject(error);
    this.#stream?.error(error);
    this.#stream = undefined;
  }

  /** Passes available bytes to a pending read. */
  #give(): void {
    const stream = this.#stream;
    if (stream === undefined || !this.#wanted) return;
    if (this.#waits > 0) {
      this.#wanted = false;
      const bytes = joined(this.#waiting);
      this.#waiting = [];
      this.#waits = 0;
      stream.enqueue(bytes);
      if (this.#ended === undefined) return this.#pause(false);
    }
    if (this.#ended === undefined) return;
    this.#stream = undefined;
    // Data that came before an error is delivered before the error.
    if (this.#ended === true) stream.close();
    else stream.error(this.#ended);
  }
}

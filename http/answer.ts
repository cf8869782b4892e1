/**
 * One answer, read from a connection that is closed behind it.
 *
 * The reader is the connection's one owner, from the first byte to the last: it
 * closes it when the answer has ended, is malformed, is cancelled or is given
 * up, and otherwise hands it on, once, to whatever goes on with it after a 101.
 *
 * @module
 */

import { BodyReader } from "./body.ts";
import { type Chunk, Ended, joined } from "./bytes.ts";
import { framingOf } from "./framing.ts";
import { type AnswerHead, HeadReader } from "./head.ts";
import type { Socket, SocketEvents } from "./socket.ts";

/**
 * Bytes of a body that are read before they are asked for. An answer that fits
 * is read whole and its connection closed, also when its body is never read.
 */
const AHEAD = 64 * 1024;

/** Reads one answer. */
export class AnswerReader implements SocketEvents {
  readonly #socket: Socket;
  readonly #method: string;
  readonly #heads = new HeadReader();
  readonly #head = Promise.withResolvers<AnswerHead>();
  #headCame = false;
  #begun = false;
  /** Bytes behind the head, or of the body, that were not taken yet. */
  #waiting: Chunk[] = [];
  #waits = 0;
  #paused = true;
  #body: BodyReader | undefined;
  #stream: ReadableStreamDefaultController<Chunk> | undefined;
  #wanted = false;
  /** How the connection has ended: `true` for properly. */
  #ended: true | Error | undefined;

  /** Takes over a connection; `method` is what the answer is an answer to. */
  constructor(socket: Socket, method: string) {
    this.#socket = socket;
    this.#method = method;
    // An answer that is given up before its head is awaited rejects unheard.
    this.#head.promise.catch(() => {});
    socket.listen(this);
  }

  /** Whether a byte of the answer has come. */
  get begun(): boolean {
    return this.#begun;
  }

  /**
   * Reads the head of the final answer.
   *
   * @throws {Malformed | Ended} And the connection is closed.
   */
  head(): Promise<AnswerHead> {
    if (!this.#headCame && this.#ended === undefined) this.#pause(false);
    return this.#head.promise;
  }

  /**
   * Hands the connection on, paused, with what came behind the head. What comes
   * before it has another listener is added to that.
   */
  detach(): readonly Chunk[] {
    return this.#waiting;
  }

  /**
   * Reads the body: all of it if it is here already, or a stream. The fields of
   * the head are put right by that, see {@linkcode framingOf}.
   *
   * @throws {Malformed} If it is not framed as it may be.
   */
  body(head: AnswerHead): Chunk | ReadableStream<Chunk> {
    const pieces = this.#waiting;
    const ended = this.#ended;
    this.#waiting = [];
    this.#waits = 0;
    try {
      this.#body = new BodyReader(framingOf(head, this.#method));
      for (const piece of pieces) this.#take(piece);
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

  /** Closes the connection, and breaks off what is being read, with `why`. */
  close(why: Error): void {
    this.#fail(why);
    this.#waiting = [];
    this.#waits = 0;
    this.#socket.destroy();
  }

  data(bytes: Chunk): void {
    // A connection that was destroyed may still have something to say.
    if (this.#ended !== undefined) return;
    this.#begun = true;
    try {
      if (this.#body !== undefined) {
        this.#take(bytes);
        if (this.#body.over) this.#bodyEnds(true);
        else if (this.#waits >= AHEAD) this.#pause(true);
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
      // What goes on with the connection, or with the body, is told of it then.
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
    const piece = this.#body!.push(bytes);
    if (piece.length === 0) return;
    this.#waiting.push(piece);
    this.#waits += piece.length;
  }

  /** The body has come to its end, or the connection has. */
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

  /** Gives what is here to a reader that waits for it. */
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
    // What came before it broke was given, and then that it broke.
    if (this.#ended === true) stream.close();
    else stream.error(this.#ended);
  }
}

/**
 * One connection to a backend, which carries one request at a time.
 *
 * It owns the socket. Between requests it keeps listening: a connection that
 * has ended is not used again, and unexpected bytes close it and are never read
 * as a response.
 *
 * @module
 */

import { AnswerBody, type AnswerBodySource } from "./answer_body.ts";
import { BodyReader } from "./body.ts";
import { type Chunk, Ended, Malformed } from "./bytes.ts";
import { type Answer, type Call, type Reason, Unanswered } from "./call.ts";
import { framingOf, hasNone } from "./framing.ts";
import { BufferedBody, type Buffers } from "./buffered_body.ts";
import { type FieldLines, HeadReader } from "./head.ts";
import { secondsOf } from "./persistence.ts";
import { ReadSize } from "./read_size.ts";
import { roomFor, writeHead } from "./request.ts";
import type { Signal, SignalListener } from "./signal.ts";
import type { CountingSocket, SocketEvents } from "./socket.ts";
import { Uploading, type UploadingEvents } from "./uploading.ts";

/** The owner of a {@linkcode Connection}. */
export interface ConnectionOwner extends Buffers {
  /** Responses up to this declared length are buffered. */
  readonly wholeUpTo: number;
  /** The connection is ready for a request for this many seconds. */
  parked(connection: Connection, seconds: number): void;
  /** It has rested since it was parked. */
  rested(connection: Connection): void;
  /** The connection is closed. */
  closed(connection: Connection): void;
  /** A response is being buffered, which may take time. */
  buffering(connection: Connection): void;
  /**
   * Whether the request may still be sent after the end of its response, for a
   * limited time; `reads`: its body is still being read.
   */
  lingers(connection: Connection, reads: boolean): boolean;
  /** Repeats a request if that is allowed; returns whether it does. */
  again(call: Call, sent: boolean): boolean;
}

/** Bodies up to this size are copied out of the read buffer. */
const COPIED = 4 * 1024;

const NONE: Chunk = new Uint8Array(0);

/** One connection. */
export class Connection
  implements SocketEvents, AnswerBodySource, UploadingEvents, SignalListener {
  /** The owner's tick after which it is too old to use. */
  until = 0;
  /** The owner's turn in which it was parked. */
  since = 0;
  /** Whether it was parked in this turn of the event loop. */
  resting = false;
  /** Whether bytes have come that no request had asked for. */
  unasked = false;
  readonly #socket: CountingSocket;
  readonly #owner: ConnectionOwner;
  readonly #heads = new HeadReader();
  /** The request without a response so far. */
  #call: Call | undefined;
  /** The request's signal; `undefined` without a request. */
  #signal: Signal | undefined;
  /** Its upload. */
  #upload: Uploading | undefined;
  #buffer: Chunk | undefined;
  /** Bytes sent before it. */
  #mark = 0;
  /** Whether any byte of its response has arrived. */
  #begun = false;
  /** The decoder of its response body, and its destination. */
  #framed: BodyReader | undefined;
  #body: AnswerBody | undefined;
  /** The response's head, and its body while it is buffered. */
  #status = 0;
  #fields: FieldLines = [];
  #buffered: BufferedBody | undefined;
  /** Seconds for which the connection is kept afterwards. */
  #seconds = 0;
  /** Whether the upload may continue after the end of the response. */
  #lingers = false;
  #used = false;
  #paused = false;
  #closed = false;
  #reads = new ReadSize(Infinity);
  /** Whether the socket reads to where it is told. */
  #asks = false;

  /** Whether it is closed: a new one may have ended already. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Whether the request body is still being sent. */
  get #uploads(): boolean {
    return this.#upload?.over === false;
  }

  /** Takes over a socket. */
  constructor(socket: CountingSocket, owner: ConnectionOwner) {
    this.#socket = socket;
    this.#owner = owner;
    socket.listen(this);
    socket.resume();
  }

  /**
   * Sends a request. Its head and a small body are sent in one write.
   *
   * @throws {TypeError} If it is invalid; nothing has changed then.
   */
  begin(call: Call): void {
    const { request } = call;
    const { payload, signal } = request;
    const room = this.#owner.takeBuffer(roomFor(request));
    const size = writeHead(room, request, call.framing, request.alone === true);
    this.#call = call;
    this.#signal = signal;
    this.#begun = false;
    this.#mark = this.#socket.left;
    signal.addEventListener("abort", this);
    this.#send(call, room, size);
    if (payload === undefined) return;
    this.#upload = new Uploading(this.#socket, payload, this);
    // The body is read only after the head was sent, so that the request can be
    // sent on another connection if writing to this one fails.
    if (this.#socket.queued === 0) this.#startUpload(call);
  }

  #startUpload(call: Call): void {
    call.begun = true;
    this.#upload!.start();
  }

  /** Closes it at once, with the request that it carries. */
  close(why: unknown): void {
    this.#fail("ended", why, false);
  }

  /** This turn of the event loop has ended. */
  rested(): void {
    if (this.#closed) return;
    this.resting = false;
    this.#owner.rested(this);
  }

  /** Passes on a buffered response that takes too long. */
  bufferedLongEnough(): void {
    const buffered = this.#buffered;
    if (buffered === undefined || this.#closed) return;
    this.#buffered = undefined;
    this.#framed = new BodyReader(buffered.length);
    this.#reads = new ReadSize(buffered.missing);
    // A copy: the next bytes are being read into the same memory, which a reader
    // may give up.
    this.#stream(this.#framed.push(buffered.bytes.slice()));
  }

  /** Handles the signal's event. */
  handleEvent(): void {
    this.#fail("ended", this.#signal?.reason, true);
  }

  room(): Chunk | undefined {
    this.#asks = true;
    if (this.#buffered !== undefined) return this.#buffered.room;
    if (this.#framed === undefined) return undefined;
    return this.#reads.room();
  }

  data(bytes: Chunk): boolean {
    if (this.#closed) return true;
    try {
      if (this.#framed !== undefined) return this.#bodyCame(bytes);
      if (this.#buffered !== undefined) {
        return this.#addBuffered(this.#buffered, bytes);
      }
      if (this.#call === undefined) {
        this.unasked = true;
        this.#drop();
        return true;
      }
      this.#begun = true;
      const at = this.#heads.push(bytes);
      return at < 0 || this.#headCame(this.#call, bytes, at);
    } catch (error) {
      this.#fail("malformed", error, false);
      return true;
    }
  }

  ended(error?: Error): void {
    if (this.#closed) return;
    const framed = this.#framed;
    if (framed === undefined) {
      if (this.#buffered !== undefined) {
        return this.#fail("cut", error, false);
      }
      return this.#fail(error === undefined ? "ended" : "broken", error, false);
    }
    try {
      if (error !== undefined) throw error;
      framed.end();
    } catch (error) {
      return this.#fail("cut", error, false);
    }
    this.#seconds = 0;
    this.#over();
  }

  drained(): void {
    if (this.#closed) return;
    if (this.#buffer !== undefined) {
      this.#owner.returnBuffer(this.#buffer);
      this.#buffer = undefined;
    }
    if (this.#call?.begun === false && this.#upload !== undefined) {
      this.#startUpload(this.#call);
    } else {
      this.#upload?.drained();
    }
    if (this.#signal === undefined && this.#seconds > 0) this.#park();
  }

  wanted(): void {
    this.#pause(false);
  }

  emptied(): void {
    // If pausing is expensive, the next read starts while this chunk is used.
    if (this.#socket.ahead > 1) this.#pause(false);
  }

  cancelled(why: unknown): void {
    this.#fail("ended", why, true);
  }

  uploaded(): void {
    // The response has ended; only the upload was still running.
    if (this.#signal === undefined) this.#drop();
  }

  failed(error: Error, uploading: Uploading): void {
    if (this.#upload === uploading) this.#fail("payload", error, false);
  }

  #send({ request: { whole } }: Call, room: Chunk, size: number): void {
    const socket = this.#socket;
    const bytes = size + (whole?.length ?? 0);
    if (whole === undefined || bytes > room.length) {
      socket.write(room.subarray(0, size));
      if (whole !== undefined) socket.write(whole);
    } else {
      room.set(whole, size);
      socket.write(room.subarray(0, bytes));
    }
    if (socket.queued === 0) this.#owner.returnBuffer(room);
    else this.#buffer = room;
  }

  /** Handles the head, which ends at `at`. */
  #headCame(call: Call, bytes: Chunk, at: number): boolean {
    const head = this.#heads.take();
    const { status } = head;
    if (status === 101) throw new Malformed("Cannot read: an unasked upgrade");
    const { method } = call.request;
    const framing = framingOf(head, method);
    this.#seconds = framing === "close" || call.request.alone === true
      ? 0
      : secondsOf(head.minor, head.fields);
    // A server may end a kept connection with a 408, which is no response to
    // this request (RFC 9110 §15.5.9): it is repeated, as after any other end.
    if (
      status === 408 && this.#used && this.#seconds === 0 && !call.begun &&
      call.request.repeatable
    ) {
      this.#begun = false;
      this.#fail("ended", undefined, false);
      return true;
    }
    if (this.#uploads) {
      // The rest of the upload could be read as the next request, so the
      // connection is not reused. The upload continues unless the backend
      // closes.
      this.#lingers = this.#seconds > 0;
      this.#seconds = 0;
    }
    this.#status = status;
    this.#fields = head.fields;
    const here = bytes.length - at;
    if (typeof framing === "number") {
      if (here >= framing) {
        if (here > framing) this.#overrun();
        if (framing > 0) return this.#given(bytes.subarray(at, at + framing));
        return this.#given(hasNone(method, status) ? null : NONE);
      }
      if (framing <= this.#owner.wholeUpTo) {
        this.#buffered = new BufferedBody(this.#owner, framing);
        this.#buffered.add(bytes.subarray(at));
        this.#owner.buffering(this);
        return true;
      }
    }
    this.#framed = new BodyReader(framing);
    this.#reads = new ReadSize(
      typeof framing === "number" ? framing - here : Infinity,
    );
    const first = this.#framed.push(bytes.subarray(at));
    if (this.#framed.over) {
      if (this.#framed.excess > 0) this.#overrun();
      return this.#given(first);
    }
    const small = first.length <= COPIED;
    this.#stream(small ? first.slice() : first);
    return small;
  }

  /** Bytes have come after the end of the response. */
  #overrun(): void {
    this.unasked = this.#seconds > 0;
    this.#seconds = 0;
  }

  /**
   * Resolves a response with a complete body; true if its bytes were copied.
   */
  #given(body: Uint8Array | null): boolean {
    const copies = body === null || body.length <= COPIED;
    const given = body === null || !copies || body.length === 0
      ? body
      : body.slice();
    this.#answer(given as Chunk | null);
    this.#over();
    return copies;
  }

  /** Resolves a response whose body continues. */
  #stream(first: Chunk): void {
    const body = this.#body = new AnswerBody(this, this.#asks);
    body.give(first);
    this.#answer(body);
    this.#pauseIfAhead(body);
  }

  #answer(body: Answer["body"], reuse?: () => void): void {
    const call = this.#call!;
    this.#call = undefined;
    call.resolve({ status: this.#status, fields: this.#fields, body, reuse });
    this.#fields = [];
  }

  /** Adds bytes to a buffered response. */
  #addBuffered(buffered: BufferedBody, bytes: Chunk): boolean {
    if (!buffered.add(bytes)) this.#overrun();
    if (buffered.missing === 0) {
      this.#buffered = undefined;
      this.#answer(buffered.bytes, () => buffered.reuse());
      this.#over();
    }
    return true;
  }

  /** Handles bytes of a body. */
  #bodyCame(bytes: Chunk): boolean {
    const framed = this.#framed!;
    const body = this.#body!;
    this.#reads.received(bytes.length);
    const chunk = framed.push(bytes);
    body.give(chunk);
    if (framed.over) {
      if (framed.excess > 0) this.#overrun();
      this.#over();
    } else {
      this.#pauseIfAhead(body);
    }
    return chunk.length === 0;
  }

  #pauseIfAhead(body: AnswerBody): void {
    if (!body.awaited && body.waiting >= this.#socket.ahead) this.#pause(true);
  }

  #pause(paused: boolean): void {
    if (this.#paused === paused || this.#closed) return;
    this.#paused = paused;
    if (paused) this.#socket.pause();
    else this.#socket.resume();
  }

  /** The response has ended. */
  #over(): void {
    this.#signal?.removeEventListener("abort", this);
    this.#signal = undefined;
    this.#body?.end();
    this.#body = this.#framed = undefined;
    this.#pause(false);
    if (this.#uploads) {
      if (!this.#lingers || !this.#owner.lingers(this, true)) this.#drop();
      return;
    }
    this.#upload = undefined;
    if (this.#seconds === 0) this.#drop();
    else if (this.#socket.queued === 0) this.#park();
    // `drained` follows, unless the backend reads no more of the request.
    else this.#owner.lingers(this, false);
  }

  #park(): void {
    const seconds = this.#seconds;
    this.#seconds = 0;
    this.#used = true;
    this.#owner.parked(this, seconds);
  }

  /** Closes the connection between two requests. */
  #drop(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#upload?.stop(new Ended("Cannot send: the answer has come"));
    this.#socket.destroy();
    this.#owner.closed(this);
  }

  /**
   * Closes the connection and fails its request, with the raw cause if `raw`.
   */
  #fail(reason: Reason, cause: unknown, raw: boolean): void {
    if (this.#closed) return;
    const call = this.#call;
    const sent = this.#socket.left > this.#mark;
    this.#signal?.removeEventListener("abort", this);
    this.#signal = this.#call = undefined;
    this.#drop();
    if (call !== undefined) {
      // A kept connection may be closed by the peer just when it is used.
      const stale = this.#used && !this.#begun && !raw &&
        (reason === "ended" || reason === "broken");
      if (stale && this.#owner.again(call, sent)) return;
      call.reject(raw ? cause : new Unanswered(reason, sent, cause));
    }
    this.#body?.end(raw ? cause : new Unanswered(reason, true, cause));
  }
}

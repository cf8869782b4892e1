/**
 * One connection to a backend, and the requests that it carries, one at a time.
 *
 * It is the socket's one owner. Between requests it watches it: a connection
 * that ends is known to have ended before it is used, and bytes that nothing was
 * asked for end it and are never read as an answer.
 *
 * @module
 */

import { AnswerBody, type AnswerBodySource } from "./answer_body.ts";
import { BodyReader } from "./body.ts";
import { type Chunk, Ended, Malformed } from "./bytes.ts";
import { type Answer, type Call, type Reason, Unanswered } from "./call.ts";
import { framingOf } from "./framing.ts";
import { Gathered, type Rooms } from "./gathered.ts";
import { type FieldLines, HeadReader } from "./head.ts";
import { secondsOf } from "./persistence.ts";
import { ReadSize } from "./read_size.ts";
import { roomFor, writeHead } from "./request.ts";
import type { Socket, SocketEvents } from "./socket.ts";
import { Uploading, type UploadingEvents } from "./uploading.ts";

/** A socket that says how much of what was written has left. */
export interface CountingSocket extends Socket {
  /**
   * Bytes that have left or may have: what the kernel has taken, and what it is
   * being handed.
   */
  readonly left: number;
  /** Bytes up to which reading on is cheaper than to pause and to resume. */
  readonly ahead: number;
}

/** What a {@linkcode Connection} belongs to. */
export interface ConnectionOwner extends Rooms {
  /** Bytes up to which an answer of declared length is waited for whole. */
  readonly wholeUpTo: number;
  /** A connection is ready for the next request, for as many seconds. */
  parked(connection: Connection, seconds: number): void;
  /** It has rested since it was parked. */
  rested(connection: Connection): void;
  /** A connection is no more. */
  gone(connection: Connection): void;
  /** An answer is gathered that may take its time. */
  gathers(connection: Connection): void;
  /** An upload would go on behind the end of its answer; says whether it may. */
  lingers(connection: Connection): boolean;
  /** Sends a request again, if it may be; says whether it does. */
  again(call: Call, sent: boolean): boolean;
}

/** Bytes of a body that are copied out of what they came with. */
const COPIED = 4 * 1024;

const NONE: Chunk = new Uint8Array(0);

/** One connection. */
export class Connection
  implements SocketEvents, AnswerBodySource, UploadingEvents {
  /** Its owner's tick from which on it is too old to be used. */
  until = 0;
  /** Its owner's turn in which it came to rest. */
  since = 0;
  /** Whether it was parked in this turn of the event loop. */
  resting = false;
  readonly #socket: CountingSocket;
  readonly #owner: ConnectionOwner;
  readonly #heads = new HeadReader();
  /** The request whose answer has not been given. */
  #call: Call | undefined;
  /** What ends the request; `undefined` when there is none. */
  #signal: AbortSignal | undefined;
  /** What of it goes out. */
  #upload: Uploading | undefined;
  #room: Chunk | undefined;
  /** What had left before it. */
  #mark = 0;
  /** Whether a byte of its answer has come. */
  #begun = false;
  /** How its answer is framed, and where it goes. */
  #framed: BodyReader | undefined;
  #body: AnswerBody | undefined;
  /** Its answer's head, and its body while that is waited for whole. */
  #status = 0;
  #fields: FieldLines = [];
  #gathered: Gathered | undefined;
  /** Seconds for which the connection is kept behind it. */
  #seconds = 0;
  /** Whether an upload may go on behind the end of its answer. */
  #lingers = false;
  #used = false;
  #paused = false;
  #closed = false;
  #reads = new ReadSize(Infinity);

  /** Whether the request's body is still on its way out. */
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
   * Sends a request. Its head and a small body leave in one write.
   *
   * @throws {TypeError} If it cannot be said; nothing has changed then.
   */
  begin(call: Call): void {
    const { request } = call;
    const { payload, signal } = request;
    const room = this.#owner.takeRoom(roomFor(request));
    const size = writeHead(room, request, call.framing, request.alone === true);
    this.#call = call;
    this.#signal = signal;
    this.#begun = false;
    this.#mark = this.#socket.left;
    signal.addEventListener("abort", this);
    this.#send(call, room, size);
    if (payload === undefined) return;
    this.#upload = new Uploading(this.#socket, payload, this);
    // Nothing of it is read before the head has left, so that it can be sent on
    // another connection if this one takes nothing any more.
    if (this.#socket.queued === 0) this.#startUpload(call);
  }

  #startUpload(call: Call): void {
    call.begun = true;
    this.#upload!.start();
  }

  /** Ends it at once, with whatever it carries. */
  close(why: unknown): void {
    this.#fail("ended", why, false);
  }

  /** This turn of the event loop is over. */
  rested(): void {
    if (this.#closed) return;
    this.resting = false;
    this.#owner.rested(this);
  }

  /** An answer that was waited for is given as far as it has come. */
  gatheredLongEnough(): void {
    const gathered = this.#gathered;
    if (gathered === undefined || this.#closed) return;
    this.#gathered = undefined;
    this.#framed = new BodyReader(gathered.length);
    this.#reads = new ReadSize(gathered.missing);
    this.#stream(this.#framed.push(gathered.bytes));
  }

  /** The signal's event. */
  handleEvent(): void {
    this.#fail("ended", this.#signal?.reason, true);
  }

  room(): Chunk | undefined {
    if (this.#gathered !== undefined) return this.#gathered.room;
    if (this.#framed === undefined) return undefined;
    return this.#reads.room();
  }

  data(bytes: Chunk): boolean {
    if (this.#closed) return true;
    try {
      if (this.#framed !== undefined) return this.#bodyCame(bytes);
      if (this.#gathered !== undefined) {
        return this.#gather(this.#gathered, bytes);
      }
      if (this.#call === undefined) {
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
      if (this.#gathered !== undefined) {
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
    if (this.#room !== undefined) {
      this.#owner.giveRoom(this.#room);
      this.#room = undefined;
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
    // Where pausing is dear, what comes next is under way while this is used.
    if (this.#socket.ahead > 1) this.#pause(false);
  }

  cancelled(why: unknown): void {
    this.#fail("ended", why, true);
  }

  uploaded(): void {
    // Its answer has come to its end, and only it was waited for.
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
    if (socket.queued === 0) this.#owner.giveRoom(room);
    else this.#room = room;
  }

  /** The head has come, and ends at `at`. */
  #headCame(call: Call, bytes: Chunk, at: number): boolean {
    const head = this.#heads.take();
    const { status } = head;
    if (status === 101) throw new Malformed("Cannot read: an unasked upgrade");
    const { method } = call.request;
    const framing = framingOf(head, method);
    this.#seconds = framing === "close" || call.request.alone === true
      ? 0
      : secondsOf(head.minor, head.fields);
    if (this.#uploads) {
      // What is not yet sent may be read as the next request: the connection is
      // not used again. The upload goes on, unless the backend says it hangs up.
      this.#lingers = this.#seconds > 0;
      this.#seconds = 0;
    }
    this.#status = status;
    this.#fields = head.fields;
    const here = bytes.length - at;
    if (typeof framing === "number") {
      if (here >= framing) {
        if (here > framing) this.#seconds = 0;
        if (framing > 0) return this.#given(bytes.subarray(at, at + framing));
        return this.#given(hasNone(method, status) ? null : NONE);
      }
      if (framing <= this.#owner.wholeUpTo) {
        this.#gathered = new Gathered(this.#owner, framing);
        this.#gathered.add(bytes.subarray(at));
        this.#owner.gathers(this);
        return true;
      }
    }
    this.#framed = new BodyReader(framing);
    this.#reads = new ReadSize(
      typeof framing === "number" ? framing - here : Infinity,
    );
    const first = this.#framed.push(bytes.subarray(at));
    if (this.#framed.over) {
      if (this.#framed.excess > 0) this.#seconds = 0;
      return this.#given(first);
    }
    const small = first.length <= COPIED;
    this.#stream(small ? first.slice() : first);
    return small;
  }

  /** Gives an answer whose body is here; says whether nothing of it is kept. */
  #given(body: Uint8Array | null): boolean {
    const copies = body === null || body.length <= COPIED;
    const given = body === null || !copies || body.length === 0
      ? body
      : body.slice();
    this.#answer(given as Chunk | null);
    this.#over();
    return copies;
  }

  /** Gives an answer whose body goes on. */
  #stream(first: Chunk): void {
    const body = this.#body = new AnswerBody(this);
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

  /** More came of an answer that is waited for whole. */
  #gather(gathered: Gathered, bytes: Chunk): boolean {
    if (!gathered.add(bytes)) this.#seconds = 0;
    if (gathered.missing === 0) {
      this.#gathered = undefined;
      this.#answer(gathered.bytes, () => gathered.reuse());
      this.#over();
    }
    return true;
  }

  /** More came of a body. */
  #bodyCame(bytes: Chunk): boolean {
    const framed = this.#framed!;
    const body = this.#body!;
    this.#reads.came(bytes.length);
    const piece = framed.push(bytes);
    body.give(piece);
    if (framed.over) {
      if (framed.excess > 0) this.#seconds = 0;
      this.#over();
    } else {
      this.#pauseIfAhead(body);
    }
    return piece.length === 0;
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

  /** The answer has come to its end. */
  #over(): void {
    this.#signal?.removeEventListener("abort", this);
    this.#signal = undefined;
    this.#body?.end();
    this.#body = this.#framed = undefined;
    this.#pause(false);
    if (this.#uploads) {
      if (!this.#lingers || !this.#owner.lingers(this)) this.#drop();
      return;
    }
    this.#upload = undefined;
    if (this.#seconds === 0) this.#drop();
    // What was answered before it has left is followed by `drained`.
    else if (this.#socket.queued === 0) this.#park();
  }

  #park(): void {
    const seconds = this.#seconds;
    this.#seconds = 0;
    this.#used = true;
    this.#owner.parked(this, seconds);
  }

  /** Ends the connection between two requests. */
  #drop(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#upload?.stop(new Ended("Cannot send: the answer has come"));
    this.#socket.destroy();
    this.#owner.gone(this);
  }

  /** Ends the connection, and what it carries with it; raw, or as no answer. */
  #fail(reason: Reason, cause: unknown, raw: boolean): void {
    if (this.#closed) return;
    const call = this.#call;
    const sent = this.#socket.left > this.#mark;
    this.#signal?.removeEventListener("abort", this);
    this.#signal = this.#call = undefined;
    this.#drop();
    if (call !== undefined) {
      // A kept connection may end just when it is used.
      const stale = this.#used && !this.#begun && !raw &&
        (reason === "ended" || reason === "broken");
      if (stale && this.#owner.again(call, sent)) return;
      call.reject(raw ? cause : new Unanswered(reason, sent, cause));
    }
    this.#body?.end(raw ? cause : new Unanswered(reason, true, cause));
  }
}

/** Whether an answer has no body by its nature (RFC 9112 §6.3). */
function hasNone(method: string, status: number): boolean {
  return method === "HEAD" || status === 204 || status === 304;
}

/**
 * WebSocket frames (RFC 6455 §5), as the client of a backend reads and writes
 * them. Pure: bytes in, messages out, and the other way round.
 *
 * The runtimes have WebSocket clients, which cannot be used here: they hide what
 * a backend says when it refuses, read on while nobody takes what they have
 * read, and do not let every close code through.
 *
 * @module
 */

import type { Chunk } from "../http/bytes.ts";

/** What a frame is (RFC 6455 §11.8). */
export const OPCODE = {
  continuation: 0,
  text: 1,
  binary: 2,
  close: 8,
  ping: 9,
  pong: 10,
} as const;

/** Close codes that are said here (RFC 6455 §7.4.1 and IANA's registry). */
export const CLOSE = {
  goingAway: 1001,
  protocolError: 1002,
  /** Never on the wire: the other side said no code. */
  none: 1005,
  /** Never on the wire: the connection ended without a close frame. */
  abnormal: 1006,
  badText: 1007,
  tooBig: 1009,
  internalError: 1011,
  tryAgainLater: 1013,
  badGateway: 1014,
} as const;

/** Whether a code may stand in a close frame (RFC 6455 §7.4). */
export function mayBeSent(code: number): boolean {
  return (code >= 1000 && code <= 1014 && code !== 1004 && code !== 1005 &&
    code !== 1006) || (code >= 3000 && code <= 4999);
}

const encoder = new TextEncoder();
// A byte order mark is part of the text (RFC 6455 §5.6 says UTF-8 and no more).
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** A message as a frame carries it. */
export function encoded(data: string | Chunk): Chunk {
  return typeof data === "string" ? encoder.encode(data) : data;
}

/** Random bytes, drawn many at a time: each frame wants four of them. */
const drawn = new Uint8Array(4096);
let used = drawn.length;

function drawMask(into: Uint8Array): void {
  if (used === drawn.length) {
    crypto.getRandomValues(drawn);
    used = 0;
  }
  into.set(drawn.subarray(used, used += 4));
}

/**
 * A frame to a backend, whole. A client's frames are masked (RFC 6455 §5.3),
 * and unpredictably so: the payload is what somebody out there chose, and must
 * not look like a request to whatever stands between here and the backend.
 */
export function frameOf(opcode: number, data: string | Chunk): Chunk {
  const payload = encoded(data);
  const length = payload.length;
  const head = 6 + (length < 126 ? 0 : length < 65_536 ? 2 : 8);
  // The payload begins at a multiple of four, to be masked four bytes at once.
  const pad = (4 - head % 4) % 4;
  const buffer = new ArrayBuffer(pad + head + ((length + 3) & ~3));
  const frame = new Uint8Array(buffer, pad, head + length);
  frame[0] = 0x80 | opcode;
  if (length < 126) {
    frame[1] = 0x80 | length;
  } else {
    const view = new DataView(buffer, pad);
    if (length < 65_536) {
      frame[1] = 0x80 | 126;
      view.setUint16(2, length);
    } else {
      frame[1] = 0x80 | 127;
      view.setUint32(2, Math.floor(length / 2 ** 32));
      view.setUint32(6, length >>> 0);
    }
  }
  const mask = new Uint8Array(4);
  drawMask(mask);
  frame.set(mask, head - 4);
  frame.set(payload, head);
  const [word = 0] = new Uint32Array(mask.buffer);
  const words = new Uint32Array(buffer, pad + head);
  for (let i = 0; i < words.length; i++) words[i]! ^= word;
  return frame;
}

/** A close frame. Without a code it says none, which RFC 6455 §5.5.1 allows. */
export function closeFrame(code: number | undefined, reason = ""): Chunk {
  if (code === undefined) return frameOf(OPCODE.close, new Uint8Array(0));
  // A control frame has 125 bytes at most, and a character may not be halved.
  const payload = new Uint8Array(125);
  payload[0] = code >> 8;
  payload[1] = code & 0xff;
  const { written } = encoder.encodeInto(reason, payload.subarray(2));
  return frameOf(OPCODE.close, payload.subarray(0, 2 + written));
}

/** Takes what a {@linkcode FrameReader} has read. */
export interface FrameSink {
  /** A message, joined. */
  message(data: string | Chunk): void;
  /** A ping, to be answered. */
  ping(payload: Chunk): void;
  /** The close frame; nothing comes after it. `code` is absent if it said none. */
  closed(code: number | undefined, reason: string): void;
  /** The peer broke the rules; nothing comes after it. */
  failed(code: number, reason: string): void;
  /**
   * So many frames were read that others should have their turn: the reader has
   * paused, and is to be resumed after that.
   */
  turned(): void;
}

/**
 * Frames that are read in one turn. A piece of 64 KB may be 32,000 of them, and
 * more of them come as fast as these are read: all else would wait for the last.
 */
const TURN = 1_000;

/** Reads a server's frames. */
export class FrameReader {
  readonly #sink: FrameSink;
  readonly #limit: number;
  #paused = false;
  #over = false;
  #parsing = false;
  /** Frames that were read in this turn. */
  #turn = 0;
  /** What came and was not read yet; of the first piece, what is from `#at` on. */
  #waiting: Chunk[] = [];
  #waits = 0;
  #at = 0;

  // The frame that is being read.
  readonly #head = new Uint8Array(10);
  #headSize = 0;
  #opcode = 0;
  #final = false;
  /** Bytes of its payload that are still to come; -1 while its head is. */
  #missing = -1;
  readonly #control = new Gathered();

  // The message that is being read; its frames may have control frames between.
  #kind = 0;
  readonly #message = new Gathered();
  /** What it has by its frames' heads, read or not. */
  #size = 0;

  /** Makes a reader for messages of up to `limit` bytes. */
  constructor(sink: FrameSink, limit: number) {
    this.#sink = sink;
    this.#limit = limit;
  }

  /** Takes bytes; they begin a turn of their own. */
  push(bytes: Chunk): void {
    if (this.#over || bytes.length === 0) return;
    this.#turn = 0;
    this.#waiting.push(bytes);
    this.#waits += bytes.length;
    this.#run();
  }

  /** Whether what comes is held back. */
  get paused(): boolean {
    return this.#paused;
  }

  /** Bytes that are held back, and those of a message that is not whole. */
  get held(): number {
    return this.#waits + this.#message.room;
  }

  /** Whether anything is held back. */
  get waits(): boolean {
    return this.#waits > 0;
  }

  /** Holds back what comes. */
  pause(): void {
    this.#paused = true;
  }

  /** Goes on with what was held back. */
  resume(): void {
    this.#paused = false;
    this.#turn = 0;
    this.#run();
  }

  /** Reads no more, and lets go of what it has. */
  stop(): void {
    this.#over = true;
    this.#message.take();
    if (!this.#parsing) this.#forget();
  }

  #run(): void {
    // A sink may pause and resume from within a call.
    if (this.#parsing) return;
    this.#parsing = true;
    while (!this.#paused && !this.#over && this.#waits > 0) {
      const bytes = this.#waiting[0]!;
      const at = this.#step(bytes, this.#at);
      this.#waits -= at - this.#at;
      this.#at = at;
      if (at < bytes.length) continue;
      this.#waiting.shift();
      this.#at = 0;
    }
    this.#parsing = false;
    if (this.#over) this.#forget();
  }

  #forget(): void {
    this.#waiting = [];
    this.#waits = this.#at = 0;
  }

  /** Reads up to the end of one frame; says how far it came. */
  #step(bytes: Chunk, at: number): number {
    while (this.#missing < 0) {
      if (at === bytes.length) return at;
      this.#head[this.#headSize++] = bytes[at++]!;
      this.#readHead();
      if (this.#over) return at;
    }
    const end = Math.min(bytes.length, at + this.#missing);
    if (end > at) {
      this.#missing -= end - at;
      if (this.#opcode >= 8) this.#control.add(bytes, at, end, 125);
      // How long it will be is known in its last frame.
      else {this.#message.add(
          bytes,
          at,
          end,
          this.#final ? this.#size : this.#limit,
        );}
    }
    if (this.#missing === 0) this.#ended();
    return end;
  }

  /** Reads the head as far as it is there (RFC 6455 §5.2). */
  #readHead(): void {
    const head = this.#head;
    if (this.#headSize < 2) return;
    const short = head[1]! & 0x7f;
    const size = short < 126 ? 2 : short === 126 ? 4 : 10;
    if (this.#headSize === 2) {
      this.#opcode = head[0]! & 0x0f;
      this.#final = (head[0]! & 0x80) !== 0;
      const fault = this.#faultOf(head[0]!, head[1]!, short);
      if (fault !== undefined) return this.#fail(CLOSE.protocolError, fault);
    }
    if (this.#headSize < size) return;
    let length = short;
    if (size > 2) {
      length = 0;
      // No shifts: a length may have 63 bits, and is refused below then.
      for (let i = 2; i < size; i++) length = length * 256 + head[i]!;
    }
    this.#headSize = 0;
    if (this.#opcode < 8) {
      this.#size += length;
      if (this.#size > this.#limit) {
        return this.#fail(CLOSE.tooBig, "message too big");
      }
    }
    this.#missing = length;
  }

  #faultOf(first: number, second: number, short: number): string | undefined {
    const opcode = this.#opcode;
    if ((first & 0x70) !== 0) return "reserved bit set";
    if ((second & 0x80) !== 0) return "masked frame";
    if (opcode >= 8) {
      if (opcode > OPCODE.pong) return "unknown opcode";
      if (!this.#final) return "fragmented control frame";
      return short > 125 ? "control frame too big" : undefined;
    }
    if (opcode > OPCODE.binary) return "unknown opcode";
    if (opcode === OPCODE.continuation) {
      return this.#kind === 0 ? "nothing to continue" : undefined;
    }
    if (this.#kind !== 0) return "message within a message";
    this.#kind = opcode;
    return undefined;
  }

  #ended(): void {
    this.#missing = -1;
    if (++this.#turn === TURN) {
      this.#paused = true;
      this.#sink.turned();
    }
    if (this.#opcode >= 8) {
      const payload = this.#control.take();
      if (this.#opcode === OPCODE.ping) this.#sink.ping(payload);
      else if (this.#opcode === OPCODE.close) this.#close(payload);
      return;
    }
    if (!this.#final) return;
    const bytes = this.#message.take();
    const kind = this.#kind;
    this.#size = this.#kind = 0;
    if (kind === OPCODE.binary) return this.#sink.message(bytes);
    const text = textOf(bytes);
    if (text === undefined) this.#fail(CLOSE.badText, "invalid UTF-8");
    else this.#sink.message(text);
  }

  #close(payload: Chunk): void {
    if (payload.length === 0) {
      this.#over = true;
      return this.#sink.closed(undefined, "");
    }
    const code = payload.length === 1 ? 0 : payload[0]! << 8 | payload[1]!;
    if (!mayBeSent(code)) {
      return this.#fail(CLOSE.protocolError, "invalid close code");
    }
    const reason = textOf(payload.subarray(2));
    if (reason === undefined) {
      return this.#fail(CLOSE.badText, "invalid UTF-8");
    }
    this.#over = true;
    this.#sink.closed(code, reason);
  }

  #fail(code: number, reason: string): void {
    this.stop();
    this.#sink.failed(code, reason);
  }
}

function textOf(bytes: Chunk): string | undefined {
  try {
    return decoder.decode(bytes);
  } catch {
    return undefined; // not UTF-8
  }
}

/**
 * Pieces that make one. What comes in one piece is not copied; what comes in
 * many goes into one growing array, since a million pieces of a byte each would
 * weigh a hundred times what they hold.
 */
class Gathered {
  #bytes: Chunk | undefined;
  #used = 0;

  /** Bytes of memory that it takes. */
  get room(): number {
    return this.#bytes?.length ?? 0;
  }

  /** Takes a part of a piece; there will be no more than `most` bytes. */
  add(piece: Chunk, from: number, to: number, most: number): void {
    const used = this.#used;
    const wanted = used + to - from;
    this.#used = wanted;
    if (this.#bytes === undefined) {
      this.#bytes = piece.subarray(from, to);
      return;
    }
    // The first piece is shared memory and exactly full.
    if (wanted > this.#bytes.length) {
      const room = Math.max(wanted, Math.min(most, Math.max(1024, wanted * 2)));
      const grown = new Uint8Array(room);
      grown.set(this.#bytes);
      this.#bytes = grown;
    }
    const bytes = this.#bytes;
    if (to - from > 32) {
      bytes.set(piece.subarray(from, to), used);
    } else {
      // Of a few bytes, a call costs more than they do.
      for (let i = from; i < to; i++) bytes[used + i - from] = piece[i]!;
    }
  }

  /** All of it; it is empty then. */
  take(): Chunk {
    const bytes = this.#bytes?.subarray(0, this.#used) ?? NOTHING;
    this.#bytes = undefined;
    this.#used = 0;
    return bytes;
  }
}

const NOTHING = new Uint8Array(0);

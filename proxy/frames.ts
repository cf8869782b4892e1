/**
 * WebSocket frames (RFC 6455 §5), as a client of the backend reads and writes
 * them. Pure: bytes to messages, and messages to bytes.
 *
 * The runtimes' WebSocket clients cannot be used here: they hide a backend's
 * refusal, keep reading without backpressure, and do not pass on every close
 * code.
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

/** The close codes used here (RFC 6455 §7.4.1 and IANA's registry). */
export const CLOSE = {
  goingAway: 1001,
  protocolError: 1002,
  /** Never on the wire: the peer sent no code. */
  none: 1005,
  /** Never on the wire: the connection ended without a close frame. */
  abnormal: 1006,
  badText: 1007,
  tooBig: 1009,
  internalError: 1011,
  tryAgainLater: 1013,
  badGateway: 1014,
} as const;

/** Whether a code may be sent in a close frame (RFC 6455 §7.4). */
export function mayBeSent(code: number): boolean {
  return (code >= 1000 && code <= 1014 && code !== 1004 && code !== 1005 &&
    code !== 1006) || (code >= 3000 && code <= 4999);
}

const encoder = new TextEncoder();
// A byte order mark is part of the text (RFC 6455 §5.6 requires plain UTF-8).
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** A message as bytes. */
export function encoded(data: string | Chunk): Chunk {
  return typeof data === "string" ? encoder.encode(data) : data;
}

/** Random bytes, drawn in bulk: each frame needs four. */
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
 * A complete frame to a backend. A client's frames are masked with
 * unpredictable bytes (RFC 6455 §5.3): the sender of the payload must not be
 * able to make it look like a request to an intermediary.
 */
export function frameOf(opcode: number, data: string | Chunk): Chunk {
  const payload = encoded(data);
  const length = payload.length;
  const head = 6 + (length < 126 ? 0 : length < 65_536 ? 2 : 8);
  // The payload begins at a multiple of four, to mask four bytes at once.
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

/** A close frame; without a code it has no payload (RFC 6455 §5.5.1). */
export function closeFrame(code: number | undefined, reason = ""): Chunk {
  if (code === undefined) return frameOf(OPCODE.close, new Uint8Array(0));
  // A control frame has at most 125 bytes; a character must not be split.
  const payload = new Uint8Array(125);
  payload[0] = code >> 8;
  payload[1] = code & 0xff;
  const { written } = encoder.encodeInto(reason, payload.subarray(2));
  return frameOf(OPCODE.close, payload.subarray(0, 2 + written));
}

/** Receives what a {@linkcode FrameReader} has read. */
export interface FrameSink {
  /** A complete message. */
  message(data: string | Chunk): void;
  /** A ping to answer. */
  ping(payload: Chunk): void;
  /** The close frame, which is last. `code` is absent if it had none. */
  closed(code: number | undefined, reason: string): void;
  /** The peer broke the protocol; nothing follows. */
  failed(code: number, reason: string): void;
  /**
   * The reader has read a turn's worth of frames and paused, so that other work
   * can run. Resume it after that.
   */
  yielded(): void;
}

/**
 * Frames that are read in one turn. A chunk of 64 KB may hold 32,000 frames,
 * and a fast peer could otherwise keep all other work waiting.
 */
const FRAMES_PER_TURN = 1_000;

/** Reads the frames of a server. */
export class FrameReader {
  readonly #sink: FrameSink;
  readonly #limit: number;
  #paused = false;
  #over = false;
  #parsing = false;
  /** Frames read in this turn. */
  #turn = 0;
  /** Received bytes not read yet; the first chunk counts from `#at`. */
  #waiting: Chunk[] = [];
  #waits = 0;
  #at = 0;

  // The current frame.
  readonly #head = new Uint8Array(10);
  #headSize = 0;
  #opcode = 0;
  #final = false;
  /** Bytes of its payload still to come; -1 while its head is incomplete. */
  #missing = -1;
  readonly #control = new ByteBuffer();

  // The current message; control frames may come between its frames.
  #kind = 0;
  readonly #message = new ByteBuffer();
  /** Its size by the heads of its frames so far. */
  #size = 0;

  /** Makes a reader for messages of up to `limit` bytes. */
  constructor(sink: FrameSink, limit: number) {
    this.#sink = sink;
    this.#limit = limit;
  }

  /** Takes bytes and starts a new turn. */
  push(bytes: Chunk): void {
    if (this.#over || bytes.length === 0) return;
    this.#turn = 0;
    this.#waiting.push(bytes);
    this.#waits += bytes.length;
    this.#run();
  }

  /** Whether reading is paused. */
  get paused(): boolean {
    return this.#paused;
  }

  /** Bytes that wait to be read, and memory of an incomplete message. */
  get held(): number {
    return this.#waits + this.#message.room;
  }

  /** Whether any bytes wait to be read. */
  get waits(): boolean {
    return this.#waits > 0;
  }

  /** Pauses reading. */
  pause(): void {
    this.#paused = true;
  }

  /** Resumes reading with what has been received. */
  resume(): void {
    this.#paused = false;
    this.#turn = 0;
    this.#run();
  }

  /** Stops reading and releases all memory. */
  stop(): void {
    this.#over = true;
    this.#message.take();
    if (!this.#parsing) this.#forget();
  }

  #run(): void {
    // A sink may pause and resume within a call.
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

  /** Reads to the end of one frame; returns the new position. */
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
      // The size of the message is known in its last frame.
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

  /** Parses the head, as far as it has arrived (RFC 6455 §5.2). */
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
      // No shifts: a length can have 63 bits; it is refused below.
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
    if (++this.#turn === FRAMES_PER_TURN) {
      this.#paused = true;
      this.#sink.yielded();
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
 * Joins chunks. A single chunk is not copied; several go into one growing
 * array, since a million chunks of one byte would take a hundred times their
 * size.
 */
class ByteBuffer {
  #bytes: Chunk | undefined;
  #used = 0;

  /** Bytes of memory that it uses. */
  get room(): number {
    return this.#bytes?.length ?? 0;
  }

  /** Adds part of a chunk; the total will be at most `max` bytes. */
  add(chunk: Chunk, from: number, to: number, max: number): void {
    const used = this.#used;
    const wanted = used + to - from;
    this.#used = wanted;
    if (this.#bytes === undefined) {
      this.#bytes = chunk.subarray(from, to);
      return;
    }
    // The first chunk is not copied, so it is exactly full.
    if (wanted > this.#bytes.length) {
      const room = Math.max(wanted, Math.min(max, Math.max(1024, wanted * 2)));
      const grown = new Uint8Array(room);
      grown.set(this.#bytes);
      this.#bytes = grown;
    }
    const bytes = this.#bytes;
    if (to - from > 32) {
      bytes.set(chunk.subarray(from, to), used);
    } else {
      // For a few bytes, a call is slower than the loop.
      for (let i = from; i < to; i++) bytes[used + i - from] = chunk[i]!;
    }
  }

  /** Returns all bytes and empties the buffer. */
  take(): Chunk {
    const bytes = this.#bytes?.subarray(0, this.#used) ?? NOTHING;
    this.#bytes = undefined;
    this.#used = 0;
    return bytes;
  }
}

const NOTHING = new Uint8Array(0);

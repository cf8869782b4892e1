/**
 * Bodies of answers: framed bytes in, the body's own bytes out.
 *
 * Pure: no socket, no promise. What comes in one piece goes out in one piece, so
 * a peer that writes a body in many small chunks does not make many pieces of
 * it, each of which would cost more than its bytes.
 *
 * @module
 */

import { type Chunk, Ended, isToken, Malformed } from "./bytes.ts";
import type { Framing } from "./framing.ts";

/** Hexadecimal digits of a chunk's size, zeros in front included. */
const MAX_DIGITS = 16;
/** Bytes of a chunk's size line behind its size. */
const MAX_EXTENSION = 4 * 1024;
/**
 * Bytes by which the lines of sizes may be ahead of the body: a peer could
 * otherwise write for ever and bring no byte of the body. Each chunk is given a
 * few, since chunks of a byte are allowed.
 */
const MAX_EXCESS = 16 * 1024;
const FREE_A_CHUNK = 16;
/** Bytes of trailers, and lines of them. */
const MAX_TRAILERS = 16 * 1024;
const MAX_TRAILER_LINES = 100;

/** What comes next. */
const SIZE = 0;
const EXTENSION = 1;
const SIZE_LF = 2;
const DATA = 3;
const DATA_CR = 4;
const DATA_LF = 5;
const TRAILER = 6;
const TRAILER_NAME = 7;
const TRAILER_VALUE = 8;
const TRAILER_LF = 9;
const LAST_LF = 10;
const UNTIL_CLOSE = 11;
const OVER = 12;

const TAB = 9;
const LF = 10;
const CR = 13;
const SPACE = 32;
const SEMICOLON = 59;
const COLON = 58;

/** The value of each hexadecimal digit; 255 for all else. */
const HEX = new Uint8Array(256).fill(255);
for (let i = 0; i < 16; i++) {
  HEX[i.toString(16).charCodeAt(0)] = i;
  HEX[i.toString(16).toUpperCase().charCodeAt(0)] = i;
}

/** Reads one body. */
export class BodyReader {
  #next: number;
  readonly #chunked: boolean;
  /** Bytes of the body, or of its chunk, that are still to come. */
  #left = 0;
  #digits = 0;
  /** Bytes of the line or of the trailers that are being read. */
  #line = 0;
  #lines = 0;
  #ahead = 0;
  #excess = 0;

  /** Makes a reader for a body that is framed like this. */
  constructor(framing: Framing) {
    this.#chunked = framing === "chunked";
    if (framing === "chunked") {
      this.#next = SIZE;
    } else if (framing === "close") {
      this.#next = UNTIL_CLOSE;
    } else {
      this.#left = framing;
      this.#next = framing === 0 ? OVER : DATA;
    }
  }

  /** Whether its end has come, as it should. */
  get over(): boolean {
    return this.#next === OVER;
  }

  /** Bytes that came behind the end. */
  get excess(): number {
    return this.#excess;
  }

  /**
   * Takes bytes, and gives those of the body in them, which may be none. They are
   * given where they lie, so what was taken is the reader's to change: the parts
   * of several chunks are moved together.
   *
   * @throws {Malformed}
   */
  push(bytes: Chunk): Chunk {
    if (this.#chunked) return this.#chunks(bytes);
    if (this.#next === UNTIL_CLOSE) return bytes;
    const size = Math.min(bytes.length, this.#left);
    this.#left -= size;
    if (this.#left === 0) this.#next = OVER;
    if (size === bytes.length) return bytes;
    this.#excess += bytes.length - size;
    return bytes.subarray(0, size);
  }

  /**
   * The connection has ended. That is the proper end of a body which says no
   * other.
   *
   * @throws {Ended} If there should have been more.
   */
  end(): void {
    if (this.#next === UNTIL_CLOSE) this.#next = OVER;
    if (this.#next !== OVER) throw new Ended("Cannot read: the body was cut");
  }

  /** A chunked body (RFC 9112 §7.1). Its trailers are dropped. */
  #chunks(bytes: Chunk): Chunk {
    const end = bytes.length;
    let at = 0;
    /** Where the body's part lies. */
    let from = 0;
    let to = 0;
    while (at < end) {
      if (this.#next === DATA) {
        const size = Math.min(this.#left, end - at);
        if (to === 0) from = to = at;
        if (to !== at) move(bytes, at, size, to);
        to += size;
        at += size;
        this.#left -= size;
        if (this.#left === 0) this.#next = DATA_CR;
      } else if (this.#next === OVER) {
        this.#excess += end - at;
        break;
      } else {
        this.#framing(bytes[at++]!);
      }
    }
    return bytes.subarray(from, to);
  }

  /** Takes a byte of what is around the chunks. */
  #framing(byte: number): void {
    switch (this.#next) {
      case SIZE:
        return this.#sized(byte);
      case EXTENSION:
        return this.#extended(byte);
      case SIZE_LF:
        expect(byte, LF);
        return this.#chunkBegins();
      case DATA_CR:
        expect(byte, CR);
        this.#next = DATA_LF;
        return;
      case DATA_LF:
        expect(byte, LF);
        this.#next = SIZE;
        return;
      case TRAILER_LF:
        expect(byte, LF);
        this.#next = TRAILER;
        return;
      case LAST_LF:
        expect(byte, LF);
        this.#next = OVER;
        return;
      default:
        return this.#trailed(byte);
    }
  }

  #sized(byte: number): void {
    const digit = HEX[byte]!;
    if (digit !== 255) {
      this.#left = this.#left * 16 + digit;
      if (++this.#digits > MAX_DIGITS || this.#left > Number.MAX_SAFE_INTEGER) {
        throw new Malformed("Cannot read: a chunk without a sensible size");
      }
      return;
    }
    if (this.#digits === 0) throw new Malformed("Cannot read: no chunk size");
    // Space before an extension is allowed (RFC 9112 §7.1.1), and some servers
    // fill their sizes up with it.
    if (byte === SEMICOLON || byte === SPACE || byte === TAB) {
      this.#next = EXTENSION;
      this.#line = byte === SEMICOLON ? 1 : 0;
    } else {
      expect(byte, CR);
      this.#next = SIZE_LF;
    }
  }

  #extended(byte: number): void {
    this.#ahead++;
    if (byte === CR) {
      this.#next = SIZE_LF;
      return;
    }
    // Nothing but space before the semicolon.
    if (this.#line === 0 && byte !== SPACE && byte !== TAB) {
      expect(byte, SEMICOLON);
    }
    if (byte === SEMICOLON || this.#line > 0) this.#line++;
    if (!isText(byte) || this.#line > MAX_EXTENSION) {
      throw new Malformed("Cannot read: no chunk extension");
    }
    if (this.#ahead > MAX_EXCESS) throw tooMuch();
  }

  /** The line of a chunk's size has ended. */
  #chunkBegins(): void {
    this.#line = this.#digits = 0;
    this.#ahead = Math.max(0, this.#ahead - this.#left - FREE_A_CHUNK);
    this.#next = this.#left === 0 ? TRAILER : DATA;
  }

  #trailed(byte: number): void {
    if (++this.#line > MAX_TRAILERS) throw tooMuch();
    if (byte === CR) {
      // No line without a colon but the last, which is empty.
      if (this.#next === TRAILER_NAME) {
        throw new Malformed("Cannot read: no trailer");
      }
      this.#next = this.#next === TRAILER ? LAST_LF : TRAILER_LF;
      return;
    }
    if (!isText(byte)) throw new Malformed("Cannot read: no trailer");
    if (this.#next === TRAILER) {
      if (++this.#lines > MAX_TRAILER_LINES) throw tooMuch();
      if (!isToken(byte)) throw new Malformed("Cannot read: no trailer");
      this.#next = TRAILER_NAME;
    } else if (this.#next === TRAILER_NAME) {
      if (byte === COLON) this.#next = TRAILER_VALUE;
      else if (!isToken(byte)) throw new Malformed("Cannot read: no trailer");
    }
  }
}

function expect(byte: number, wanted: number): void {
  if (byte !== wanted) throw new Malformed("Cannot read: a broken chunk");
}

function isText(byte: number): boolean {
  return byte === TAB || (byte >= SPACE && byte !== 127);
}

function tooMuch(): Malformed {
  return new Malformed("Cannot read: too much around the body");
}

/** Moves bytes down; of a few, a call costs more than the bytes. */
function move(bytes: Chunk, from: number, size: number, to: number): void {
  if (size > 32) {
    bytes.copyWithin(to, from, from + size);
  } else {
    for (let i = 0; i < size; i++) bytes[to + i] = bytes[from + i]!;
  }
}

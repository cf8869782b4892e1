/**
 * Decodes response bodies: framed bytes in, the body's bytes out.
 *
 * Pure: no socket, no promise. One input gives at most one output, so a peer
 * that sends a body in many small chunks does not cause many outputs, each of
 * which would cost more than its bytes.
 *
 * @module
 */

import { type Chunk, Ended, isToken, Malformed } from "./bytes.ts";
import type { Framing } from "./framing.ts";

/** Hexadecimal digits of a chunk size, leading zeros included. */
const MAX_DIGITS = 16;
/** Bytes of a chunk-size line after the size. */
const MAX_EXTENSION = 4 * 1024;
/**
 * Excess of framing bytes over body bytes: otherwise a peer could send framing
 * forever without any byte of the body. Each chunk allows a few, since chunks
 * of one byte are valid.
 */
const MAX_EXCESS = 16 * 1024;
const FREE_PER_CHUNK = 16;
/** Bytes and lines of trailers. */
const MAX_TRAILERS = 16 * 1024;
const MAX_TRAILER_LINES = 100;

/** The states of the parser: what comes next. */
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

/** The value of each hexadecimal digit; 255 for any other byte. */
const HEX = new Uint8Array(256).fill(255);
for (let i = 0; i < 16; i++) {
  HEX[i.toString(16).charCodeAt(0)] = i;
  HEX[i.toString(16).toUpperCase().charCodeAt(0)] = i;
}

/** Reads one body. */
export class BodyReader {
  #next: number;
  readonly #chunked: boolean;
  /** Bytes of the body, or of its current chunk, still to come. */
  #left = 0;
  #digits = 0;
  /** Bytes of the current line, or of the trailers. */
  #line = 0;
  #lines = 0;
  #ahead = 0;
  #excess = 0;

  /** Makes a reader for a body with this framing. */
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

  /** Whether its end was reached properly. */
  get over(): boolean {
    return this.#next === OVER;
  }

  /** Bytes received after the end. */
  get excess(): number {
    return this.#excess;
  }

  /**
   * Takes bytes and returns the body bytes in them, possibly none. The result
   * is a view of the input, which is modified: the data of several chunks is
   * moved together.
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
   * The connection has ended. That is the proper end of a body without another
   * one.
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
    /** The range of the body bytes. */
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

  /** Takes a byte of the framing. */
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
    // pad their sizes with it.
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
    // Only space is allowed before the semicolon.
    if (this.#line === 0 && byte !== SPACE && byte !== TAB) {
      expect(byte, SEMICOLON);
    }
    if (byte === SEMICOLON || this.#line > 0) this.#line++;
    if (!isText(byte) || this.#line > MAX_EXTENSION) {
      throw new Malformed("Cannot read: no chunk extension");
    }
    if (this.#ahead > MAX_EXCESS) throw tooMuch();
  }

  /** A chunk-size line has ended. */
  #chunkBegins(): void {
    this.#line = this.#digits = 0;
    this.#ahead = Math.max(0, this.#ahead - this.#left - FREE_PER_CHUNK);
    this.#next = this.#left === 0 ? TRAILER : DATA;
  }

  #trailed(byte: number): void {
    if (++this.#line > MAX_TRAILERS) throw tooMuch();
    if (byte === CR) {
      // Only the last line, which is empty, has no colon.
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

/** Moves bytes down; for a few, a call is slower than the loop. */
function move(bytes: Chunk, from: number, size: number, to: number): void {
  if (size > 32) {
    bytes.copyWithin(to, from, from + size);
  } else {
    for (let i = 0; i < size; i++) bytes[to + i] = bytes[from + i]!;
  }
}

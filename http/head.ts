/**
 * Heads of answers, read from bytes where they lie.
 *
 * Strict where a lenient reader could be made to see another answer than the
 * backend has sent (RFC 9112 §11): what is not plainly right is refused. Every
 * byte is looked at a fixed number of times, whatever pieces it comes in: a head
 * is the first thing that a backend which means harm can write.
 *
 * @module
 */

import { type Chunk, latin1, Malformed } from "./bytes.ts";

/** Field lines: names in lower case, in the order in which they came. */
export type FieldLines = [name: string, value: string][];

/** Bytes of a head, and fields in it. */
export const MAX_HEAD = 64 * 1024;
export const MAX_FIELDS = 1_000;
/** Interim answers that are passed over for one request. */
const MAX_INTERIM = 8;

/** The head of an answer. */
export interface AnswerHead {
  /** Its status, 101 or from 200 to 599. */
  status: number;
  /** The second digit of its version: 0 or 1. */
  minor: number;
  /** Its fields. */
  fields: FieldLines;
}

const TAB = 9;
const LF = 10;
const CR = 13;
const SPACE = 32;
const COLON = 58;

/** What a byte may be part of. */
const TOKEN = 1;
const UPPER = 2;
const TEXT = 4;
const BEYOND_ASCII = 8;

/** RFC 9110 §5.6.2 for tokens; §5.5 for text, and RFC 9112 §4 for a reason. */
const KIND = new Uint8Array(256);
for (let code = 0; code < 256; code++) {
  const character = String.fromCharCode(code);
  if (/[!#$%&'*+.^_`|~0-9A-Za-z-]/.test(character)) KIND[code]! |= TOKEN;
  if (/[A-Z]/.test(character)) KIND[code]! |= UPPER;
  if (code === TAB || (code >= SPACE && code !== 127)) KIND[code]! |= TEXT;
  if (code > 127) KIND[code]! |= BEYOND_ASCII;
}

/** What a status line begins with, but for the version's last digit. */
const BEGIN = [72, 84, 84, 80, 47, 49, 46]; // HTTP/1.

/**
 * Where the fields lie that were found in one piece: begin and end of the name,
 * begin and end of the value. One for all, since it is used and read in one call.
 */
const marks = new Int32Array(4 * MAX_FIELDS);

/**
 * Reads a head, piece by piece. One reader serves one answer after the other;
 * interim ones (RFC 9110 §15.2) are passed over.
 */
export class HeadReader {
  #status = 0;
  #minor = 0;
  #fields: FieldLines = [];
  #interim = 0;
  /** Bytes of this head so far. */
  #size = 0;
  /** A line that has not come to its end yet. */
  #line: Chunk | undefined;
  #lineSize = 0;

  // What the last scan came to.
  #found = 0;
  #kinds = 0;
  #over = false;

  /**
   * Takes bytes from `at` on. Gives where the head has ended, which is behind it,
   * or -1 if all bytes belong to it and more are to come.
   *
   * @throws {Malformed}
   */
  push(bytes: Chunk, at = 0): number {
    while (at < bytes.length) {
      if (this.#line !== undefined) {
        at = this.#goOn(bytes, at);
        if (this.#line !== undefined) return -1;
      } else {
        const from = at;
        at = this.#scan(bytes, at, bytes.length);
        this.#keep(bytes, from, at);
        if (!this.#over) {
          this.#putBy(bytes, at, bytes.length);
          return -1;
        }
      }
      if (!this.#over) continue;
      if (this.#status === 101 || this.#status >= 200) return at;
      if (++this.#interim > MAX_INTERIM) {
        throw new Malformed("Cannot read: no final answer");
      }
      this.#begin();
    }
    return -1;
  }

  /** The head that has ended; the reader is then ready for the next one. */
  take(): AnswerHead {
    const head = {
      status: this.#status,
      minor: this.#minor,
      fields: this.#fields,
    };
    this.#begin();
    this.#interim = 0;
    return head;
  }

  #begin(): void {
    this.#status = this.#size = 0;
    this.#fields = [];
    this.#over = false;
  }

  /** Goes on with a line whose begin was put by; says how far it came. */
  #goOn(bytes: Chunk, at: number): number {
    const end = bytes.indexOf(LF, at);
    const to = end < 0 ? bytes.length : end + 1;
    this.#putBy(bytes, at, to);
    if (end < 0) return to;
    const line = this.#line!;
    const size = this.#lineSize;
    this.#line = undefined;
    this.#size -= size;
    this.#lineSize = 0;
    if (this.#scan(line, 0, size) !== size) {
      throw new Malformed("Cannot read: a line without its end");
    }
    this.#keep(line, 0, size);
    return to;
  }

  /** Keeps the begin of a line until the rest of it comes. */
  #putBy(bytes: Chunk, from: number, to: number): void {
    if (from === to) return;
    this.#grew(to - from);
    const wanted = this.#lineSize + to - from;
    if (this.#line === undefined || wanted > this.#line.length) {
      const room = new Uint8Array(Math.max(256, wanted * 2));
      if (this.#line !== undefined) room.set(this.#line);
      this.#line = room;
    }
    this.#line.set(bytes.subarray(from, to), this.#lineSize);
    this.#lineSize = wanted;
    // What is no answer at all is found out by its first bytes, and not when a
    // line ends that perhaps never does.
    if (this.#status === 0) startsWell(this.#line, 0, wanted);
  }

  #grew(by: number): void {
    this.#size += by;
    if (this.#size > MAX_HEAD) throw new Malformed("Cannot read: a long head");
  }

  /**
   * Finds the lines that are whole, up to the end of the head. Gives where the
   * first line begins that is not whole, or what is behind the head.
   */
  #scan(bytes: Chunk, from: number, end: number): number {
    this.#found = this.#kinds = 0;
    let at = from;
    if (this.#status === 0) {
      const next = this.#statusLine(bytes, at, end);
      if (next < 0) return from;
      at = next;
    }
    let kinds = 0;
    while (at < end) {
      const name = at;
      let kind = 0;
      let code = bytes[at]!;
      while (at < end && ((kind = KIND[code = bytes[at]!]!) & TOKEN) !== 0) {
        kinds |= kind;
        at++;
      }
      if (at === end) return name;
      if (at === name) {
        // Only the empty line begins with no name: no folded line, no space
        // before the colon (RFC 9112 §5.1, §5.2).
        if (code !== CR) throw new Malformed("Cannot read: no field line");
        if (at + 1 === end) return name;
        if (bytes[at + 1] !== LF) throw new Malformed("Cannot read: a bare CR");
        this.#over = true;
        return at + 2;
      }
      if (code !== COLON) throw new Malformed("Cannot read: no field line");
      const colon = at++;
      while (at < end && (bytes[at] === SPACE || bytes[at] === TAB)) at++;
      const value = at;
      let last = at;
      while (at < end && ((kind = KIND[code = bytes[at]!]!) & TEXT) !== 0) {
        kinds |= kind & BEYOND_ASCII;
        at++;
        if (code !== SPACE && code !== TAB) last = at;
      }
      if (at + 1 >= end) {
        // The line's end is still to come, unless it cannot come any more.
        if (at === end || code === CR) return name;
      }
      if (code !== CR || bytes[at + 1] !== LF) {
        throw new Malformed("Cannot read: an invalid byte in a field");
      }
      at += 2;
      this.#kinds = kinds;
      this.#mark(name, colon, value, last);
    }
    return at;
  }

  #mark(name: number, colon: number, value: number, last: number): void {
    if (this.#fields.length + this.#found === MAX_FIELDS) {
      throw new Malformed("Cannot read: too many fields");
    }
    const at = 4 * this.#found++;
    marks[at] = name;
    marks[at + 1] = colon;
    marks[at + 2] = value;
    marks[at + 3] = last;
  }

  /** Reads a status line; gives where the next begins, or -1 if it is not whole. */
  #statusLine(bytes: Chunk, from: number, end: number): number {
    startsWell(bytes, from, end);
    let at = from + BEGIN.length + 5;
    while (at < end && (KIND[bytes[at]!]! & TEXT) !== 0) at++;
    if (at >= end || (at + 1 === end && bytes[at] === CR)) return -1;
    const digits = from + BEGIN.length + 2;
    const reason = bytes[digits + 3]!;
    const hundreds = bytes[digits]! - 48;
    const tens = bytes[digits + 1]! - 48;
    const ones = bytes[digits + 2]! - 48;
    if (
      bytes[at] !== CR || bytes[at + 1] !== LF ||
      (reason !== SPACE && digits + 3 !== at) ||
      hundreds < 1 || hundreds > 5 || tens < 0 || tens > 9 || ones < 0 ||
      ones > 9
    ) throw new Malformed("Cannot read: no status line");
    this.#minor = bytes[from + BEGIN.length]! - 48;
    this.#status = hundreds * 100 + tens * 10 + ones;
    return at + 2;
  }

  /** Turns what a scan has found into fields. */
  #keep(bytes: Chunk, from: number, to: number): void {
    if (from === to) return;
    this.#grew(to - from);
    const found = this.#found;
    if (found === 0) return;
    const begin = marks[0]!;
    const text = latin1(
      bytes.subarray(begin, to),
      (this.#kinds & BEYOND_ASCII) === 0,
    );
    const shouted = (this.#kinds & UPPER) !== 0;
    for (let i = 0; i < found; i++) {
      const at = 4 * i;
      const name = text.slice(marks[at]! - begin, marks[at + 1]! - begin);
      this.#fields.push([
        shouted ? name.toLowerCase() : name,
        text.slice(marks[at + 2]! - begin, marks[at + 3]! - begin),
      ]);
    }
  }
}

/** Refuses what cannot become a status line any more (RFC 9112 §4). */
function startsWell(bytes: Chunk, from: number, end: number): void {
  const length = Math.min(end - from, BEGIN.length);
  for (let i = 0; i < length; i++) {
    if (bytes[from + i] !== BEGIN[i]) {
      throw new Malformed("Cannot read: not HTTP/1");
    }
  }
  const minor = from + BEGIN.length;
  if (
    (minor < end && bytes[minor] !== 48 && bytes[minor] !== 49) ||
    (minor + 1 < end && bytes[minor + 1] !== SPACE)
  ) throw new Malformed("Cannot read: not HTTP/1");
}

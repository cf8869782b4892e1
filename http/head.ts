/**
 * Parses response heads from bytes, in place.
 *
 * Strict, since a lenient parser could be made to see another response than the
 * backend has sent (RFC 9112 §11): anything doubtful is refused. Each byte is
 * processed a fixed number of times, however the input is split: a head is the
 * first thing that a hostile backend can send.
 *
 * @module
 */

import { type Chunk, isToken, latin1, Malformed } from "./bytes.ts";
import { frequentName } from "./names.ts";

/** Field lines: names in lower case, in order. */
export type FieldLines = [name: string, value: string][];

/** Limits of a head, with the interim ones before it: bytes, and fields. */
export const MAX_HEAD = 64 * 1024;
export const MAX_FIELDS = 1_000;

/** The head of a response. */
export interface AnswerHead {
  /** Its status, 101 or from 200 to 599. */
  status: number;
  /** The minor version: 0 or 1. */
  minor: number;
  /** Its header fields. */
  fields: FieldLines;
}

const TAB = 9;
const LF = 10;
const CR = 13;
const SPACE = 32;
const COLON = 58;

/** Classes of bytes. */
const TOKEN = 1;
const UPPER = 2;
const TEXT = 4;
const BEYOND_ASCII = 8;

/** RFC 9110 §5.5 for text, and RFC 9112 §4 for a reason. */
const KIND = new Uint8Array(256);
for (let code = 0; code < 256; code++) {
  if (isToken(code)) KIND[code]! |= TOKEN;
  if (code >= 65 && code <= 90) KIND[code]! |= UPPER;
  if (code === TAB || (code >= SPACE && code !== 127)) KIND[code]! |= TEXT;
  if (code > 127) KIND[code]! |= BEYOND_ASCII;
}

/** The start of a status line, without the minor version. */
const BEGIN = [72, 84, 84, 80, 47, 49, 46]; // HTTP/1.

/**
 * Positions of the fields found by a scan: start and end of the name, start and
 * end of the value. Shared by all readers, since it is used within one call.
 */
const marks = new Int32Array(4 * MAX_FIELDS);

/**
 * Parses heads incrementally. One reader serves several responses in sequence;
 * interim ones (RFC 9110 §15.2) are skipped.
 */
export class HeadReader {
  #status = 0;
  #minor = 0;
  #fields: FieldLines = [];
  /** Bytes of the current head, and of the interim ones before it. */
  #size = 0;
  /** The start of an incomplete line. */
  #line: Chunk | undefined;
  #lineSize = 0;

  // The results of the last scan.
  #found = 0;
  #kinds = 0;
  #over = false;

  /**
   * Takes bytes from `at` on. Returns the position after the head, or -1 if
   * more bytes are needed.
   *
   * @throws {Malformed}
   */
  push(bytes: Chunk, at = 0): number {
    while (at < bytes.length) {
      if (this.#line !== undefined) {
        at = this.#continueLine(bytes, at);
        if (this.#line !== undefined) return -1;
      } else {
        const from = at;
        at = this.#scan(bytes, at, bytes.length);
        this.#keep(bytes, from, at);
        if (!this.#over) {
          this.#store(bytes, at, bytes.length);
          return -1;
        }
      }
      if (!this.#over) continue;
      if (this.#status === 101 || this.#status >= 200) return at;
      // Not limited in number: a slow operation may report its progress with a
      // 102 every few seconds.
      this.#begin();
    }
    return -1;
  }

  /** Returns the complete head, and resets the reader for the next one. */
  take(): AnswerHead {
    const head = {
      status: this.#status,
      minor: this.#minor,
      fields: this.#fields,
    };
    this.#begin();
    this.#size = 0;
    return head;
  }

  #begin(): void {
    this.#status = 0;
    this.#fields = [];
    this.#over = false;
  }

  /** Continues an incomplete line; returns the new position. */
  #continueLine(bytes: Chunk, at: number): number {
    const end = bytes.indexOf(LF, at);
    const to = end < 0 ? bytes.length : end + 1;
    this.#store(bytes, at, to);
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

  /** Stores the start of a line until its rest arrives. */
  #store(bytes: Chunk, from: number, to: number): void {
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
    // Refuse anything but a response by its first bytes: its first line may
    // never end.
    if (this.#status === 0) checkStart(this.#line, 0, wanted);
  }

  #grew(by: number): void {
    this.#size += by;
    if (this.#size > MAX_HEAD) throw new Malformed("Cannot read: a long head");
  }

  /**
   * Finds complete lines, up to the end of the head. Returns the start of the
   * first incomplete line, or the position after the head.
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
        // Only the empty line has no name: folded lines and space before the
        // colon are invalid (RFC 9112 §5.1, §5.2).
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
        // The end of the line is missing; unless it is invalid already, wait.
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

  /** Parses a status line; returns the next position, or -1 if incomplete. */
  #statusLine(bytes: Chunk, from: number, end: number): number {
    checkStart(bytes, from, end);
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

  /** Converts the result of a scan into fields. */
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
    const hasUpper = (this.#kinds & UPPER) !== 0;
    for (let i = 0; i < found; i++) {
      const at = 4 * i;
      const start = marks[at]!;
      const colon = marks[at + 1]!;
      this.#fields.push([
        frequentName(bytes, start, colon) ??
          nameIn(text, start - begin, colon - begin, hasUpper),
        text.slice(marks[at + 2]! - begin, marks[at + 3]! - begin),
      ]);
    }
  }
}

function nameIn(
  text: string,
  from: number,
  to: number,
  hasUpper: boolean,
): string {
  const name = text.slice(from, to);
  return hasUpper ? name.toLowerCase() : name;
}

/** Refuses bytes that cannot start a status line (RFC 9112 §4). */
function checkStart(bytes: Chunk, from: number, end: number): void {
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

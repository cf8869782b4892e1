/**
 * Writes request heads.
 *
 * The head is encoded and checked in one pass: hooks may have put any text into
 * fields, and a backend must not see a line break in one. Building a string and
 * encoding it would take three times as long.
 *
 * @module
 */

import { type Chunk, isToken } from "./bytes.ts";
import type { FieldLines } from "./head.ts";
import { writeName } from "./names.ts";

/** The head of a request. */
export interface RequestHead {
  /** The method, case-sensitive. */
  readonly method: string;
  /** Path and query, unchanged. */
  readonly target: string;
  /**
   * Its header fields, names in lower case, including `host`. Fields for
   * framing and for the connection are ignored: the writer sets them.
   */
  readonly fields: FieldLines;
}

/** The framing of a request body: its length, chunked, or none. */
export type RequestFraming = number | "chunked" | undefined;

const TAB = 9;
const LF = 10;
const CR = 13;
const SPACE = 32;
const DELETE = 127;

/** Bytes in addition to the fields: request line, `Host`, framing, end. */
const MAX_OVERHEAD = 100;

/** The maximum bytes of a head. */
export function roomFor({ method, target, fields }: RequestHead): number {
  let size = method.length + target.length + MAX_OVERHEAD;
  for (let i = 0; i < fields.length; i++) {
    const field = fields[i]!;
    size += field[0].length + field[1].length + 4;
  }
  return size;
}

/**
 * Writes a request's head to the start of `room`, one byte per character, and
 * returns its size. `Host` comes first (RFC 9110 §7.2).
 *
 * @throws {TypeError} If it is invalid.
 */
export function writeHead(
  room: Chunk,
  { method, target, fields }: RequestHead,
  framing: RequestFraming,
  closes: boolean,
): number {
  let at = writeMethod(room, method);
  at = writeTarget(room, at, target);
  at = writeLine(room, write(room, at, " HTTP/1.1\r\nHost: "), hostIn(fields));
  for (let i = 0; i < fields.length; i++) {
    const field = fields[i]!;
    const name = field[0];
    switch (name) {
      case "connection":
      case "content-length":
      case "host":
      case "keep-alive":
      case "transfer-encoding":
        continue;
    }
    at = writeLine(room, writeName(room, at, name), field[1]);
  }
  if (framing === "chunked") {
    at = write(room, at, "Transfer-Encoding: chunked\r\n");
  } else if (framing !== undefined) {
    at = write(room, at, `Content-Length: ${framing}\r\n`);
  }
  return write(room, at, closes ? "Connection: close\r\n\r\n" : "\r\n");
}

/** The value of `Host`, which must be unique. */
function hostIn(fields: FieldLines): string {
  let host: string | undefined;
  for (let i = 0; i < fields.length; i++) {
    const field = fields[i]!;
    if (field[0] !== "host") continue;
    if (host !== undefined) throw new TypeError("Cannot send: two hosts");
    host = field[1];
  }
  if (host === undefined) throw new TypeError("Cannot send: no host");
  return host;
}

/** Writes text that needs no check. */
function write(room: Chunk, from: number, text: string): number {
  const { length } = text;
  for (let i = 0; i < length; i++) room[from + i] = text.charCodeAt(i);
  return from + length;
}

/** Writes a value and the end of its line (RFC 9110 §5.5). */
function writeLine(room: Chunk, from: number, value: string): number {
  const { length } = value;
  for (let i = 0; i < length; i++) {
    const code = value.charCodeAt(i);
    if ((code < SPACE && code !== TAB) || code === DELETE || code > 255) {
      throw new TypeError("Cannot send: an invalid character in a field");
    }
    room[from + i] = code;
  }
  const end = from + length;
  room[end] = CR;
  room[end + 1] = LF;
  return end + 2;
}

function writeMethod(room: Chunk, method: string): number {
  const { length } = method;
  for (let i = 0; i < length; i++) {
    const code = method.charCodeAt(i);
    if (!isToken(code)) throw new TypeError("Cannot send: no method");
    room[i] = code;
  }
  if (length === 0) throw new TypeError("Cannot send: no method");
  room[length] = SPACE;
  return length + 1;
}

function writeTarget(room: Chunk, from: number, target: string): number {
  const { length } = target;
  for (let i = 0; i < length; i++) {
    const code = target.charCodeAt(i);
    if (code <= SPACE || code === DELETE || code > 255) {
      throw new TypeError("Cannot send: an invalid character in the target");
    }
    room[from + i] = code;
  }
  if (length === 0) throw new TypeError("Cannot send: no target");
  return from + length;
}

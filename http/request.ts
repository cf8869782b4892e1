/**
 * Heads of requests as they are written.
 *
 * Each is put into bytes once, and looked at while that is done: callers' hooks
 * may have put any text into fields, and a backend must not find a line's end in
 * one. To make a text first and encode it would take three times as long.
 *
 * @module
 */

import { type Chunk, isToken } from "./bytes.ts";
import type { FieldLines } from "./head.ts";
import { labelOf } from "./names.ts";

/** What a request's head says. */
export interface RequestHead {
  /** Method, letter by letter. */
  readonly method: string;
  /** What stands behind it: path and query, as they are. */
  readonly target: string;
  /**
   * Its fields, names in lower case, `host` among them. What is said of the
   * body's framing and of the connection is left out: that is the writer's.
   */
  readonly fields: FieldLines;
}

/** How a request's body is framed: by its length, in chunks, or there is none. */
export type RequestFraming = number | "chunked" | undefined;

const TAB = 9;
const LF = 10;
const CR = 13;
const SPACE = 32;
const DELETE = 127;

/** What stands around the lines: the method's line, `Host`, the framing, the end. */
const MOST_AROUND = 100;

/** Bytes that a head takes at most. */
export function roomFor({ method, target, fields }: RequestHead): number {
  let size = method.length + target.length + MOST_AROUND;
  for (let i = 0; i < fields.length; i++) {
    const field = fields[i]!;
    size += field[0].length + field[1].length + 4;
  }
  return size;
}

/**
 * Writes a request's head, one byte a character, to the beginning of `room`, and
 * gives its size. `Host` comes first (RFC 9110 §7.2).
 *
 * @throws {TypeError} If it would not be read as it is said.
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
    at = writeLine(room, write(room, at, labelOf(name)), field[1]);
  }
  if (framing === "chunked") {
    at = write(room, at, "Transfer-Encoding: chunked\r\n");
  } else if (framing !== undefined) {
    at = write(room, at, `Content-Length: ${framing}\r\n`);
  }
  return write(room, at, closes ? "Connection: close\r\n\r\n" : "\r\n");
}

/** The one host. */
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

/** Writes what is known to be in order. */
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

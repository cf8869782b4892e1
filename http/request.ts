/**
 * Heads of requests as they are written.
 *
 * @module
 */

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

/** What no value may hold, since a reader could see a line's end in it. */
const UNSAFE = /[^\t\x20-\x7e\x80-\xff]/;
/** What no target may hold, likewise (RFC 9112 §3.2). */
const UNSAFE_TARGET = /[^\x21-\x7e\x80-\xff]/;
const METHOD = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/**
 * A request's head as text, one character a byte. `Host` comes first (RFC 9110
 * §7.2).
 *
 * @throws {TypeError} If it would not be read as it is said: callers' hooks may
 * have put anything into fields.
 */
export function headText(
  { method, target, fields }: RequestHead,
  framing: RequestFraming,
  closes: boolean,
): string {
  if (!METHOD.test(method) || target === "" || UNSAFE_TARGET.test(target)) {
    throw new TypeError("Cannot send: no request line");
  }
  let host: string | undefined;
  let lines = "";
  for (let i = 0; i < fields.length; i++) {
    const [name, value] = fields[i]!;
    if (UNSAFE.test(value)) throw new TypeError("Cannot send: a field's value");
    switch (name) {
      case "host":
        if (host !== undefined) throw new TypeError("Cannot send: two hosts");
        host = value;
        continue;
      case "connection":
      case "content-length":
      case "keep-alive":
      case "transfer-encoding":
        continue;
    }
    lines += `${labelOf(name)}${value}\r\n`;
  }
  if (host === undefined) throw new TypeError("Cannot send: no host");
  const own = framing === undefined
    ? ""
    : framing === "chunked"
    ? "Transfer-Encoding: chunked\r\n"
    : `Content-Length: ${framing}\r\n`;
  return `${method} ${target} HTTP/1.1\r\nHost: ${host}\r\n${lines}${own}${
    closes ? "Connection: close\r\n\r\n" : "\r\n"
  }`;
}

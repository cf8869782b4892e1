/**
 * How long the body of an answer is, by its head (RFC 9112 §6.3).
 *
 * @module
 */

import { Malformed } from "./bytes.ts";
import type { AnswerHead, FieldLines } from "./head.ts";

/** How a body ends: after so many bytes, with its last chunk, or by the close. */
export type Framing = number | "chunked" | "close";

/** Digits of a length: more is no length that a body could have. */
const MAX_DIGITS = 15;

/**
 * How the body of an answer is framed. The fields are put right by that: a
 * length that is said twice and alike is said once, and one that does not count
 * (beside chunks, or where there can be no body) is taken away, since whatever
 * gets the fields next could believe it.
 *
 * @throws {Malformed} If the fields are at odds with each other, or ask for more
 * than chunks.
 */
export function framingOf(head: AnswerHead, method: string): Framing {
  const { status, fields } = head;
  let length = -1;
  let lengths = 0;
  let coding: string | undefined;
  for (const [name, value] of fields) {
    if (name === "content-length") {
      length = lengthIn(value, length);
      // Said in another way than the plain one counts as said twice.
      lengths += value === String(length) ? 1 : 2;
    } else if (name === "transfer-encoding") {
      coding = coding === undefined ? value : `${coding},${value}`;
    }
  }
  const bodiless = status < 200 || status === 204;
  if (lengths > 1 || (lengths > 0 && (bodiless || coding !== undefined))) {
    const counts = !bodiless && coding === undefined;
    head.fields = withLength(fields, counts ? length : -1);
  }
  if (bodiless || status === 304 || method === "HEAD") return 0;
  if (coding !== undefined) {
    // Of HTTP/1.0 it cannot be meant (RFC 9112 §6.1). Other codings before it
    // would have to be decoded, and none was asked for.
    if (coding.toLowerCase() !== "chunked" || head.minor === 0) {
      throw new Malformed("Cannot read: a transfer coding other than chunked");
    }
    return "chunked";
  }
  return length < 0 ? "close" : length;
}

/**
 * The length that a value says; it may be a list of equal ones (RFC 9110 §8.6),
 * and has to be the `known` one if that is not -1.
 */
function lengthIn(value: string, known: number): number {
  let at = 0;
  for (;;) {
    while (isBlank(value.charCodeAt(at))) at++;
    const from = at;
    let length = 0;
    for (let digit; (digit = value.charCodeAt(at) - 48) >= 0 && digit < 10;) {
      length = length * 10 + digit;
      at++;
    }
    const digits = at - from;
    while (isBlank(value.charCodeAt(at))) at++;
    const over = at === value.length;
    if (
      digits === 0 || digits > MAX_DIGITS || (known >= 0 && length !== known) ||
      (!over && value[at] !== ",")
    ) throw new Malformed("Cannot read: no valid Content-Length");
    if (over) return length;
    known = length;
    at++;
  }
}

function isBlank(code: number): boolean {
  return code === 32 || code === 9;
}

/** The fields with this length alone, or with none if it is -1. */
function withLength(fields: FieldLines, length: number): FieldLines {
  const others = fields.filter(([name]) => name !== "content-length");
  if (length >= 0) others.push(["content-length", String(length)]);
  return others;
}

/**
 * The framing of a response body, from its head (RFC 9112 §6.3).
 *
 * @module
 */

import { Malformed } from "./bytes.ts";
import type { AnswerHead, FieldLines } from "./head.ts";

/**
 * How a body ends: after this many bytes, by its last chunk, or by the close.
 */
export type Framing = number | "chunked" | "close";

/** Digits of a length; longer ones are invalid. */
const MAX_DIGITS = 15;

/**
 * The framing of a response body. Corrects the fields accordingly: a length
 * that is repeated with the same value is kept once, and a length without
 * meaning (next to chunks, or where there is no body) is removed, since a later
 * reader could trust it.
 *
 * @throws {Malformed} If the fields contradict each other, or have a coding
 * other than `chunked`.
 */
export function framingOf(head: AnswerHead, method: string): Framing {
  const { status, fields } = head;
  let length = -1;
  let lengths = 0;
  let coding: string | undefined;
  for (const [name, value] of fields) {
    if (name === "content-length") {
      length = lengthIn(value, length);
      // A length in an unusual form counts as repeated.
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
    // Not trusted in HTTP/1.0 (RFC 9112 §6.1). Other codings would have to be
    // decoded, and none was requested.
    if (coding.toLowerCase() !== "chunked" || head.minor === 0) {
      throw new Malformed("Cannot read: a transfer coding other than chunked");
    }
    return "chunked";
  }
  return length < 0 ? "close" : length;
}

/** Whether a response never has a body (RFC 9112 §6.3). */
export function hasNone(method: string, status: number): boolean {
  return method === "HEAD" || status === 204 || status === 304;
}

/**
 * Parses a length, which may be a list of equal ones (RFC 9110 §8.6). It must
 * equal `known`, unless that is -1.
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

/** Replaces all lengths of the fields by this one, or by none if it is -1. */
function withLength(fields: FieldLines, length: number): FieldLines {
  const others = fields.filter(([name]) => name !== "content-length");
  if (length >= 0) others.push(["content-length", String(length)]);
  return others;
}

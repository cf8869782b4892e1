/**
 * How long a connection may be kept after a response (RFC 9112 §9.3).
 *
 * @module
 */

import type { FieldLines } from "./head.ts";

/**
 * Maximum seconds that idle connections are kept: less than any usual server
 * keeps them (Node: 5 s). A request may be received on a connection that is
 * being closed, and a POST is then lost.
 */
export const MAX_SECONDS = 4;

/**
 * Seconds for which a connection may be kept after a response, or 0. HTTP/1.0
 * is never kept, even with `keep-alive`: some proxies passed the field on
 * without supporting it.
 */
export function secondsOf(minor: number, fields: FieldLines): number {
  if (minor === 0) return 0;
  let seconds = MAX_SECONDS;
  for (let i = 0; i < fields.length; i++) {
    const [name, value] = fields[i]!;
    if (name === "connection") {
      // The usual value is checked without the regular expression.
      if (
        value !== "keep-alive" && /(?:^|,)[ \t]*close[ \t]*(?:$|,)/i.test(value)
      ) {
        return 0;
      }
    } else if (name === "keep-alive") {
      const match = /(?:^|[,; \t])timeout=(\d{1,9})/i.exec(value);
      if (match !== null) seconds = Math.min(seconds, Number(match[1]));
    }
  }
  return seconds;
}

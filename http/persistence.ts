/**
 * How long a connection may be kept behind an answer (RFC 9112 §9.3).
 *
 * @module
 */

import type { FieldLines } from "./head.ts";

/**
 * Seconds that connections are kept for at most: fewer than any usual server keeps
 * them (Node ends them after 5 s), since a request that meets the end of its
 * connection may have been received, and a POST is lost then.
 */
const MOST_SECONDS = 4;

/**
 * For how many seconds a connection may be kept behind an answer, or 0. HTTP/1.0
 * is not believed when it says that it keeps one: there were proxies that passed
 * the field on and knew nothing of it.
 */
export function secondsOf(minor: number, fields: FieldLines): number {
  if (minor === 0) return 0;
  let seconds = MOST_SECONDS;
  for (let i = 0; i < fields.length; i++) {
    const [name, value] = fields[i]!;
    if (name === "connection") {
      // Nearly all say this or nothing.
      if (
        value !== "keep-alive" && /(?:^|,)[ \t]*close[ \t]*(?:$|,)/i.test(value)
      ) {
        return 0;
      }
    } else if (name === "keep-alive") {
      const said = /(?:^|[,; \t])timeout=(\d{1,9})/i.exec(value);
      if (said !== null) seconds = Math.min(seconds, Number(said[1]));
    }
  }
  return seconds;
}

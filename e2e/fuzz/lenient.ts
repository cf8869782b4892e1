/**
 * Lenient readers of requests, like the careless servers behind a proxy. If one
 * of them finds another request than a strict reader does, the proxy has sent
 * something that can be read in two ways.
 *
 * @module
 */

/** Which of two framings wins, and which of several lengths. */
export type Leniency = "coding first" | "first length" | "last length";

/** All of them. */
export const LENIENCIES: readonly Leniency[] = [
  "coding first",
  "first length",
  "last length",
];

/** A request as such a reader parses it. */
export interface LenientRequest {
  method: string;
  target: string;
  body: string;
  to: number;
}

/** The request at `at`, or nothing if its end has not come. */
export function lenientRequestAt(
  text: string,
  at: number,
  how: Leniency,
): LenientRequest | undefined {
  // Any line ending, even a lone CR, and white space where none is allowed.
  const head = /^(?:[\r\n]*)((?:[^\r\n]+(?:\r\n|\n|\r(?!\n)))*?)(?:\r\n|\n|\r)/
    .exec(text.slice(at));
  if (head === null || head[1] === "") return undefined;
  const lines = head[1]!.split(/\r\n|\n|\r/);
  const [method = "", target = ""] = lines[0]!.trim().split(/\s+/);
  const lengths: number[] = [];
  let chunked = false;
  for (const line of lines.slice(1)) {
    const [name = "", ...rest] = line.split(":");
    const value = rest.join(":").trim().toLowerCase();
    const plain = name.trim().toLowerCase();
    if (plain === "content-length") lengths.push(parseInt(value, 10) || 0);
    if (plain === "transfer-encoding" && value.includes("chunked")) {
      chunked = true;
    }
  }
  const from = at + head[0].length;
  const length = how === "last length" ? lengths.at(-1) : lengths[0];
  if (chunked && (how === "coding first" || length === undefined)) {
    const read = lenientChunks(text, from);
    return read && { method, target, ...read };
  }
  const to = from + (length ?? 0);
  if (to > text.length) return undefined;
  return { method, target, body: text.slice(from, to), to };
}

function lenientChunks(
  text: string,
  from: number,
): { body: string; to: number } | undefined {
  let body = "";
  let at = from;
  for (;;) {
    const line = /^[^\n]*\n/.exec(text.slice(at))?.[0];
    if (line === undefined) return undefined;
    const size = parseInt(line, 16) || 0;
    at += line.length;
    if (size === 0) break;
    if (at + size > text.length) return undefined;
    body += text.slice(at, at + size);
    at += size;
    if (text[at] === "\r") at++;
    if (text[at] === "\n") at++;
  }
  for (;;) {
    const line = /^[^\n]*\n/.exec(text.slice(at))?.[0];
    if (line === undefined) return undefined;
    at += line.length;
    if (line.trim() === "") return { body, to: at };
  }
}

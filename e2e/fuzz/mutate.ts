/**
 * Faults for texts that were right: what is deleted, inserted, replaced,
 * repeated, joined, added and doubled.
 *
 * @module
 */

/** Numbers from 0 up to 1. */
export type Random = () => number;

/** One of these. */
export function pick<T>(random: Random, list: readonly T[]): T {
  return list[Math.floor(random() * list.length)]!;
}

/** Bytes to insert, or to replace others by. */
const SNIPPETS = [
  ...["\r\n", "\r", "\n", "\r\n\r\n", "\n\n", "\0", " ", "\t", ":", ";", ","],
  ...["0", "1", "5", "f", "F", "g", "-", "+", "0x", "\x7f", "\x80", "\xff"],
  ...["\x0b", "\x0c", "\x85", "\xa0", "_", ".", "/", "?", "#", "@", "%", "\\"],
  ...[
    "%00",
    "%0d%0a",
    "%2e%2e/",
    "//",
    "http://",
    "*",
    '"',
    "'",
    "(",
    "[",
    "]",
  ],
  ...["0\r\n\r\n", "1\r\nx\r\n", "\r\n0\r\n\r\n", " HTTP/1.1", "HTTP/1.1\r\n"],
  ...[
    "GET ",
    "GET /hidden HTTP/1.1\r\nHost: a.test\r\n\r\n",
    "chunked",
    ";a=b",
  ],
  ...["ffffffffffffffff", "10000000000000000", "18446744073709551616"],
];

/** Lines that frame, name or switch; what parsers differ about. */
const REQUEST_LINES = [
  ...["Content-Length: 0", "Content-Length: 3", "Content-Length: 7"],
  ...["Content-Length:", "content-length: 5, 5", "Content-Length : 4"],
  ...["Content-Length: +3", "Content-Length: 0x3", "Content-Length: 3\t"],
  ...["Content_Length: 3", "Content-Length\0: 3", "X: y\rContent-Length: 3"],
  ...["Transfer-Encoding: chunked", "transfer-encoding:chunked"],
  ...["Transfer-Encoding : chunked", "Transfer-Encoding:\x0bchunked"],
  ...["Transfer-Encoding: gzip", "Transfer-Encoding: chunked, chunked"],
  ...["Transfer-Encoding: identity", "Transfer-Encoding: x\r\n\tchunked"],
  ...["Transfer_Encoding: chunked", "Transfer-Encoding:", "TE: trailers"],
  ...["Connection: close", "Connection: keep-alive", "Connection: Host"],
  ...["Connection: Content-Length", "Connection: Transfer-Encoding, close"],
  ...["Connection: Upgrade\r\nUpgrade: h2c", "Connection: Upgrade"],
  ...["Upgrade: websocket", "Expect: 100-continue", "Expect: x"],
  ...["Trailer: X-T", "Host: b.test", "Host:", "Host: a.test:99999"],
  ...["Host: a.test/x", "Host: a@b", "X-Forwarded-For: 1.2.3.4", "Via: 1.1 x"],
  ...[" folded", "\tfolded", ":", ": x", "no colon", "X-A", "X A: 1"],
  ...[
    "X-\xe9: 1",
    "X-Ctl: a\x01b",
    "X-Nul: a\0b",
    "X-Long: " + "a".repeat(999),
  ],
  ...["Authorization: NTLM x", "Proxy-Connection: keep-alive", "Keep-Alive: 5"],
];

const ANSWER_LINES = [
  ...["Content-Length: 0", "Content-Length: 3", "Content-Length: 2000"],
  ...["Content-Length:", "content-length: 5, 5", "Content-Length : 2"],
  ...["Content-Length: +2", "Content-Length: 2, 3", "Content-Length: -1"],
  ...["Transfer-Encoding: chunked", "Transfer-Encoding : chunked"],
  ...["Transfer-Encoding: gzip, chunked", "Transfer-Encoding: identity"],
  ...["Transfer-Encoding:\x0bchunked", "Transfer-Encoding: x\r\n chunked"],
  ...["Connection: close", "Connection: keep-alive", "Keep-Alive: timeout=1"],
  ...["Connection: Upgrade", "Upgrade: websocket", "Upgrade: h2c"],
  ...["Set-Cookie: a=b", "Location: http://127.0.0.1/x", "Content-Type: a/b"],
  ...["Content-Encoding: gzip", "Content-Range: bytes 0-1/2", "Trailer: X-T"],
  ...[" folded", "\tfolded", ":", ": x", "no colon", "X A: 1", "X-\xe9: 1"],
  ...["X-Ctl: a\x01b", "X-Nul: a\0b", "X-Cr: a\rb", "X-Lf: a\nb"],
  ...["HTTP/1.1 200 OK", "HTTP/1.1 100 Continue\r\n", "HTTP/1.1 101 X"],
];

/** Which side a text is of. */
export type Side = "request" | "answer";

/**
 * A text with some faults. `others` are texts to join it with.
 *
 * @param most Maximum number of faults; there may be none.
 */
export function mutate(
  random: Random,
  text: string,
  side: Side,
  others: readonly string[],
  most = 3,
): string {
  let made = text;
  for (let left = Math.floor(random() * (most + 1)); left > 0; left--) {
    made = fault(random, made, side, others);
  }
  return made;
}

function fault(
  random: Random,
  text: string,
  side: Side,
  others: readonly string[],
): string {
  // Most of what matters is in the head.
  const head = text.indexOf("\r\n\r\n") + 6;
  const end = random() < 0.7 && head > 5 ? head : text.length;
  const at = Math.floor(random() * Math.min(text.length, end));
  const some = 1 + Math.floor(random() * random() * 12);
  const lines = side === "request" ? REQUEST_LINES : ANSWER_LINES;
  const kind = random();
  if (kind < 0.12) return text.slice(0, at) + text.slice(at + some);
  if (kind < 0.3) {
    return text.slice(0, at) + pick(random, SNIPPETS) + text.slice(at);
  }
  if (kind < 0.45) {
    return text.slice(0, at) + pick(random, SNIPPETS) + text.slice(at + 1);
  }
  if (kind < 0.5) {
    const times = 2 + Math.floor(random() * random() * 40);
    return text.slice(0, at) + text.slice(at, at + some).repeat(times) +
      text.slice(at + some);
  }
  if (kind < 0.72) {
    // A field more, where a line begins.
    const to = text.indexOf("\r\n", at) + 2;
    return to < 2
      ? text
      : `${text.slice(0, to)}${pick(random, lines)}\r\n${text.slice(to)}`;
  }
  if (kind < 0.82) {
    // A line twice.
    const from = text.lastIndexOf("\r\n", at) + 2;
    const to = text.indexOf("\r\n", from) + 2;
    return from < 2 || to <= from ? text : text.slice(0, to) + text.slice(from);
  }
  if (kind < 0.87) {
    // One byte changed: case, or one bit.
    const code = text.charCodeAt(at) ^ pick(random, [32, 1, 128, 64, 8]);
    return text.slice(0, at) + String.fromCharCode(code & 255) +
      text.slice(at + 1);
  }
  if (kind < 0.92) return text.slice(0, at);
  return text + pick(random, others);
}

/** Cuts a text at random places: mostly in one piece, else in a few or many. */
export function pieces(random: Random, text: string): string[] {
  if (text.length < 2 || random() < 0.6) return [text];
  const count = random() < 0.8
    ? 1 + Math.floor(random() * 4)
    : Math.min(40, text.length - 1);
  const cuts = new Set<number>();
  for (let i = 0; i < count; i++) {
    cuts.add(1 + Math.floor(random() * (text.length - 1)));
  }
  const made: string[] = [];
  let from = 0;
  for (const cut of [...cuts].sort((a, b) => a - b)) {
    made.push(text.slice(from, cut));
    from = cut;
  }
  made.push(text.slice(from));
  return made;
}

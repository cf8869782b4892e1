/**
 * Field names in their usual spelling.
 *
 * Names are case-insensitive (RFC 9110 §5.1), but both runtimes provide them in
 * lower case only, and some servers recognize `Content-Type` but not
 * `content-type`.
 *
 * @module
 */

import { type Chunk, isToken } from "./bytes.ts";

/** Names with other capitals than the first letter of each word. */
const UNUSUAL = [
  "Content-MD5",
  "DASL",
  "DAV",
  "DNT",
  "DPoP",
  "ETag",
  "NEL",
  "SOAPAction",
  "SourceMap",
  "TE",
  "WWW-Authenticate",
  "X-ATT-DeviceId",
  "X-DNS-Prefetch-Control",
  "X-Real-IP",
  "X-UA-Compatible",
  "X-UIDH",
  "X-WebKit-CSP",
  "X-XSS-Protection",
];

/** Frequent names of response fields, in lower case. */
const ANSWERED = [
  "accept-ranges",
  "access-control-allow-credentials",
  "access-control-allow-headers",
  "access-control-allow-methods",
  "access-control-allow-origin",
  "access-control-expose-headers",
  "age",
  "alt-svc",
  "cache-control",
  "connection",
  "content-disposition",
  "content-encoding",
  "content-language",
  "content-length",
  "content-location",
  "content-range",
  "content-security-policy",
  "content-type",
  "cross-origin-opener-policy",
  "date",
  "etag",
  "expires",
  "keep-alive",
  "last-modified",
  "link",
  "location",
  "permissions-policy",
  "pragma",
  "referrer-policy",
  "retry-after",
  "server",
  "server-timing",
  "set-cookie",
  "strict-transport-security",
  "transfer-encoding",
  "vary",
  "via",
  "x-content-type-options",
  "x-frame-options",
  "x-powered-by",
  "x-request-id",
  "x-xss-protection",
];

/** Bytes in lower case. */
const LOWER = new Uint8Array(256);
for (let code = 0; code < 256; code++) {
  LOWER[code] = code >= 65 && code <= 90 ? code | 32 : code;
}

/** Number of lists in {@linkcode LISTS}, a power of two. */
const SIZE = 128;

/** Which list of {@linkcode LISTS} a name is in. */
function listOf(first: number, last: number, length: number): number {
  return (length + 5 * first + 11 * last) & (SIZE - 1);
}

/** The frequent names by {@linkcode listOf}. */
const LISTS: (readonly string[] | undefined)[] = new Array(SIZE).fill(
  undefined,
);
for (const name of ANSWERED) {
  const { length } = name;
  const at = listOf(name.charCodeAt(0), name.charCodeAt(length - 1), length);
  LISTS[at] = [...LISTS[at] ?? [], name];
}

/**
 * The name between two positions in lower case, if it is a frequent one. The
 * runtimes know the hash of a constant, but have to compute that of a new
 * string at each use.
 */
export function frequentName(
  bytes: Chunk,
  from: number,
  to: number,
): string | undefined {
  const length = to - from;
  const first = LOWER[bytes[from]!]!;
  const list = LISTS[listOf(first, LOWER[bytes[to - 1]!]!, length)];
  if (list === undefined) return undefined;
  for (let i = 0; i < list.length; i++) {
    const name = list[i]!;
    if (name.length !== length) continue;
    let at = 0;
    while (at < length && LOWER[bytes[from + at]!] === name.charCodeAt(at)) {
      at++;
    }
    if (at === length) return name;
  }
  return undefined;
}

/** The names with unusual capitals by lower-case form. */
const SPELLED: ReadonlyMap<string, string> = new Map(
  UNUSUAL.map((name) => [name.toLowerCase(), name]),
);

/** Their lengths, a bit for each. */
let lengths = 0;
for (const { length } of UNUSUAL) lengths |= 1 << length;

const DASH = 45;
const COLON = 58;
const SPACE = 32;

/**
 * Writes a lower-case name in its usual spelling, followed by colon and space;
 * returns the end.
 *
 * @throws {TypeError} If it is not a lower-case name.
 */
export function writeName(room: Chunk, from: number, name: string): number {
  const { length } = name;
  let capital = true;
  for (let i = 0; i < length; i++) {
    const code = name.charCodeAt(i);
    // Lower case only: fields for framing and connections are recognized by
    // that.
    if (!isToken(code) || (code >= 65 && code <= 90)) throw noName(name);
    room[from + i] = capital && code >= 97 && code <= 122 ? code - 32 : code;
    capital = code === DASH;
  }
  if (length === 0) throw noName(name);
  if (length < 32 && (lengths >> length & 1) === 1) {
    const spelled = SPELLED.get(name);
    if (spelled !== undefined) {
      for (let i = 0; i < length; i++) room[from + i] = spelled.charCodeAt(i);
    }
  }
  const end = from + length;
  room[end] = COLON;
  room[end + 1] = SPACE;
  return end + 2;
}

function noName(name: string): TypeError {
  return new TypeError(`Cannot send: "${name}" is no field name`);
}

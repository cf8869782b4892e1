/**
 * Random requests and responses, within the grammar of RFC 9110 and RFC 9112.
 *
 * Without what the runtimes' servers hide from a handler, since no proxy on top
 * of them could keep it; `wire/exceptions.ts` lists it.
 *
 * @module
 */

/** Fields in order; a name may come again. */
export type RandomFields = readonly [string, string][];

/** A request. */
export interface RandomRequest {
  method: string;
  target: string;
  fields: RandomFields;
  /** Its body, and how that is framed. */
  body: Uint8Array<ArrayBuffer> | undefined;
  framing: "length" | "chunked";
}

/** An answer. */
export interface RandomAnswer {
  status: number;
  fields: RandomFields;
  body: Uint8Array<ArrayBuffer>;
  framing: "length" | "chunked" | "close";
}

type Random = () => number;

function pick<T>(random: Random, list: readonly T[]): T {
  return list[Math.floor(random() * list.length)]!;
}

function upTo(random: Random, most: number): number {
  return Math.floor(random() * (most + 1));
}

function text(random: Random, letters: string, most: number): string {
  let made = "";
  for (let left = upTo(random, most); left > 0; left--) {
    made += pick(random, [...letters]);
  }
  return made;
}

const ALNUM = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
/** Characters of a path's segment that every URL parser leaves alone. */
const SEGMENT = `${ALNUM}-._~!$&()*+,;=:@`;

/** A path and a query; no segment is a dot segment in any spelling. */
function target(random: Random): string {
  let path = "";
  for (let left = upTo(random, 4); left >= 0; left--) {
    const segment = text(random, SEGMENT, 12);
    path += `/${/^\.*$/.test(segment) ? "x" : segment}${
      random() < 0.2 ? pick(random, ["%20", "%2F", "%C3%A9", "%zz", "%"]) : ""
    }`;
  }
  if (random() < 0.5) path += `?${text(random, `${SEGMENT}/?`, 30)}x`;
  return path;
}

const METHODS = [
  ...["GET", "GET", "GET", "HEAD", "POST", "POST", "PUT", "PATCH", "DELETE"],
  ...["OPTIONS", "ACL", "BIND", "CHECKOUT", "COPY", "LINK", "LOCK", "M-SEARCH"],
  ...["MERGE", "MKACTIVITY", "MKCALENDAR", "MKCOL", "MOVE", "NOTIFY", "PURGE"],
  ...["PROPFIND", "PROPPATCH", "QUERY", "REBIND", "REPORT", "SEARCH", "UNBIND"],
  ...["SUBSCRIBE", "UNLINK", "UNLOCK", "UNSUBSCRIBE"],
];

/** Names that mean nothing to a proxy. */
const NAMES = [
  ...[
    "X-A",
    "x-b",
    "X-LONGER-NAME",
    "Accept",
    "Accept-Language",
    "Cache-Control",
  ],
  ...["If-None-Match", "X-Empty", "Authorization", "Referer", "User-Agent"],
  ...["Accept-Encoding", "Range", "Content-Type", "X.dotted", "x~tilde"],
];
const ANSWER_NAMES = [
  ...["X-A", "x-b", "X-LONGER-NAME", "Cache-Control", "ETag", "Vary"],
  ...["Set-Cookie", "Set-Cookie", "Server", "X-Empty", "Last-Modified"],
  ...["WWW-Authenticate", "Content-Language", "x~tilde"],
];

function value(random: Random): string {
  const inner = `${ALNUM} \t!"#$%&'()*+,-./:;<=>?@[\\]^_\`{|}~`;
  return text(random, inner, 40).replace(/^[ \t]+|[ \t]+$/g, "");
}

function fields(
  random: Random,
  names: readonly string[],
  most: number,
): [string, string][] {
  const made: [string, string][] = [];
  for (let left = upTo(random, most); left > 0; left--) {
    const name = pick(random, names);
    // Servers join an empty value of a repeated name in different ways.
    if (name !== "X-Empty") made.push([name, `v${value(random)}`]);
    else if (!made.some(([known]) => known === name)) made.push([name, ""]);
  }
  return made;
}

function bytes(random: Random): Uint8Array<ArrayBuffer> {
  // None, and said so, is not the same as nothing said.
  if (random() < 0.1) return new Uint8Array();
  const size = random() < 0.8
    ? upTo(random, 2_000)
    : upTo(random, pick(random, [20_000, 70_000, 300_000]));
  const made = new Uint8Array(size);
  for (let at = 0; at < size; at++) made[at] = Math.floor(random() * 256);
  return made;
}

/** A request. */
export function randomRequest(random: Random): RandomRequest {
  const method = pick(random, METHODS);
  const hasBody = method !== "GET" && method !== "HEAD" && random() < 0.8;
  const made = fields(random, NAMES, 8);
  // A range of a made-up response would be of no use.
  const kept = made.filter(([name]) => name !== "Range");
  return {
    method,
    target: target(random),
    fields: kept,
    body: hasBody ? bytes(random) : undefined,
    framing: random() < 0.6 ? "length" : "chunked",
  };
}

/** Every final one, but for 205: what is made of that is in `wire/answers.ts`. */
const STATUSES = [
  ...[200, 200, 200, 204, 206, 304, 304],
  ...Array.from({ length: 400 }, (_, i) => 200 + i).filter((at) => at !== 205),
];

/** An answer. */
export function randomAnswer(random: Random): RandomAnswer {
  return {
    status: pick(random, STATUSES),
    fields: [
      // Bun adds a missing type, and Deno a missing date: both are listed.
      ["Content-Type", "application/x-random"],
      ["Date", "Wed, 26 Nov 2025 01:45:33 GMT"],
      ...fields(random, ANSWER_NAMES, 8),
    ],
    body: bytes(random),
    framing: pick(random, ["length", "length", "chunked", "close"]),
  };
}

/** A request as bytes; `id` identifies it. */
export function written(
  { method, target, fields, body, framing }: RandomRequest,
  id: number,
  random: Random,
): Uint8Array<ArrayBuffer>[] {
  const lines = [`Host: exact.test`, `X-Case: ${id}`];
  for (const [name, value] of fields) lines.push(`${name}: ${value}`);
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  if (body !== undefined) {
    if (framing === "length") {
      lines.push(`Content-Length: ${body.length}`);
      pieces.push(body);
    } else {
      lines.push("Transfer-Encoding: chunked");
      for (let at = 0; at < body.length;) {
        const size = 1 + upTo(random, 5_000);
        const piece = body.subarray(at, at + size);
        pieces.push(
          latin1(`${piece.length.toString(16)}\r\n`),
          piece,
          latin1("\r\n"),
        );
        at += size;
      }
      pieces.push(latin1("0\r\n\r\n"));
    }
  }
  const head = `${method} ${target} HTTP/1.1\r\n${lines.join("\r\n")}\r\n\r\n`;
  return [latin1(head), ...pieces];
}

function latin1(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0));
}

/**
 * Answers that a backend could send, right ones and slightly wrong ones.
 *
 * @module
 */

/** An answer and the method of the request that it is an answer to. */
export interface MutatedAnswer {
  text: string;
  method: string;
}

/** One of these. */
function pick<T>(random: () => number, list: readonly T[]): T {
  return list[Math.floor(random() * list.length)]!;
}

const METHODS = ["GET", "GET", "GET", "HEAD", "POST"] as const;
const STATUSES = [
  ...["200", "200", "200", "404", "204", "304", "206", "302", "500"],
  ...["100", "103", "101", "199", "600", "099", "20", "2000"],
] as const;
const VERSIONS = ["1.1", "1.1", "1.1", "1.1", "1.1", "1.0", "1.2", "2"];
const FIELDS = [
  "Server: x",
  "X-Empty:",
  "X-Spaces: \t a  b \t ",
  "Set-Cookie: a=b",
  "X-Bytes: \xe9\xff",
  "Connection: keep-alive",
  "Connection: close",
  "Connection: x, Close",
  "Keep-Alive: timeout=5",
  "Date: Wed, 26 Nov 2025 01:45:33 GMT",
  "Content-Type: text/plain",
];
/** Bytes to insert, or to replace others by. */
const SNIPPETS = [
  ...["\r\n", "\r", "\n", "\r\n\r\n", "\n\n", "\0", " ", "\t", ":", ";", ","],
  ...["0", "1", "5", "f", "F", "g", "-", "+", "0x", "\x7f", "\x80", "\xff"],
  ...["Content-Length: 3\r\n", "Content-Length: 5\r\n", "Content-Length:\r\n"],
  ...["Transfer-Encoding: chunked\r\n", "Transfer-Encoding: gzip\r\n"],
  ...["content-length: 5, 5\r\n", "transfer-encoding : chunked\r\n"],
  ...[
    " folded\r\n",
    "HTTP/1.1 200 OK\r\n",
    "0\r\n\r\n",
    "HTTP/1.1 100 \r\n\r\n",
  ],
];

/** A right answer, more or less. */
function answer(random: () => number): string {
  const body = "b".repeat(Math.floor(random() * random() * 600));
  const fields: string[] = [];
  const count = Math.floor(random() * 5);
  for (let i = 0; i < count; i++) fields.push(pick(random, FIELDS));
  const framing = random();
  let framed = body;
  if (framing < 0.4) {
    fields.push(`Content-Length: ${body.length}`);
  } else if (framing < 0.85) {
    fields.push("Transfer-Encoding: chunked");
    framed = chunked(body, random);
  }
  if (random() < 0.1) fields.push(pick(random, FIELDS));
  const version = random() < 0.9 ? "1.1" : pick(random, VERSIONS);
  const status = random() < 0.7 ? "200" : pick(random, STATUSES);
  const reason = pick(random, [" OK", "", " ", " Not \xe9"]);
  return `HTTP/${version} ${status}${reason}\r\n${
    fields.map((field) => `${field}\r\n`).join("")
  }\r\n${framed}`;
}

function chunked(body: string, random: () => number): string {
  let text = "";
  for (let at = 0; at < body.length;) {
    const size = Math.min(body.length - at, 1 + Math.floor(random() * 90));
    const extension = random() < 0.1 ? pick(random, [";a=b", " ;x", " "]) : "";
    const digits = size.toString(16);
    text += `${random() < 0.1 ? `0${digits}` : digits}${extension}\r\n` +
      `${body.slice(at, at + size)}\r\n`;
    at += size;
  }
  const trailer = random() < 0.2 ? "X-Trailer: 1\r\n" : "";
  return `${text}0\r\n${trailer}\r\n`;
}

/** A response with up to so many faults. */
export function mutated(random: () => number, most = 3): MutatedAnswer {
  let text = answer(random);
  if (random() < 0.1) {
    text = `HTTP/1.1 ${pick(random, ["100", "103", "102"])} x\r\n\r\n${text}`;
  }
  const faults = Math.floor(random() * (most + 1));
  for (let i = 0; i < faults; i++) {
    // Most of what matters is in the head.
    const end = random() < 0.7 ? text.indexOf("\r\n\r\n") + 8 : text.length;
    const at = Math.floor(random() * Math.min(text.length, end));
    const kind = random();
    if (kind < 0.25) {
      text = text.slice(0, at) + text.slice(at + 1 + Math.floor(random() * 3));
    } else if (kind < 0.5) {
      const snippet = pick(random, SNIPPETS);
      // A line where a line begins, more often than not.
      const to = snippet.endsWith("\r\n") && random() < 0.8
        ? text.indexOf("\r\n", at) + 2
        : at;
      text = text.slice(0, to) + snippet + text.slice(to);
    } else if (kind < 0.75) {
      text = text.slice(0, at) + pick(random, SNIPPETS) + text.slice(at + 1);
    } else if (kind < 0.85) {
      // A line twice.
      const from = text.lastIndexOf("\r\n", at) + 2;
      const to = text.indexOf("\r\n", from) + 2;
      if (to > from) text = text.slice(0, to) + text.slice(from);
    } else if (kind < 0.95) {
      text = text.slice(0, at);
    } else {
      text += pick(random, [...SNIPPETS, text]);
    }
  }
  return { text, method: pick(random, METHODS) };
}

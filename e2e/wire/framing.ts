/**
 * Responses with ambiguous or invalid framing: the client gets the complete
 * body, or a 502, or a visibly truncated body. Never a part that looks
 * complete, and never bytes of the framing.
 *
 * @module
 */

import assert from "node:assert/strict";
import type { Handler } from "../harness/backend.ts";
import type { Group, WireCase } from "./case.ts";

// With a type, since Bun hands over only what has one without a look at it.
const OK = "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\n";
const OLD = "HTTP/1.0 200 OK\r\nContent-Type: a/b\r\n";
const CHUNKED = "Transfer-Encoding: chunked\r\n";
const BODY = "hello";

/** The body, as one chunk and as two, and cut at several places. */
const ONE = "5\r\nhello\r\n0\r\n\r\n";
const TWO = "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n";
const CUT: [what: string, chunks: string][] = [
  ["no chunk", ""],
  ["half a size", "5"],
  ["half a chunk", "9\r\nhello"],
  ["no last chunk", "5\r\nhello\r\n"],
  ["half a last chunk", "5\r\nhello\r\n0"],
];

/** Around the body's, and around those of its chunks and their framing. */
const LENGTHS = [0, 3, 5, 9, 15, 300_000];

/** A framing of {@linkcode BODY}: its name and its bytes. */
type Framed = [what: string, bytes: string];

/** All of the body is there, and its end shows. */
const WHOLE: Framed[] = [
  ...LENGTHS.flatMap((length): Framed[] => [
    [
      `a length of ${length} before one chunk`,
      `${OK}Content-Length: ${length}\r\n${CHUNKED}\r\n${ONE}`,
    ],
    [
      `a length of ${length} after two chunks are announced`,
      `${OK}${CHUNKED}Content-Length: ${length}\r\n\r\n${TWO}`,
    ],
  ]),
  [
    "two lengths beside chunks",
    `${OK}Content-Length: 3\r\nContent-Length: 5\r\n${CHUNKED}\r\n${ONE}`,
  ],
  ["a length with a zero in front", `${OK}Content-Length: 05\r\n\r\n${BODY}`],
  ["a length twice in one line", `${OK}Content-Length: 5, 5\r\n\r\n${BODY}`],
  ["CHUNKED in capitals", `${OK}Transfer-Encoding: CHUNKED\r\n\r\n${ONE}`],
  ["HTTP/1.0 with chunks", `${OLD}${CHUNKED}\r\n${ONE}`],
  [
    "HTTP/1.0 with chunks and a length",
    `${OLD}Content-Length: 3\r\n${CHUNKED}\r\n${ONE}`,
  ],
];

/** The end is missing. */
const SHORT: Framed[] = [
  ...CUT.flatMap(([what, chunks]): Framed[] => [
    [`${what}, no length`, `${OK}${CHUNKED}\r\n${chunks}`],
    ...LENGTHS.map((length): Framed => [
      `${what}, a length of ${length}`,
      `${OK}Content-Length: ${length}\r\n${CHUNKED}\r\n${chunks}`,
    ]),
    [`${what}, HTTP/1.0`, `${OLD}${CHUNKED}\r\n${chunks}`],
  ]),
  ["4 of 5 bytes", `${OK}Content-Length: 5\r\n\r\nhell`],
  ["4 of 5 bytes, HTTP/1.0", `${OLD}Content-Length: 5\r\n\r\nhell`],
  ["5 of 300,000 bytes", `${OK}Content-Length: 300000\r\n\r\n${BODY}`],
];

/** No empty line after the last chunk: all of the body, though not its end. */
const UNENDED: Framed[] = [
  ["no empty line", `${OK}${CHUNKED}\r\n5\r\nhello\r\n0\r\n`],
  ["a trailer and no more", `${OK}${CHUNKED}\r\n5\r\nhello\r\n0\r\nX-T: 1\r\n`],
];

/** Its end is undefined (RFC 9112 §6.1, §6.3). */
const UNKNOWN: Framed[] = [
  ...[
    ...[
      "chunked, chunked",
      "chunked, gzip",
      "gzip, chunked",
      "gzip",
      "identity",
    ],
    ...["xchunked", "chunked,", "chunked;q=1", '"chunked"', "\x0bchunked", ""],
  ].flatMap((coding): Framed[] =>
    ["", "Content-Length: 3\r\n"].map((length) => [
      `Transfer-Encoding: ${JSON.stringify(coding)}${
        length === "" ? "" : " and a length"
      }`,
      `${OK}${length}Transfer-Encoding: ${coding}\r\n\r\n${ONE}`,
    ])
  ),
  ["chunked in two lines", `${OK}${CHUNKED}${CHUNKED}\r\n${ONE}`],
  [
    "chunked, then another coding in a line of its own",
    `${OK}${CHUNKED}Transfer-Encoding: gzip\r\n\r\n${ONE}`,
  ],
  ...[
    ...["2, 3", "5x", "5 5", "", "5;a", "0x5", "+5", "-1", "5.0", "1e1"],
  ].map((length): Framed => [
    `a length of ${JSON.stringify(length)}`,
    `${OK}Content-Length: ${length}\r\n\r\n${BODY}`,
  ]),
  [
    "two lengths",
    `${OK}Content-Length: 3\r\nContent-Length: 5\r\n\r\n${BODY}`,
  ],
];

/** Sends bytes, and ends the connection or keeps it open. */
function sends(bytes: string, ends: boolean): Handler {
  return async (conn) => {
    await conn.send(bytes);
    if (ends) await conn.end();
  };
}

const FAILED = /^sluice; error=/;

function framed(
  how: string,
  [what, bytes]: Framed,
  wanted: "whole" | "cut" | "refused",
): WireCase {
  const promise = {
    whole: "arrives whole, or is a 502",
    cut: "is visibly cut, or is a 502",
    refused: "is a 502",
  }[wanted];
  return {
    name: `framing (${how}): ${what} ${promise} (RFC 9112 §6.3)`,
    on: "proven",
    async run(round) {
      const script = sends(bytes, wanted === "cut");
      const answer = await round.get("/", [], script);
      if (answer.status === 502) {
        assert.match(answer.header("proxy-status") ?? "", FAILED);
        assert.equal(answer.complete, true);
      } else if (wanted === "refused") {
        assert.fail(`${answer.status} "${answer.text}", not 502`);
      } else if (wanted === "cut") {
        assert.equal(answer.complete, false, `"${answer.text}" looks whole`);
      } else {
        assert.equal(answer.text, BODY);
        assert.equal(answer.complete, true);
      }
      await round.stillFine();
    },
  };
}

/**
 * A response with a length shorter than its chunks was cut to that length on
 * Deno: "hel" of "hello" in a response that looked complete. On Bun a length
 * equal to its chunks hid that the last chunk was missing.
 */
function framing(
  how: string,
  env: Record<string, string>,
  more: readonly Framed[] = [],
): Group {
  return {
    name: `framing ${how}`,
    env: () => ({ RETRIES: "0", EJECT_AFTER: "off", ...env }),
    cases: [
      ...WHOLE.map((each) => framed(how, each, "whole")),
      ...SHORT.map((each) => framed(how, each, "cut")),
      ...more.map((each) => framed(how, each, "cut")),
      ...UNKNOWN.map((each) => framed(how, each, "refused")),
    ],
  };
}

/** Responses that are passed on as they come, once a backend is trusted. */
export const framingAsItIs: Group = framing("as it is", {}, UNENDED);
/** Answers that are copied, and followed to their end. */
export const framingFollowed: Group = framing("followed", {
  REQUEST_ID: "on",
  IDLE_TIMEOUT: "20s",
});

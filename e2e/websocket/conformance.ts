/**
 * What the Autobahn test suite tries on a WebSocket endpoint, section by section,
 * as bytes; its numbers are in the names. The suite itself is no Debian or npm
 * package, so its cases are written here anew, and each is tried from both ends
 * of a bridge. Sections 12 and 13 are about permessage-deflate, which the bridge
 * does not offer.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { closing, frameBytes } from "./raw.ts";

/** Frames that one end sends. */
export interface Conformance {
  /** Section and what is tried. */
  name: string;
  frames: readonly (readonly [first: number, payload: string | Uint8Array])[];
  /** Written in pieces of so many bytes. @default {all at once} */
  chop?: number;
}

/** The bytes of a case, as a client or as a server sends them. */
export function bytesOf(
  { frames, chop = Infinity }: Conformance,
  masked: boolean,
): Uint8Array[] {
  const all = Buffer.concat(
    frames.map(([first, payload]) => frameBytes(first, payload, masked)),
  );
  const pieces: Uint8Array[] = [];
  for (let at = 0; at < all.length; at += chop) {
    pieces.push(all.subarray(at, Math.min(all.length, at + chop)));
  }
  return pieces;
}

const TEXT = 0x81;
const BINARY = 0x82;
const PING = 0x89;
const PONG = 0x8a;
const CLOSE = 0x88;
const END = [CLOSE, closing(1000)] as const;
const x = (length: number) => Buffer.alloc(length, "x");
const raw = (...bytes: number[]) => new Uint8Array(bytes);
const one = (
  name: string,
  first: number,
  payload: string | Uint8Array = "",
): Conformance => ({ name, frames: [[first, payload], END] });

const SIZES = [0, 125, 126, 127, 128, 65_535, 65_536];

/** 6: valid texts, by what is special about them. */
const VALID_TEXTS: [string, Uint8Array | string][] = [
  ["6.2 two scripts", "Hello-µ@ßöäüàá-UTF-8!!"],
  ["6.5 κόσμε", "κόσμε"],
  ["6.6.5 the largest of two bytes", raw(0xdf, 0xbf)],
  ["6.6.7 the largest of three bytes", raw(0xef, 0xbf, 0xbf)],
  ["6.6.9 the smallest of four bytes", raw(0xf0, 0x90, 0x80, 0x80)],
  ["6.7.4 the largest of all", raw(0xf4, 0x8f, 0xbf, 0xbf)],
  ["6.9.1 the last before the surrogates", raw(0xed, 0x9f, 0xbf)],
  ["6.9.2 the first after the surrogates", raw(0xee, 0x80, 0x80)],
  ["6.9.4 the replacement character", raw(0xef, 0xbf, 0xbd)],
  ["6.22.1 a character that is none", raw(0xef, 0xbf, 0xbe)],
  ["6.23.1 a zero", raw(0)],
  ["6.23.2 a byte order mark", raw(0xef, 0xbb, 0xbf, 0x61)],
];

/** 6: what is not UTF-8. */
const INVALID_TEXTS: [string, Uint8Array][] = [
  ["6.3 a surrogate in the middle", raw(0xce, 0xba, 0xed, 0xa0, 0x80, 0x65)],
  ["6.8.1 five bytes", raw(0xf8, 0x88, 0x80, 0x80, 0x80)],
  ["6.8.2 six bytes", raw(0xfc, 0x84, 0x80, 0x80, 0x80, 0x80)],
  ["6.10.1 past the largest", raw(0xf4, 0x90, 0x80, 0x80)],
  ["6.11.1 FE and FF", raw(0xfe, 0xff)],
  ["6.12.1 a continuation alone", raw(0x80)],
  ["6.12.4 four continuations", raw(0x80, 0xbf, 0x80, 0xbf)],
  ["6.14.1 a begin alone", raw(0xc0)],
  ["6.14.3 a begin of three alone", raw(0xe0, 0x80)],
  ["6.15.1 begins of all lengths", raw(0xc0, 0xe0, 0x80, 0xf0, 0x80, 0x80)],
  ["6.16.1 FE", raw(0xfe)],
  ["6.17.1 a slash in two bytes", raw(0xc0, 0xaf)],
  ["6.17.2 a slash in three bytes", raw(0xe0, 0x80, 0xaf)],
  ["6.17.3 a slash in four bytes", raw(0xf0, 0x80, 0x80, 0xaf)],
  ["6.18.1 the largest that is too long", raw(0xc1, 0xbf)],
  ["6.19.1 a zero in two bytes", raw(0xc0, 0x80)],
  ["6.20.1 the first surrogate", raw(0xed, 0xa0, 0x80)],
  ["6.20.7 the last surrogate", raw(0xed, 0xbf, 0xbf)],
  ["6.21.1 a pair of surrogates", raw(0xed, 0xa0, 0x80, 0xed, 0xb0, 0x80)],
  ["6.4 half a character at the end", raw(0x61, 0xce)],
];

const GOOD_CODES = [
  ...[1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011],
  ...[3000, 3999, 4000, 4999],
];
const BAD_CODES = [
  ...[0, 999, 1004, 1005, 1006, 1016, 1100, 2000, 2999, 5000, 65_535],
];

/** All cases. */
export const CONFORMANCE: readonly Conformance[] = [
  ...SIZES.flatMap((size) => [
    one(`1.1 a text of ${size} bytes`, TEXT, x(size)),
    one(`1.2 a binary of ${size} bytes`, BINARY, x(size)),
  ]),
  {
    ...one("1.1.8 a text of 65,536 bytes, chopped", TEXT, x(65_536)),
    chop: 997,
  },
  one("2.1 a ping without payload", PING),
  one("2.2 a ping", PING, "Hello, world!"),
  one("2.3 a ping that is no text", PING, raw(0, 0xff, 0xfe, 0xfd, 0xfc)),
  one("2.4 a ping of 125 bytes", PING, x(125)),
  one("2.5 a ping of 126 bytes", PING, x(126)),
  { ...one("2.6 a ping of 125 bytes, byte by byte", PING, x(125)), chop: 1 },
  one("2.7 an unasked pong", PONG),
  one("2.8 an unasked pong with payload", PONG, "unasked"),
  {
    name: "2.10 ten pings",
    frames: [
      ...Array.from({ length: 10 }, (_, i) => [PING, `payload-${i}`] as const),
      END,
    ],
  },
  {
    name: "2.11 ten pings, byte by byte",
    frames: [
      ...Array.from({ length: 10 }, (_, i) => [PING, `payload-${i}`] as const),
      END,
    ],
    chop: 1,
  },
  ...[1, 2, 3, 4, 5, 6, 7].flatMap((bits) => [
    one(`3.${bits} reserved bits ${bits} on a text`, TEXT | bits << 4, "x"),
    one(`3.${bits} reserved bits ${bits} on a ping`, PING | bits << 4),
    {
      name: `3.${bits} reserved bits ${bits} behind a text`,
      frames: [[TEXT, "before"], [TEXT | bits << 4, "x"], [PING, ""], END],
    } satisfies Conformance,
  ]),
  ...[3, 4, 5, 6, 7, 11, 12, 13, 14, 15].flatMap((opcode) => [
    one(`4 opcode ${opcode}`, 0x80 | opcode),
    one(`4 opcode ${opcode} with payload`, 0x80 | opcode, "reserved"),
    {
      name: `4 opcode ${opcode} behind a text`,
      frames: [[TEXT, "before"], [0x80 | opcode, ""], [PING, ""], END],
    } satisfies Conformance,
  ]),
  {
    name: "5.1 a ping in two fragments",
    frames: [[0x09, "a"], [0x80, "b"], END],
  },
  {
    name: "5.2 a pong in two fragments",
    frames: [[0x0a, "a"], [0x80, "b"], END],
  },
  {
    name: "5.3 a text in two fragments",
    frames: [[0x01, "a"], [0x80, "b"], END],
  },
  {
    name: "5.5 a text in two fragments, byte by byte",
    frames: [[0x01, "fragment1"], [0x80, "fragment2"], END],
    chop: 1,
  },
  {
    name: "5.6 a ping between two fragments",
    frames: [[0x01, "a"], [PING, "ping"], [0x80, "b"], END],
  },
  {
    name: "5.8 a ping between two fragments, byte by byte",
    frames: [[0x01, "a"], [PING, "ping"], [0x80, "b"], END],
    chop: 1,
  },
  { name: "5.9 nothing to go on", frames: [[0x80, "a"], [TEXT, "b"], END] },
  { name: "5.12 nothing to go on, not final", frames: [[0x00, "a"], END] },
  {
    name: "5.15 nothing to go on behind a message",
    frames: [[0x01, "a"], [0x80, "b"], [0x00, "c"], [TEXT, "d"], END],
  },
  { name: "5.18 a text in a text", frames: [[0x01, "a"], [TEXT, "b"], END] },
  {
    name: "5.19 fragments with pings between them",
    frames: [
      ...[[0x01, "a"], [0x00, "b"], [PING, "1"], [0x00, "c"]] as const,
      ...[[0x00, "d"], [PING, "2"], [0x80, "e"], END] as const,
    ],
  },
  {
    name: "5 empty fragments",
    frames: [[0x01, ""], [0x00, ""], [0x80, ""], END],
  },
  ...VALID_TEXTS.flatMap(([name, payload]) => [
    one(name, TEXT, payload),
    {
      name: `${name}, in fragments of a byte`,
      frames: [
        [0x01, ""],
        ...[...Buffer.from(payload)].map((byte) => [0x00, raw(byte)] as const),
        [0x80, ""],
        END,
      ],
    } satisfies Conformance,
  ]),
  ...INVALID_TEXTS.flatMap(([name, payload]) => [
    one(name, TEXT, payload),
    {
      name: `${name}, in fragments of a byte`,
      frames: [
        [0x01, ""],
        ...[...payload].map((byte) => [0x00, raw(byte)] as const),
        [0x80, ""],
        END,
      ],
    } satisfies Conformance,
    one(`${name}, as binary`, BINARY, payload),
  ]),
  {
    name: "7.1.1 a text and a close",
    frames: [[TEXT, "Hello World!"], [CLOSE, closing(1000)]],
  },
  { name: "7.1.2 two closes", frames: [END, END] },
  { name: "7.1.3 a ping behind a close", frames: [END, [PING, ""]] },
  { name: "7.1.4 a text behind a close", frames: [END, [TEXT, "late"]] },
  {
    name: "7.1.5 a close within a message",
    frames: [[0x01, "a"], END, [0x80, "b"]],
  },
  {
    name: "7.1.6 a large message, a close and a ping",
    frames: [[TEXT, x(262_144)], END, [PING, ""]],
  },
  { name: "7.3.1 a close without a code", frames: [[CLOSE, ""]] },
  { name: "7.3.2 a close of one byte", frames: [[CLOSE, "a"]] },
  { name: "7.3.3 a close with a code", frames: [[CLOSE, closing(1000)]] },
  {
    name: "7.3.4 a close with a reason",
    frames: [[CLOSE, closing(1000, "Hello World!")]],
  },
  {
    name: "7.3.5 a close of 125 bytes",
    frames: [[CLOSE, closing(1000, "x".repeat(123))]],
  },
  {
    name: "7.3.6 a close of 126 bytes",
    frames: [[CLOSE, closing(1000, "x".repeat(124))]],
  },
  {
    name: "7.5.1 a reason that is not UTF-8",
    frames: [[CLOSE, raw(0x03, 0xe8, 0xce, 0xba, 0xed, 0xa0, 0x80)]],
  },
  ...GOOD_CODES.map((code): Conformance => ({
    name: `7.7 the close code ${code}`,
    frames: [[CLOSE, closing(code, "bye")]],
  })),
  ...BAD_CODES.map((code): Conformance => ({
    name: `7.9 the close code ${code}`,
    frames: [[CLOSE, closing(code)]],
  })),
  ...[262_144, 1_048_576].flatMap((size) => [
    one(`9.1 a text of ${size} bytes`, TEXT, x(size)),
    one(`9.2 a binary of ${size} bytes`, BINARY, x(size)),
  ]),
  ...[64, 1_024, 65_536].map((size): Conformance => ({
    name: `9.3 a text of 262,144 bytes in fragments of ${size}`,
    frames: [
      [0x01, ""],
      ...Array.from({ length: 262_144 / size }, () => [0x00, x(size)] as const),
      [0x80, ""],
      END,
    ],
  })),
  {
    ...one("9.5 a text of 1 MB, chopped", TEXT, x(1_048_576)),
    chop: 4_096,
  },
  {
    name: "9.7 200 messages",
    frames: [
      ...Array.from({ length: 200 }, (_, i) => [TEXT, `${i}`] as const),
      END,
    ],
  },
  {
    name: "10.1 a text of 65,536 bytes in fragments of 1,300",
    frames: [
      [0x01, ""],
      ...Array.from({ length: 50 }, () => [0x00, x(1_300)] as const),
      [0x80, x(536)],
      END,
    ],
  },
];

/**
 * What Deno's server makes of two of them, that come from a client: it takes a
 * text that ends in the middle of a character, if that came in fragments, without
 * the half character, and answers a close frame that is too large with another.
 */
export const KNOWN_ON_DENO: readonly string[] = [
  '6.4 half a character at the end, in fragments of a byte: message 0 is "text a", not none',
  "7.3.6 a close of 126 bytes: sent back a large control frame",
];

import assert from "node:assert/strict";
import { growsLinearly } from "../testing/growth.ts";
import {
  closeFrame,
  frameOf,
  FrameReader,
  type FrameSink,
  OPCODE,
} from "./frames.ts";

type Seen = [what: string, ...data: unknown[]][];

function collecting(seen: Seen): FrameSink {
  return {
    message: (data) =>
      seen.push(
        typeof data === "string" ? ["text", data] : [
          "binary",
          [...data],
        ],
      ),
    ping: (payload) => seen.push(["ping", [...payload]]),
    closed: (code, reason) => seen.push(["closed", code, reason]),
    failed: (code, reason) => seen.push(["failed", code, reason]),
    yielded: () => seen.push(["yielded"]),
  };
}

const ignoring: FrameSink = {
  message() {},
  ping() {},
  closed() {},
  failed() {},
  yielded() {},
};

/** A server's frame, unmasked. */
function frame(first: number, payload: readonly number[] = []): number[] {
  const { length } = payload;
  if (length < 126) return [first, length, ...payload];
  return [first, 126, length >> 8, length & 0xff, ...payload];
}

const bytes = (text: string) => [...new TextEncoder().encode(text)];

/** Feeds the bytes in pieces of `size`. */
function read(data: readonly number[], size = data.length, limit = 1e6): Seen {
  const seen: Seen = [];
  const reader = new FrameReader(collecting(seen), limit);
  for (let at = 0; at < data.length; at += size) {
    reader.push(new Uint8Array(data.slice(at, at + size)));
  }
  return seen;
}

const CASES: [name: string, data: number[], seen: Seen][] = [
  ["a text", frame(0x81, bytes("häß")), [["text", "häß"]]],
  ["an empty text", frame(0x81), [["text", ""]]],
  ["an empty binary", frame(0x82), [["binary", []]]],
  [
    "a byte order mark, which is part of the text",
    frame(0x81, [0xef, 0xbb, 0xbf, 0x61]),
    [["text", "\ufeffa"]],
  ],
  [
    "fragments, a character halved between them",
    [...frame(0x01, [0xc3]), ...frame(0x00), ...frame(0x80, [0xa4])],
    [["text", "ä"]],
  ],
  [
    "control frames between fragments",
    [
      ...frame(0x02, [1]),
      ...frame(0x89, [7]),
      ...frame(0x8a, [8]),
      ...frame(0x80, [2]),
    ],
    [["ping", [7]], ["binary", [1, 2]]],
  ],
  [
    "a close frame, and nothing after it",
    [...frame(0x88, [0x03, 0xe9, ...bytes("bye")]), ...frame(0x81, [0x61])],
    [["closed", 1001, "bye"]],
  ],
  ["a close frame without a code", frame(0x88), [["closed", undefined, ""]]],
  ["a code of an application", frame(0x88, [0x0f, 0xa0]), [[
    "closed",
    4000,
    "",
  ]]],
  ["half a code", frame(0x88, [0x03]), [[
    "failed",
    1002,
    "invalid close code",
  ]]],
  ["the code 1005", frame(0x88, [0x03, 0xed]), [[
    "failed",
    1002,
    "invalid close code",
  ]]],
  ["the code 2999", frame(0x88, [0x0b, 0xb7]), [[
    "failed",
    1002,
    "invalid close code",
  ]]],
  ["a reason that is not UTF-8", frame(0x88, [0x03, 0xe8, 0xff]), [[
    "failed",
    1007,
    "invalid UTF-8",
  ]]],
  ["a text that is not UTF-8", frame(0x81, [0xc3, 0x28]), [[
    "failed",
    1007,
    "invalid UTF-8",
  ]]],
  ["a masked frame", [0x81, 0x80, 0, 0, 0, 0], [[
    "failed",
    1002,
    "masked frame",
  ]]],
  ["a reserved bit", frame(0xc1), [["failed", 1002, "reserved bit set"]]],
  ["an unknown opcode", frame(0x83), [["failed", 1002, "unknown opcode"]]],
  ["an unknown control opcode", frame(0x8b), [[
    "failed",
    1002,
    "unknown opcode",
  ]]],
  ["a fragmented ping", frame(0x09), [[
    "failed",
    1002,
    "fragmented control frame",
  ]]],
  ["a ping of 126 bytes", frame(0x89, Array(126).fill(0)), [[
    "failed",
    1002,
    "control frame too big",
  ]]],
  ["a continuation of nothing", frame(0x80), [[
    "failed",
    1002,
    "nothing to continue",
  ]]],
  ["a message within a message", [...frame(0x01), ...frame(0x81)], [[
    "failed",
    1002,
    "message within a message",
  ]]],
];

for (const [name, data, seen] of CASES) {
  Deno.test(`FrameReader reads ${name}`, () => {
    assert.deepEqual(read(data), seen);
    assert.deepEqual(read(data, 1), seen, "byte by byte");
  });
}

Deno.test("FrameReader takes messages up to its limit, by what their heads say", () => {
  assert.deepEqual(read(frame(0x82, [1, 2, 3]), 9, 3), [["binary", [1, 2, 3]]]);
  const tooBig: Seen = [["failed", 1009, "message too big"]];
  assert.deepEqual(read([0x82, 4], 9, 3), tooBig);
  assert.deepEqual(
    read([...frame(0x02, [1, 2]), ...frame(0x80, [3, 4])], 9, 3),
    tooBig,
  );
  // The largest length there is: 2^63 - 1.
  assert.deepEqual(
    read([0x82, 127, 0x7f, 255, 255, 255, 255, 255, 255, 255]),
    tooBig,
  );
});

Deno.test("FrameReader.pause() holds back even what came in the same piece", () => {
  const seen: Seen = [];
  const sink = collecting(seen);
  const reader = new FrameReader({
    ...sink,
    message(data) {
      sink.message(data);
      reader.pause();
    },
  }, 100);
  reader.push(
    new Uint8Array([...frame(0x81, bytes("a")), ...frame(0x81, bytes("b"))]),
  );
  reader.push(new Uint8Array(frame(0x81, bytes("c"))));
  assert.deepEqual(seen, [["text", "a"]]);
  reader.resume();
  assert.deepEqual(seen, [["text", "a"], ["text", "b"]]);
  reader.resume();
  assert.deepEqual(seen, [["text", "a"], ["text", "b"], ["text", "c"]]);
});

Deno.test("FrameReader.held counts waiting bytes and incomplete messages", () => {
  const reader = new FrameReader(collecting([]), 1_000);
  reader.push(new Uint8Array(frame(0x02, [1, 2])));
  assert.equal(reader.held, 2);
  reader.pause();
  reader.push(new Uint8Array(frame(0x81, [])));
  assert.equal(reader.held, 4);
  reader.stop();
  assert.equal(reader.held, 0);
  assert.equal(reader.waits, false);
});

Deno.test("FrameReader takes no more memory for a message than its frames have said", () => {
  const reader = new FrameReader(collecting([]), 2 ** 24);
  reader.push(new Uint8Array([0x82, 127, 0, 0, 0, 0, 0, 0x10, 0, 0]));
  assert.equal(reader.held, 0);
  for (let i = 0; i < 1_000; i++) reader.push(new Uint8Array(1_000));
  assert.ok(reader.held <= 2 ** 20, String(reader.held));
});

Deno.test("FrameReader pauses after 1,000 frames of any kind", () => {
  for (const first of [0x00, 0x81, 0x89, 0x8a]) {
    const seen: Seen = [];
    const reader = new FrameReader(collecting(seen), 1_000);
    const turns = () => seen.filter(([what]) => what === "yielded").length;
    if (first === 0) reader.push(new Uint8Array(frame(0x02)));
    const many = new Uint8Array(Array(2_500).fill(frame(first)).flat());
    reader.push(many);
    assert.deepEqual([reader.paused, turns()], [true, 1], `${first}`);
    reader.resume();
    assert.deepEqual([reader.paused, turns()], [true, 2], `${first}`);
    reader.resume();
    assert.deepEqual([reader.paused, turns()], [false, 2], `${first}`);
    assert.equal(reader.waits, false);
    // What comes later begins a turn of its own.
    reader.push(many.subarray(0, 1_800));
    assert.equal(reader.paused, false);
  }
});

Deno.test("FrameReader takes linear time, whatever frames there are", () => {
  const shapes: [string, number[]][] = [
    ["empty fragments", [0x00, 0]],
    ["fragments of a byte", [0x00, 1, 120]],
    ["empty messages", [0x82, 0]],
    ["pings", [0x89, 0]],
    ["pings between fragments", [0x89, 1, 120, 0x00, 1, 120]],
    ["pongs", [0x8a, 0]],
    ["payload", [120]],
  ];
  for (const [what, frames] of shapes) {
    for (const size of [1, 7, Infinity]) {
      growsLinearly(`${what}, ${size} at a time`, 16_000, (n) => {
        const begin = what === "payload"
          ? [0x82, 127, 0, 0, 0, 0, 0, 0x0f, 0, 0]
          : what.includes("fragment")
          ? [0x01, 0]
          : [];
        const all = new Uint8Array(begin.length + n);
        all.set(begin);
        for (let at = begin.length; at < all.length; at++) {
          all[at] = frames[(at - begin.length) % frames.length]!;
        }
        return () => {
          // Keeping 60,000 results takes the garbage collector's time.
          const reader = new FrameReader(ignoring, 2 ** 24);
          for (let at = 0; at < all.length; at += size) {
            reader.push(all.subarray(at, at + size));
            while (reader.paused) reader.resume();
          }
        };
      });
    }
  }
});

/** What a server reads of a client's frame. */
function unmasked(data: Uint8Array): { head: number[]; payload: Uint8Array } {
  const short = data[1]! & 0x7f;
  const size = short < 126 ? 2 : short === 126 ? 4 : 10;
  const mask = data.subarray(size, size + 4);
  const payload = data.slice(size + 4).map((byte, i) => byte ^ mask[i % 4]!);
  return { head: [...data.subarray(0, size)], payload };
}

Deno.test("frameOf() masks payloads of every length form", () => {
  for (
    const [length, head] of [
      [0, [0x82, 0x80]],
      [1, [0x82, 0x81]],
      [2, [0x82, 0x82]],
      [3, [0x82, 0x83]],
      [125, [0x82, 0xfd]],
      [126, [0x82, 0xfe, 0, 126]],
      [65_535, [0x82, 0xfe, 255, 255]],
      [65_536, [0x82, 0xff, 0, 0, 0, 0, 0, 1, 0, 0]],
      [70_001, [0x82, 0xff, 0, 0, 0, 0, 0, 1, 0x11, 0x71]],
    ] as const
  ) {
    const payload = new Uint8Array(length).map((_, i) => i);
    const read = unmasked(frameOf(OPCODE.binary, payload));
    assert.deepEqual(read.head, head, String(length));
    assert.deepEqual(read.payload, payload, String(length));
  }
});

Deno.test("frameOf() never sends a payload unmasked, and repeats no mask", () => {
  const payload = new Uint8Array(16);
  const frames = Array.from(
    { length: 3_000 },
    () => frameOf(OPCODE.binary, payload).subarray(6).toString(),
  );
  assert.equal(new Set(frames).size > 2_990, true);
});

Deno.test("closeFrame() cuts a reason at a whole character", () => {
  const { payload } = unmasked(closeFrame(1000, "ä".repeat(100)));
  assert.equal(payload.length, 2 + 122);
  assert.equal(new TextDecoder().decode(payload.subarray(2)), "ä".repeat(61));
  assert.deepEqual(unmasked(closeFrame(undefined)).payload.length, 0);
});

import assert from "node:assert/strict";
import { growsLinearly } from "../testing/growth.ts";
import { cutAtRandom, seeded } from "../testing/random.ts";
import { BodyReader } from "./body.ts";
import { bytesOf, type Chunk, Ended, latin1, Malformed } from "./bytes.ts";
import type { Framing } from "./framing.ts";

/** What a body comes to. */
interface Outcome {
  text: string;
  over: boolean;
  excess: number;
  pieces: number;
}

function read(framing: Framing, pieces: readonly Chunk[]): Outcome {
  const reader = new BodyReader(framing);
  let text = "";
  let count = 0;
  for (const piece of pieces) {
    const part = latin1(reader.push(piece));
    if (part !== "") count++;
    text += part;
  }
  return { text, over: reader.over, excess: reader.excess, pieces: count };
}

const chunked = (text: string) => read("chunked", [bytesOf(text)]);
const singly = (text: string) =>
  Array.from(text, (character) => bytesOf(character));

Deno.test("BodyReader reads a body of a declared length, and no more", () => {
  for (
    const pieces of [[bytesOf("hello and more")], singly("hello and more")]
  ) {
    const { text, over, excess } = read(5, pieces);
    assert.deepEqual([text, over, excess], ["hello", true, 9]);
  }
  assert.equal(read(5, [bytesOf("hell")]).over, false);
  assert.equal(read(5, [bytesOf("hello")]).over, true);
  assert.deepEqual(read(0, []), { text: "", over: true, excess: 0, pieces: 0 });
  assert.equal(read(0, [bytesOf("x")]).excess, 1);
});

Deno.test("BodyReader knows the end of a body that only the close ends", () => {
  const reader = new BodyReader("close");
  assert.equal(latin1(reader.push(bytesOf("hello"))), "hello");
  assert.equal(reader.over, false);
  reader.end();
  assert.equal(reader.over, true);
});

Deno.test("BodyReader.end() says that a body was cut", () => {
  for (
    const [framing, text] of [
      [5, "hell"],
      ["chunked", ""],
      ["chunked", "5\r\nhello\r\n"],
      ["chunked", "5\r\nhello\r\n0\r\n"],
      ["chunked", "5\r\nhello\r\n0\r\nA: b\r\n"],
      ["chunked", "5\r\nhell"],
    ] as const
  ) {
    const reader = new BodyReader(framing);
    reader.push(bytesOf(text));
    assert.equal(reader.over, false, text);
    assert.throws(() => reader.end(), Ended, text);
  }
  const whole = new BodyReader("chunked");
  whole.push(bytesOf("0\r\n\r\n"));
  whole.end();
});

Deno.test("BodyReader reads chunks, and drops what is around them", () => {
  for (
    const [text, expected] of [
      ["0\r\n\r\n", ""],
      ["5\r\nhello\r\n0\r\n\r\n", "hello"],
      ["2\r\nhe\r\n03\r\nllo\r\n00\r\n\r\n", "hello"],
      [
        "A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
        "0123456789".repeat(2),
      ],
      ["5;x=y\r\nhello\r\n0;z\r\n\r\n", "hello"],
      ['5 ; x="y;z"\t\r\nhello\r\n0\r\n\r\n', "hello"],
      ["5   \r\nhello\r\n0\r\n\r\n", "hello"],
      ["5\r\nhello\r\n0\r\nA: b\r\nB:\r\n\r\n", "hello"],
      ["4\r\n\r\n\r\n\r\n0\r\n\r\n", "\r\n\r\n"],
    ] as const
  ) {
    for (const pieces of [[bytesOf(text + "more")], singly(text + "more")]) {
      const outcome = read("chunked", pieces);
      assert.deepEqual(
        [outcome.text, outcome.over, outcome.excess],
        [expected, true, 4],
        text,
      );
    }
  }
});

Deno.test("BodyReader joins the chunks of one input", () => {
  const text = "1\r\nx\r\n".repeat(1_000) + "5\r\nhello\r\n";
  assert.equal(chunked(text).pieces, 1);
  assert.equal(chunked(text).text, "x".repeat(1_000) + "hello");
  // And where it lies, without a copy.
  const bytes = bytesOf("5\r\nhello\r\n0\r\n\r\n");
  const part = new BodyReader("chunked").push(bytes);
  assert.equal(part.buffer, bytes.buffer);
});

Deno.test("BodyReader refuses a malformed chunk", () => {
  for (
    const text of [
      "\r\n",
      "x\r\n",
      "-5\r\nhello\r\n",
      "+5\r\nhello\r\n",
      "0x5\r\nhello\r\n",
      " 5\r\nhello\r\n",
      "5\nhello\r\n",
      "5\r\nhello\n",
      "5\r\nhellox\r\n",
      "5\r\nhello0\r\n\r\n",
      "5\rhello",
      "5 x\r\nhello\r\n",
      "5 5\r\nhello\r\n",
      "5;a\nb\r\nhello\r\n",
      "5;a\0\r\nhello\r\n",
      "5;a\r\r\nhello\r\n",
      "20000000000001\r\n",
      "00000000000000005\r\nhello\r\n",
      "fffffffffffffffff\r\n",
      "0\r\n\n",
      "0\r\n\r\r",
      "0\r\n A: b\r\n\r\n",
      "0\r\nA b\r\n\r\n",
      "0\r\nA : b\r\n\r\n",
      "0\r\nA\r\n\r\n",
      "0\r\n: b\r\n\r\n",
      "0\r\nA: b\nB: c\r\n\r\n",
      "0\r\nA: b\0\r\n\r\n",
    ]
  ) {
    for (const pieces of [[bytesOf(text)], singly(text)]) {
      assert.throws(
        () => read("chunked", pieces),
        Malformed,
        JSON.stringify(text),
      );
    }
  }
});

Deno.test("BodyReader bounds extensions and trailers, in size and count", () => {
  const last = "0\r\n\r\n";
  const extended = (size: number) => `1;${"x".repeat(size)}\r\nx\r\n`;
  assert.equal(chunked(extended(4_000) + last).over, true);
  assert.throws(() => chunked(extended(5_000)), Malformed);
  // Small ones may be many, if the body is as much.
  assert.equal(chunked(extended(12).repeat(10_000) + last).over, true);
  assert.throws(() => chunked(extended(100).repeat(10_000)), Malformed);
  assert.throws(() => chunked(`1${" ".repeat(20_000)}`), Malformed);
  const trailers = (count: number, size = 1) =>
    `0\r\n${`a: ${"x".repeat(size)}\r\n`.repeat(count)}\r\n`;
  assert.equal(chunked(trailers(100)).over, true);
  assert.throws(() => chunked(trailers(101)), Malformed);
  assert.throws(() => chunked(trailers(2, 10_000)), Malformed);
});

Deno.test("BodyReader reads the same in whatever pieces a body comes", () => {
  const random = seeded(16);
  const pick = (texts: readonly string[]) =>
    texts[Math.floor(random() * texts.length)]!;
  const outcome = (pieces: readonly Chunk[]) => {
    try {
      const { text, over, excess } = read("chunked", pieces);
      return JSON.stringify([text, over, excess]);
    } catch (error) {
      assert.ok(error instanceof Malformed, String(error));
      return "malformed";
    }
  };
  let refused = 0;
  for (let i = 0; i < 3_000; i++) {
    let text = "";
    while (random() < 0.9) {
      const size = Math.floor(random() * random() * 100);
      // A size of 0 ends it in the middle.
      text += size.toString(16) + pick(["", "", "", ";a", " ", ";a=b;c", "x"]) +
        pick(["\r\n", "\r\n", "\r\n", "\r\n", "\n"]) + "y".repeat(size) +
        "\r\n";
    }
    text += pick(["0\r\n\r\n", "0\r\nA: b\r\n\r\n", "0", "0\r\nA\r\n\r\n", ""]);
    const whole = outcome([bytesOf(text)]);
    if (whole === "malformed") refused++;
    for (let cut = 0; cut < 3; cut++) {
      const pieces = cutAtRandom(bytesOf(text), random);
      assert.equal(outcome(pieces), whole, JSON.stringify(text));
    }
  }
  assert.ok(refused > 300 && refused < 2_700, `${refused} of 3000 refused`);
});

Deno.test("BodyReader takes linear time, also for chunks and pieces of one byte", () => {
  // All that was buffered was made into text for each line, so that a page in
  // small chunks kept the whole process busy for seconds.
  const shapes: [string, (size: number) => string][] = [
    ["chunks of a byte", (n) => "1\r\nx\r\n".repeat(n / 6)],
    ["one chunk", (n) => `${n.toString(16)}\r\n${"x".repeat(n)}`],
    ["extensions", (n) => "1;aaaaaaaa\r\nx\r\n".repeat(n / 16)],
    ["trailers", (n) => `0\r\n${"a: b\r\n".repeat(n / 6)}`],
    ["zeros", (n) => "0".repeat(n)],
  ];
  for (const [what, make] of shapes) {
    for (const size of [1, 7, Infinity]) {
      growsLinearly(`${what}, ${size} at a time`, 8_000, (n) => {
        const bytes = bytesOf(make(n));
        return () => {
          const reader = new BodyReader("chunked");
          try {
            for (let at = 0; at < bytes.length; at += size) {
              reader.push(bytes.subarray(at, at + size));
            }
          } catch (error) {
            assert.ok(error instanceof Malformed);
          }
        };
      });
    }
  }
});

import assert from "node:assert/strict";
import { framesOf } from "./reference_frames.ts";

const CASES: [
  name: string,
  bytes: number[],
  messages: string[],
  end: string,
][] = [
  ["nothing", [], [], "open"],
  ["a text", [0x81, 1, 0x61], ["text a"], "open"],
  ["half a text", [0x81, 2, 0x61], [], "cut"],
  ["fragments", [0x01, 1, 0x61, 0x89, 0, 0x80, 1, 0x62], ["text ab"], "open"],
  ["a fragment alone", [0x01, 1, 0x61], [], "cut"],
  ["nothing to go on", [0x80, 0], [], "invalid"],
  ["a message in a message", [0x01, 0, 0x81, 0], [], "invalid"],
  ["a reserved bit", [0xc1, 0], [], "invalid"],
  ["an opcode", [0x83, 0], [], "invalid"],
  ["a ping in pieces", [0x09, 0], [], "invalid"],
  ["a large ping", [0x89, 126, 0, 126], [], "invalid"],
  ["a mask", [0x81, 0x80, 0, 0, 0, 0], [], "invalid"],
  ["what is no UTF-8", [0x81, 1, 0xff], [], "invalid"],
  ["a surrogate", [0x81, 3, 0xed, 0xa0, 0x80], [], "invalid"],
  ["a close", [0x88, 2, 3, 232], [], "closed"],
  ["a close and more", [0x88, 0, 0x81, 1, 0x61], [], "closed"],
  ["half a code", [0x88, 1, 3], [], "invalid"],
  ["the code 1005", [0x88, 2, 3, 237], [], "invalid"],
  ["a reason that is no UTF-8", [0x88, 3, 3, 232, 0xff], [], "invalid"],
];

for (const [name, bytes, messages, end] of CASES) {
  Deno.test(`framesOf() reads ${name}`, () => {
    const read = framesOf(new Uint8Array(bytes), false);
    assert.deepEqual(read.messages, messages);
    assert.equal(read.end, end, read.why);
  });
}

Deno.test("framesOf() wants a client's frames masked, and unmasks them", () => {
  const masked = [0x81, 0x81, 1, 2, 3, 4, 0x61 ^ 1];
  assert.deepEqual(framesOf(new Uint8Array(masked), true).messages, ["text a"]);
  const bare = framesOf(new Uint8Array([0x81, 1, 0x61]), true);
  assert.equal(bare.end, "invalid");
});

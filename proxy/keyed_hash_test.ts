import assert from "node:assert/strict"; // built in to both runtimes
import { KeyedHash } from "./keyed_hash.ts";

/** The bytes of the hash of so many bytes 00 01 02 …, as the paper gives them. */
function hashOf(words: number): string {
  const hash = new KeyedHash([0x03020100, 0x07060504]);
  hash.begin();
  for (let i = 0; i < words; i++) hash.word(0x03020100 + i * 0x04040404);
  hash.end();
  const bytes = new DataView(new ArrayBuffer(8));
  bytes.setUint32(0, hash.low, true);
  bytes.setUint32(4, hash.high, true);
  return [...new Uint8Array(bytes.buffer)]
    .map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

Deno.test("KeyedHash is HalfSipHash-2-4", () => {
  // Of the authors' reference program, for messages of 0, 4 and 8 bytes.
  assert.equal(hashOf(0), "218d1f59b9b83cc8");
  assert.equal(hashOf(1), "d5e78a175be52ea1");
  assert.equal(hashOf(2), "edfee820bce4858c");
});

Deno.test("KeyedHash tells texts and keys apart", () => {
  const seen = new Set<string>();
  const texts = ["", "\0", "\0\0", "a", "ab", "ba", "abc", "\u0100", "𝒳"];
  for (const key of [[1, 2], [1, 3], [2, 2]]) {
    const hash = new KeyedHash(key);
    for (const text of texts) {
      hash.begin();
      hash.text(text);
      hash.end();
      seen.add(`${hash.low} ${hash.high}`);
    }
  }
  assert.equal(seen.size, 3 * texts.length);
});

Deno.test("KeyedHash spreads similar keys evenly over the sets", () => {
  const hash = new KeyedHash([5, 6]);
  const counts = new Uint32Array(256);
  for (let i = 0; i < 256 * 200; i++) {
    hash.begin();
    hash.word(0x0a000000 + i);
    hash.end();
    counts[hash.low >>> 24]!++;
  }
  // 200 ± 5 standard deviations.
  for (const count of counts) assert.ok(Math.abs(count - 200) < 71);
});

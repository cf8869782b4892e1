import assert from "node:assert/strict";
import { declaredLength } from "./framing.ts";

Deno.test("declaredLength() is the length, or NaN without one", () => {
  assert.equal(declaredLength(null, "5"), 5);
  assert.equal(declaredLength(null, "0"), 0);
  assert.equal(declaredLength(null, null), NaN);
  // Several lines that agree, which `fetch` has gone by.
  assert.equal(declaredLength(null, "5, 5"), NaN);
});

// A length shorter than its chunks cut an answer on Deno, which looked whole.
Deno.test("declaredLength() ignores a length next to chunked", () => {
  for (const length of [null, "0", "3", "300000"]) {
    assert.equal(declaredLength("chunked", length), NaN);
    assert.equal(declaredLength("Chunked", length), NaN);
  }
});

Deno.test("declaredLength() gives nothing for a coding other than chunked alone", () => {
  const codings = [
    ...["", "gzip", "identity", "xchunked", "gzip, chunked", "chunked, gzip"],
    ...["chunked, chunked", "chunked,", "chunked;q=1", '"chunked"', "chunke"],
  ];
  for (const coding of codings) {
    assert.equal(declaredLength(coding, null), undefined, coding);
    assert.equal(declaredLength(coding, "5"), undefined, coding);
  }
});

// An answer to HEAD with "3, 5" went out with a length of 0.
Deno.test("declaredLength() gives nothing for what is no length", () => {
  const values = [
    ...["", " ", "-1", "+3", "0x10", "1e3", "3.0", "Infinity", "NaN", "3 5"],
    ...["3, 5", "3,", ",3", "3;3", "٣", "9".repeat(30)],
  ];
  for (const value of values) {
    assert.equal(declaredLength(null, value), undefined, value);
  }
  for (const value of ["003", "3, 3 ,3"]) {
    assert.equal(declaredLength(null, value), NaN, value);
  }
});

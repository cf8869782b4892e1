import assert from "node:assert/strict";
import { growsLinearly } from "../testing/growth.ts";
import { Malformed } from "./bytes.ts";
import { framingOf } from "./framing.ts";
import type { FieldLines } from "./head.ts";

/** The framing, and what is left of the fields. */
function framed(
  fields: FieldLines,
  { status = 200, method = "GET", minor = 1 } = {},
): [unknown, FieldLines] {
  const head = { status, minor, fields };
  const framing = framingOf(head, method);
  return [framing, head.fields];
}

Deno.test("framingOf() goes by RFC 9112 §6.3, and puts the fields right", () => {
  const a: [string, string] = ["a", "b"];
  for (
    const [fields, framing, left] of [
      [[a], "close", [a]],
      [[["content-length", "5"]], 5, [["content-length", "5"]]],
      [[["content-length", "0"]], 0, [["content-length", "0"]]],
      [[["content-length", "5"], a, ["content-length", "5"]], 5, [a, [
        "content-length",
        "5",
      ]]],
      [[["content-length", "5, 5,\t5"]], 5, [["content-length", "5"]]],
      [[["content-length", "005"]], 5, [["content-length", "5"]]],
      [[["transfer-encoding", "Chunked"]], "chunked", [[
        "transfer-encoding",
        "Chunked",
      ]]],
      // A length beside chunks was believed, and cut a body that looked whole.
      [[["transfer-encoding", "chunked"], ["content-length", "3"]], "chunked", [
        ["transfer-encoding", "chunked"],
      ]],
    ] as [FieldLines, unknown, FieldLines][]
  ) assert.deepEqual(framed(fields), [framing, left], JSON.stringify(fields));
});

Deno.test("framingOf() knows the answers that have no body", () => {
  const length: FieldLines = [["content-length", "5"]];
  const chunked: FieldLines = [["transfer-encoding", "chunked"]];
  assert.deepEqual(framed(length, { method: "HEAD" }), [0, length]);
  assert.deepEqual(framed(chunked, { method: "HEAD" }), [0, chunked]);
  assert.deepEqual(framed([], { method: "HEAD" }), [0, []]);
  assert.deepEqual(framed(length, { status: 304 }), [0, length]);
  assert.deepEqual(framed([], { status: 304 }), [0, []]);
  for (const status of [101, 103, 204]) {
    assert.deepEqual(framed(length, { status }), [0, []], String(status));
    assert.deepEqual(framed(chunked, { status })[0], 0, String(status));
  }
  assert.deepEqual(framed(length, { status: 205 })[0], 5);
});

Deno.test("framingOf() refuses fields that could be taken in two ways", () => {
  for (
    const [fields, minor] of [
      [[["content-length", "5"], ["content-length", "6"]], 1],
      [[["content-length", "5, 6"]], 1],
      [[["content-length", "5,"]], 1],
      [[["content-length", ",5"]], 1],
      [[["content-length", ""]], 1],
      [[["content-length", "+5"]], 1],
      [[["content-length", "-5"]], 1],
      [[["content-length", "5.0"]], 1],
      [[["content-length", "0x5"]], 1],
      [[["content-length", "5 5"]], 1],
      [[["content-length", "5\xa0"]], 1],
      [[["content-length", "1e3"]], 1],
      [[["content-length", "1234567890123456"]], 1],
      [[["content-length", "x"], ["transfer-encoding", "chunked"]], 1],
      [[["transfer-encoding", "gzip, chunked"]], 1],
      [[["transfer-encoding", "chunked, chunked"]], 1],
      [[["transfer-encoding", "chunked"], ["transfer-encoding", "x"]], 1],
      [[["transfer-encoding", "identity"]], 1],
      [[["transfer-encoding", ""]], 1],
      [[["transfer-encoding", "chunked;a=b"]], 1],
      [[["transfer-encoding", "xchunked"]], 1],
      [[["transfer-encoding", "chunked"]], 0],
    ] as [FieldLines, number][]
  ) {
    assert.throws(
      () => framed(fields, { minor }),
      Malformed,
      JSON.stringify(fields),
    );
  }
});

Deno.test("framingOf() takes linear time", () => {
  const shapes: [string, (n: number) => FieldLines][] = [
    ["spaces", (n) => [["content-length", `1,1${" ".repeat(n)}x`]]],
    ["commas", (n) => [["content-length", `1${",1".repeat(n / 2)}`]]],
    ["digits", (n) => [["content-length", "1".repeat(n)]]],
    ["codings", (n) => [["transfer-encoding", "chunked,".repeat(n / 8)]]],
  ];
  for (const [what, make] of shapes) {
    growsLinearly(what, 8_000, (n) => {
      const fields = make(n);
      return () => {
        try {
          framed(fields);
        } catch (error) {
          assert.ok(error instanceof Malformed);
        }
      };
    });
  }
});

import assert from "node:assert/strict";
import type { FieldLines } from "./head.ts";
import { latin1 } from "./bytes.ts";
import {
  type RequestFraming,
  type RequestHead,
  roomFor,
  writeHead,
} from "./request.ts";

function headText(
  head: RequestHead,
  framing: RequestFraming,
  closes: boolean,
): string {
  const room = new Uint8Array(roomFor(head));
  const size = writeHead(room, head, framing, closes);
  assert.ok(size <= room.length, "the room is large enough");
  return latin1(room.subarray(0, size));
}

function textOf(
  fields: FieldLines,
  { method = "GET", target = "/", framing = undefined, closes = false }: {
    method?: string;
    target?: string;
    framing?: RequestFraming;
    closes?: boolean;
  } = {},
): string {
  const all: FieldLines = [...fields, ["host", "a"]];
  return headText({ method, target, fields: all }, framing, closes);
}

Deno.test("writeHead() writes the given fields and nothing else, `Host` first", () => {
  assert.equal(
    headText(
      {
        method: "PROPFIND",
        target: "/a//b?c=%27'",
        fields: [["accept", "*/*"], ["host", "a:1"], ["x-b", "é\t~"]],
      },
      undefined,
      false,
    ),
    "PROPFIND /a//b?c=%27' HTTP/1.1\r\nHost: a:1\r\nAccept: */*\r\n" +
      "X-B: é\t~\r\n\r\n",
  );
});

Deno.test("writeHead() writes names in the usual upper and lower case", () => {
  for (
    const [name, written] of [
      ["content-type", "Content-Type"],
      ["etag", "ETag"],
      ["www-authenticate", "WWW-Authenticate"],
      ["te", "TE"],
      ["x-made-up", "X-Made-Up"],
      ["x--a-", "X--A-"],
      ["-a", "-A"],
      ["a_b.c", "A_b.c"],
      ["constructor", "Constructor"],
      ["__proto__", "__proto__"],
    ] as const
  ) {
    assert.ok(textOf([[name, "1"]]).includes(`\r\n${written}: 1\r\n`), name);
  }
});

Deno.test("writeHead() leaves several lines of one name as several", () => {
  assert.equal(
    textOf([["x-a", "1"], ["x-b", "2"], ["x-a", ""]]),
    "GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nX-B: 2\r\nX-A: \r\n\r\n",
  );
});

Deno.test("writeHead() sets the framing itself, whatever the fields contain", () => {
  // A hook may have put these in. A length that is not the body's would make the
  // rest of it the next request.
  const fields: FieldLines = [
    ["content-length", "5"],
    ["transfer-encoding", "chunked"],
    ["connection", "upgrade"],
    ["keep-alive", "timeout=9"],
  ];
  const begin = "POST / HTTP/1.1\r\nHost: a\r\n";
  for (
    const [framing, line] of [
      [undefined, ""],
      [0, "Content-Length: 0\r\n"],
      [12, "Content-Length: 12\r\n"],
      ["chunked", "Transfer-Encoding: chunked\r\n"],
    ] as const
  ) {
    assert.equal(
      textOf(fields, { method: "POST", framing }),
      `${begin}${line}\r\n`,
    );
  }
  assert.equal(
    textOf([], { method: "POST", closes: true }),
    `${begin}Connection: close\r\n\r\n`,
  );
});

Deno.test("writeHead() refuses what a backend would read differently", () => {
  // Values come from hooks too, as any text: none may end a line.
  for (const value of ["a\r\nX: b", "a\nb", "a\rb", "a\0b", "a\x7f", "ā"]) {
    assert.throws(() => textOf([["x-a", value]]), TypeError);
    assert.throws(
      () =>
        headText(
          { method: "GET", target: "/", fields: [["host", value]] },
          undefined,
          false,
        ),
      TypeError,
    );
  }
  for (const name of ["", "a b", "a:", "a\r\nb", "Content-Length", "é"]) {
    assert.throws(() => textOf([[name, "1"]]), TypeError);
  }
  for (
    const target of [
      "",
      "/ HTTP/1.1\r\nX: ",
      "/a b",
      "/\n",
      "/\0",
      "/\x7f",
      "/ā",
    ]
  ) {
    assert.throws(() => textOf([], { target }), TypeError);
  }
  for (const method of ["", "GET ", "G\r\nX", "É"]) {
    assert.throws(() => textOf([], { method }), TypeError);
  }
  assert.throws(() => textOf([["host", "b"]]), TypeError);
  assert.throws(
    () =>
      headText({ method: "GET", target: "/", fields: [] }, undefined, false),
    TypeError,
  );
});

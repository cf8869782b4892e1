import assert from "node:assert/strict";
import type { Chunk } from "./body.ts";
import { type Resumable, resumableOf } from "./resume.ts";

const utf8 = new TextEncoder();
const bytes = (text: string): Chunk => utf8.encode(text);
const text = (chunk: Chunk) => new TextDecoder().decode(chunk);

function answer(fields: Record<string, string>, status = 200): Response {
  return new Response("", { status, headers: fields });
}

const FILE = { etag: '"v1"', "content-length": "10" };

function download(): Resumable {
  const resumable = resumableOf("GET", new Headers(), answer(FILE));
  assert.ok(resumable !== undefined);
  return resumable;
}

const EVENTS = new Headers({ accept: "text/event-stream" });

function events(): Resumable {
  const resumable = resumableOf(
    "GET",
    EVENTS,
    answer({ "content-type": "text/event-stream; charset=utf-8" }),
  );
  assert.ok(resumable !== undefined);
  return resumable;
}

for (
  const [why, method, request, fields, status] of [
    ["a POST", "POST", {}, FILE, 200],
    ["a part that was asked for", "GET", { range: "bytes=1-" }, FILE, 200],
    ["a part as the answer", "GET", {}, FILE, 206],
    ["no ETag", "GET", {}, { "content-length": "10" }, 200],
    ["a weak ETag", "GET", {}, { ...FILE, etag: 'W/"v1"' }, 200],
    ["an ETag without quotes", "GET", {}, { ...FILE, etag: "v1" }, 200],
    ["an unknown length", "GET", {}, { etag: '"v1"' }, 200],
    [
      "a length beside chunks",
      "GET",
      {},
      { ...FILE, "transfer-encoding": "chunked" },
      200,
    ],
    [
      "events that were not asked for",
      "GET",
      { accept: "*/*" },
      { "content-type": "text/event-stream" },
      200,
    ],
    [
      "coded events",
      "GET",
      { accept: "text/event-stream" },
      { "content-type": "text/event-stream", "content-encoding": "gzip" },
      200,
    ],
  ] as const
) {
  Deno.test(`resumableOf() leaves alone ${why}`, () => {
    const resumable = resumableOf(
      method,
      new Headers(request as Record<string, string>),
      answer({ ...fields } as Record<string, string>, status),
    );
    assert.equal(resumable, undefined);
  });
}

Deno.test("a download is resumed at its first missing byte", () => {
  const resumable = download();
  assert.equal(text(resumable.take(bytes("abc"))), "abc");
  assert.deepEqual(resumable.fields(), [
    ["range", "bytes=3-"],
    ["if-range", '"v1"'],
  ]);
});

Deno.test("a download may end only at its length", () => {
  const resumable = download();
  resumable.take(bytes("012345678"));
  assert.equal(resumable.mayEnd(), false);
  resumable.take(bytes("9"));
  assert.equal(resumable.mayEnd(), true);
});

const REST = { etag: '"v1"', "content-range": "bytes 3-9/10" };

for (
  const [what, fields, status, fits] of [
    ["the rest", REST, 206, true],
    ["the whole again", FILE, 200, false],
    ["another version's rest", { ...REST, etag: '"v2"' }, 206, false],
    ["a weakly named rest", { ...REST, etag: 'W/"v1"' }, 206, false],
    ["another part", { ...REST, "content-range": "bytes 4-9/10" }, 206, false],
    [
      "a shorter part",
      { ...REST, "content-range": "bytes 3-8/10" },
      206,
      false,
    ],
    [
      "another length",
      { ...REST, "content-range": "bytes 3-9/11" },
      206,
      false,
    ],
    ["no range at all", { etag: '"v1"' }, 206, false],
    ["a coded rest", { ...REST, "content-encoding": "gzip" }, 206, false],
    ["a refusal", REST, 416, false],
  ] as const
) {
  Deno.test(`a download ${fits ? "takes" : "refuses"} ${what}`, () => {
    const resumable = download();
    resumable.take(bytes("abc"));
    const response = answer({ ...fields } as Record<string, string>, status);
    assert.equal(resumable.accepts(response), fits);
  });
}

Deno.test("an event stream passes on complete events and holds back the rest", () => {
  const resumable = events();
  assert.equal(
    text(resumable.take(bytes("id: 1\ndata: a\n\nid: 2\nda"))),
    "id: 1\ndata: a\n\n",
  );
  assert.equal(text(resumable.take(bytes("ta: b\n"))), "");
  assert.equal(text(resumable.take(bytes("\n"))), "id: 2\ndata: b\n\n");
});

for (const end of ["\n", "\r\n", "\r"]) {
  Deno.test(`an event stream finds boundaries made of ${JSON.stringify(end)}, byte by byte`, () => {
    const resumable = events();
    const source =
      `id: 7${end}data: x${end}${end}id: 8${end}data: y${end}${end}`;
    let out = "";
    for (const byte of bytes(source)) {
      out += text(resumable.take(new Uint8Array([byte])));
    }
    assert.equal(out, source);
    assert.deepEqual(resumable.fields(), [["last-event-id", "8"]]);
  });
}

Deno.test("an event stream resumes after its last complete event", () => {
  const resumable = events();
  resumable.take(bytes("id: 1\ndata: a\n\nid: 2\ndata: half"));
  assert.deepEqual(resumable.fields(), [["last-event-id", "1"]]);
  // The half that was held back comes again from the next backend.
  assert.equal(
    text(resumable.take(bytes("id: 2\ndata: half of it\n\n"))),
    "id: 2\ndata: half of it\n\n",
  );
});

for (
  const [what, stream] of [
    ["its events have no ids", "data: a\n\n"],
    ["its last event has no id", "id: 1\ndata: a\n\ndata: b\n\n"],
    ["its id was taken back", "id: 1\ndata: a\n\nid:\ndata: b\n\n"],
    ["its id is no field value", "id: a\tb\ndata: b\n\n"],
  ] as const
) {
  Deno.test(`an event stream is not resumed when ${what}`, () => {
    const resumable = events();
    resumable.take(bytes(stream));
    assert.equal(resumable.fields(), undefined);
  });
}

Deno.test("an event stream without any event is requested again", () => {
  const resumable = events();
  resumable.take(bytes("id: 1\nda"));
  assert.deepEqual(resumable.fields(), []);
});

Deno.test("an event stream can be resumed after comments", () => {
  const resumable = events();
  resumable.take(bytes("id: 1\ndata: a\n\n: still here\n\nretry: 100\n\n"));
  assert.deepEqual(resumable.fields(), [["last-event-id", "1"]]);
});

Deno.test("an event stream keeps the bytes of an id", () => {
  const resumable = events();
  resumable.take(bytes("id: é\ndata: a\n\n"));
  assert.deepEqual(resumable.fields(), [["last-event-id", "\u00c3\u00a9"]]);
});

Deno.test("an event that is too long is passed on, and not resumed", () => {
  const resumable = events();
  resumable.take(bytes("id: 1\ndata: a\n\n"));
  const long = bytes(`data: ${"x".repeat(1024 * 1024)}`);
  assert.equal(resumable.take(long).byteLength, long.byteLength);
  assert.equal(resumable.fields(), undefined);
});

Deno.test("an event stream that ends passes on what it held back", () => {
  const resumable = events();
  resumable.take(bytes("id: 1\ndata: a"));
  assert.equal(resumable.mayEnd(), true);
  assert.equal(text(resumable.rest()), "id: 1\ndata: a");
});

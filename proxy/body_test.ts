import assert from "node:assert/strict";
import { FakeClock, settle } from "../testing/clock.ts";
import {
  type Chunk,
  CutShort,
  followed,
  gather,
  reading,
  readingInto,
  Remembering,
} from "./body.ts";

function bytes(text: string): Chunk {
  return new TextEncoder().encode(text);
}

function text(...chunks: Chunk[]): string {
  return chunks.map((chunk) => new TextDecoder().decode(chunk)).join("");
}

/** A stream that gives what it is told, when it is told. */
class Source {
  readonly stream: ReadableStream<Chunk>;
  pulls = 0;
  cancelled: unknown;
  #controller!: ReadableStreamDefaultController<Chunk>;

  constructor() {
    this.stream = new ReadableStream<Chunk>({
      start: (controller) => void (this.#controller = controller),
      pull: () => void this.pulls++,
      cancel: (why) => void (this.cancelled = why ?? "cancelled"),
    }, { highWaterMark: 0 });
  }

  give(...pieces: string[]): this {
    for (const piece of pieces) this.#controller.enqueue(bytes(piece));
    return this;
  }

  close(): this {
    this.#controller.close();
    return this;
  }

  fail(error: Error): this {
    this.#controller.error(error);
    return this;
  }
}

async function all(read: () => Promise<Chunk | undefined>): Promise<string[]> {
  const pieces: string[] = [];
  for (let piece; (piece = await read()) !== undefined;) {
    pieces.push(text(piece));
  }
  return pieces;
}

// ── gather() ────────────────────────────────────────────────────────────────

Deno.test("gather() gives a body whole that is here in one piece", async () => {
  const clock = new FakeClock();
  const source = new Source().give("hello").close();
  const gathered = await gather(reading(source.stream), 5, {
    clock,
    waitMs: 10,
  });
  assert.equal(gathered.kind, "whole");
  assert.equal(text((gathered as { bytes: Chunk }).bytes), "hello");
  assert.equal(clock.pending, 0);
});

Deno.test("gather() gives an empty body whole", async () => {
  const clock = new FakeClock();
  const gathered = await gather(reading(new Source().close().stream), 0, {
    clock,
    waitMs: 10,
  });
  assert.equal(gathered.kind, "whole");
});

Deno.test("gather() passes on what comes in pieces, from its beginning", async () => {
  const clock = new FakeClock();
  const source = new Source().give("he", "llo").close();
  const gathered = await gather(reading(source.stream), 5, {
    clock,
    waitMs: 10,
  });
  assert.ok(gathered.kind === "rest");
  assert.deepEqual(await all(gathered.read), ["he", "llo"]);
});

Deno.test("gather() does not wait for what comes late, and loses none of it", async () => {
  const clock = new FakeClock();
  const source = new Source();
  const gathering = gather(reading(source.stream), 5, { clock, waitMs: 10 });
  await clock.advance(9);
  await clock.advance(1);
  const gathered = await gathering;
  assert.ok(gathered.kind === "rest");
  source.give("hello").close();
  assert.deepEqual(await all(gathered.read), ["hello"]);
  assert.equal(clock.pending, 0);
});

Deno.test("gather() refuses a body that ends before its length", async () => {
  const clock = new FakeClock();
  await assert.rejects(
    gather(reading(new Source().close().stream), 5, { clock, waitMs: 10 }),
    CutShort,
  );
  const broken = new Source().fail(new Error("reset"));
  await assert.rejects(
    gather(reading(broken.stream), 5, { clock, waitMs: 10 }),
    /reset/,
  );
  assert.equal(clock.pending, 0);
});

Deno.test("gather() leaves no rejection behind when a late body breaks", async () => {
  const clock = new FakeClock();
  const source = new Source();
  const gathering = gather(reading(source.stream), 5, { clock, waitMs: 10 });
  await clock.advance(10);
  const gathered = await gathering;
  assert.ok(gathered.kind === "rest");
  source.fail(new Error("reset"));
  await settle();
  // Nobody has read on yet; who does hears of it.
  await assert.rejects(gathered.read(), /reset/);
});

// ── followed() ──────────────────────────────────────────────────────────────

class Notes {
  bytes = 0;
  readonly ends: string[] = [];

  progress(bytes: number): void {
    this.bytes += bytes;
  }

  ended(how: string): void {
    this.ends.push(how);
  }
}

function follow(
  source: Source,
): { stream: ReadableStream<Chunk>; notes: Notes } {
  const notes = new Notes();
  const { read, cancel } = reading(source.stream);
  return { stream: followed(read, cancel, notes), notes };
}

Deno.test("followed() hands on every piece and says that it was whole", async () => {
  const source = new Source().give("a", "bc").close();
  const { stream, notes } = follow(source);
  assert.equal(await new Response(stream).text(), "abc");
  assert.equal(notes.bytes, 3);
  assert.deepEqual(notes.ends, ["whole"]);
});

Deno.test("followed() breaks when its source does, and never looks whole", async () => {
  const source = new Source().give("a");
  const { stream, notes } = follow(source);
  const reader = stream.getReader();
  await reader.read();
  source.fail(new Error("reset"));
  await assert.rejects(reader.read(), /reset/);
  assert.deepEqual(notes.ends, ["broken"]);
});

Deno.test("followed() cancels its source when its reader leaves", async () => {
  const source = new Source().give("a");
  const { stream, notes } = follow(source);
  const reader = stream.getReader();
  await reader.read();
  const pending = reader.read();
  await reader.cancel("gone");
  await pending;
  assert.equal(source.cancelled, "gone");
  assert.deepEqual(notes.ends, ["left"]);
});

Deno.test("followed() asks for nothing that nobody has room for", async () => {
  const source = new Source().give("a", "b", "c");
  const { stream } = follow(source);
  await settle();
  assert.equal(source.pulls, 0);
  const reader = stream.getReader();
  await reader.read();
  await settle();
  assert.ok(source.pulls <= 1, String(source.pulls));
  await reader.cancel();
});

// ── readingInto() ───────────────────────────────────────────────────────────

/** A stream of `total` bytes that puts at most `most` into a buffer it is given. */
function byteStream(
  total: number,
  most: () => number = () => Infinity,
): { stream: ReadableStream<Chunk>; rooms: number[]; left: () => unknown } {
  const rooms: number[] = [];
  let why: unknown;
  const source: UnderlyingByteSource = {
    type: "bytes",
    pull(controller) {
      const { byobRequest } = controller;
      assert.ok(byobRequest?.view);
      const { buffer, byteOffset, byteLength } = byobRequest.view;
      rooms.push(byteLength);
      const size = Math.min(total, most(), byteLength);
      total -= size;
      if (size === 0) controller.close();
      new Uint8Array(buffer, byteOffset, size).fill(7);
      byobRequest.respond(size);
    },
    cancel: (reason) => void (why = reason),
  };
  return {
    stream: new ReadableStream(source) as ReadableStream<Chunk>,
    rooms,
    left: () => why,
  };
}

const KB = 1024;

Deno.test("readingInto() takes larger buffers while they come back full", async () => {
  const { stream, rooms } = byteStream(1024 * KB);
  const { read } = readingInto(stream, 1024 * KB, 0);
  let bytes = 0;
  for (let piece; (piece = await read()) !== undefined;) {
    assert.equal(piece.every((byte) => byte === 7), true);
    bytes += piece.byteLength;
  }
  assert.equal(bytes, 1024 * KB);
  assert.deepEqual(
    rooms.map((room) => room / KB),
    [64, 128, 256, 256, 256, 64, 1 / KB],
  );
});

Deno.test("readingInto() asks for what is left, or for the least that it may", async () => {
  for (const [least, room] of [[0, 10], [64 * KB, 64 * KB]] as const) {
    const { stream, rooms } = byteStream(10);
    const { read } = readingInto(stream, 10, least);
    assert.equal((await read())?.byteLength, 10);
    assert.equal(await read(), undefined);
    assert.deepEqual(rooms, [room, 1]);
  }
});

Deno.test("readingInto() takes smaller buffers again for small pieces", async () => {
  let reads = 0;
  const { stream, rooms } = byteStream(
    1024 * KB,
    () => ++reads <= 3 ? Infinity : 10,
  );
  const { read } = readingInto(stream, undefined, 0);
  for (let i = 0; i < 11; i++) await read();
  assert.deepEqual(
    rooms.map((room) => room / KB),
    [64, 128, 256, 256, 128, 64, 32, 16, 8, 4, 4],
  );
});

Deno.test("readingInto() reads what is no stream of bytes as it comes", async () => {
  const source = new Source().give("one", "two").close();
  assert.deepEqual(await all(readingInto(source.stream, 6, 0).read), [
    "one",
    "two",
  ]);
});

Deno.test("readingInto() passes on how a stream broke, and that it is given up", async () => {
  const source: UnderlyingByteSource = {
    type: "bytes",
    pull: (controller) => controller.error(new Error("the client left")),
  };
  const broken = new ReadableStream(source) as ReadableStream<Chunk>;
  await assert.rejects(readingInto(broken, 6, 0).read(), /the client left/);
  const { stream, left } = byteStream(100);
  const { read, cancel } = readingInto(stream, 100, 0);
  await read();
  cancel("enough");
  assert.equal(left(), "enough");
});

// ── Remembering ─────────────────────────────────────────────────────────────

function remember(source: Source): Remembering {
  const { read, cancel } = reading(source.stream);
  return new Remembering(read, cancel);
}

Deno.test("Remembering begins anew with what an attempt has pulled", async () => {
  const upload = remember(new Source().give("one", "two", "three").close());
  const first = upload.stream().getReader();
  assert.equal(text((await first.read()).value!), "one");
  assert.equal(text((await first.read()).value!), "two");
  assert.equal(upload.whole, true);
  assert.equal(await new Response(upload.stream()).text(), "onetwothree");
});

Deno.test("Remembering gives a piece that two attempts asked for to the later one", async () => {
  const source = new Source();
  const upload = remember(source);
  const first = upload.stream().getReader();
  const lost = first.read();
  const second = new Response(upload.stream()).text();
  source.give("one", "two").close();
  assert.equal(await second, "onetwo");
  await first.cancel();
  await lost;
});

Deno.test("Remembering is no longer whole once it may forget", async () => {
  const source = new Source().give("one");
  const upload = remember(source);
  const reader = upload.stream().getReader();
  await reader.read();
  upload.forget();
  assert.equal(upload.whole, false);
  // And then a cancel is the client's to know.
  await reader.cancel("enough");
  await settle();
  assert.equal(source.cancelled, "enough");
});

Deno.test("Remembering does not cancel what another attempt may need", async () => {
  const source = new Source().give("one", "two").close();
  const upload = remember(source);
  const reader = upload.stream().getReader();
  await reader.read();
  await reader.cancel();
  assert.equal(source.cancelled, undefined);
  assert.equal(await new Response(upload.stream()).text(), "onetwo");
});

Deno.test("Remembering keeps no more than fetch pulls ahead", async () => {
  const piece = "x".repeat(200 * 1024);
  const source = new Source().give(piece, piece, piece).close();
  const upload = remember(source);
  const reader = upload.stream().getReader();
  await reader.read();
  await reader.read();
  assert.equal(upload.whole, true);
  await reader.read();
  assert.equal(upload.whole, false);
  assert.equal((await reader.read()).done, true);
});

Deno.test("Remembering says when it is the client that is waited for", async () => {
  const source = new Source();
  const upload = remember(source);
  const reader = upload.stream().getReader();
  const piece = reader.read();
  await settle();
  assert.equal(upload.waiting, true);
  source.give("one");
  await piece;
  assert.equal(upload.waiting, false);
});

Deno.test("Remembering passes on how the client's upload broke", async () => {
  const source = new Source().give("one");
  const upload = remember(source);
  const reader = upload.stream().getReader();
  await reader.read();
  source.fail(new Error("the client left"));
  await assert.rejects(reader.read(), /the client left/);
});

Deno.test("Remembering keeps small pieces without the buffers they came in", async () => {
  const buffer = new ArrayBuffer(64 * KB);
  const piece = new Uint8Array(buffer, 0, 3);
  piece.set(bytes("one"));
  let given: Chunk | undefined = piece;
  const upload = new Remembering(() => {
    const next = given;
    given = undefined;
    return Promise.resolve(next);
  }, () => {});
  const first = upload.stream().getReader();
  assert.equal((await first.read()).value?.buffer, buffer);
  const again = (await upload.stream().getReader().read()).value;
  assert.equal(text(again!), "one");
  assert.equal(again!.buffer.byteLength, 3);
});

Deno.test("Remembering counts more than the bytes of what comes byte by byte", async () => {
  const upload = new Remembering(
    () => Promise.resolve(new Uint8Array(1)),
    () => {},
  );
  const reader = upload.stream().getReader();
  // 512 KB, with 64 bytes for each piece besides its own one.
  for (let i = 0; i < 8_065; i++) await reader.read();
  assert.equal(upload.whole, true);
  await reader.read();
  await reader.read();
  assert.equal(upload.whole, false);
});

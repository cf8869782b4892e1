import assert from "node:assert/strict";
import { FakeClock, settle } from "../testing/clock.ts";
import { all, Source, text } from "../testing/source.ts";
import {
  type Chunk,
  gather,
  reading,
  readingInto,
  type Reads,
  TruncatedBody,
} from "./body.ts";

// ── gather() ────────────────────────────────────────────────────────────────

Deno.test("gather() returns a body that has arrived in one chunk", async () => {
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

Deno.test("gather() returns an empty body", async () => {
  const clock = new FakeClock();
  const gathered = await gather(reading(new Source().close().stream), 0, {
    clock,
    waitMs: 10,
  });
  assert.equal(gathered.kind, "whole");
});

Deno.test("gather() passes on several chunks, from the start", async () => {
  const clock = new FakeClock();
  const source = new Source().give("he", "llo").close();
  const gathered = await gather(reading(source.stream), 5, {
    clock,
    waitMs: 10,
  });
  assert.ok(gathered.kind === "rest");
  assert.deepEqual(await all(gathered.read), ["he", "llo"]);
});

Deno.test("gather() does not wait for a late body, and loses none of it", async () => {
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
    TruncatedBody,
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
  // Nothing has read the rest yet; the next read rejects.
  await assert.rejects(gathered.read(), /reset/);
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

function reads(least = 0): Reads {
  return { least, most: 256 * KB, spare: [] };
}

Deno.test("readingInto() takes larger buffers while they come back full", async () => {
  const { stream, rooms } = byteStream(1024 * KB);
  const { read } = readingInto(stream, 1024 * KB, reads());
  let bytes = 0;
  for (let piece; (piece = await read()) !== undefined;) {
    assert.equal(piece.every((byte) => byte === 7), true);
    bytes += piece.byteLength;
  }
  assert.equal(bytes, 1024 * KB);
  assert.deepEqual(
    rooms.map((room) => room / KB),
    [256, 256, 256, 256, 1 / KB],
  );
});

Deno.test("readingInto() requests the rest, or the minimum", async () => {
  for (const [least, room] of [[0, 10], [64 * KB, 64 * KB]] as const) {
    const { stream, rooms } = byteStream(10);
    const { read } = readingInto(stream, 10, reads(least));
    assert.equal((await read())?.byteLength, 10);
    assert.equal(await read(), undefined);
    assert.deepEqual(rooms, [room, 1]);
  }
});

Deno.test("readingInto() takes smaller buffers again for small pieces, if they follow each other", async () => {
  let pulls = 0;
  const { stream, rooms } = byteStream(
    1024 * KB,
    () => ++pulls <= 3 || pulls === 5 ? Infinity : 10,
  );
  const { read } = readingInto(stream, undefined, reads());
  for (let i = 0; i < 16; i++) await read();
  assert.deepEqual(
    rooms.map((room) => room / KB),
    [64, 128, 256, 256, 256, 256, 256, 256, 256, 128, 64, 32, 16, 8, 4, 4],
  );
});

Deno.test("readingInto() reads into returned buffers of the maximum size", async () => {
  const { stream, rooms } = byteStream(1024 * KB);
  const kept = reads(80 * KB);
  const { read, reuse } = readingInto(stream, 600 * KB, kept);
  for (let i = 0; i < 3; i++) {
    const piece = (await read())!;
    reuse!(piece);
    assert.equal(piece.buffer.byteLength, 256 * KB);
    assert.equal(kept.spare.length, 1);
  }
  assert.deepEqual(rooms.map((room) => room / KB), [148, 256, 196]);
  reuse!(new Uint8Array(10));
  assert.equal(kept.spare.length, 1, "a small one is not kept");
});

Deno.test("readingInto() reads any other stream chunk by chunk", async () => {
  const source = new Source().give("one", "two").close();
  assert.deepEqual(await all(readingInto(source.stream, 6, reads()).read), [
    "one",
    "two",
  ]);
});

Deno.test("readingInto() passes on errors and cancellation", async () => {
  const source: UnderlyingByteSource = {
    type: "bytes",
    pull: (controller) => controller.error(new Error("the client left")),
  };
  const broken = new ReadableStream(source) as ReadableStream<Chunk>;
  await assert.rejects(
    readingInto(broken, 6, reads()).read(),
    /the client left/,
  );
  const { stream, left } = byteStream(100);
  const { read, cancel } = readingInto(stream, 100, reads());
  await read();
  cancel("enough");
  assert.equal(left(), "enough");
});

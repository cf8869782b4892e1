import assert from "node:assert/strict";
import { FakeClock, settle } from "../testing/clock.ts";
import { bytes, Source, text } from "../testing/source.ts";
import { type Chunk, type Reading, reading } from "./body.ts";
import { ClientBody, StreamedUpload } from "./upload.ts";

const KB = 1024;

function clientBody(
  reading: Reading,
  { length, most = Infinity }: { length?: number; most?: number } = {},
): ClientBody {
  return new ClientBody(reading, length, new FakeClock(), most);
}

function remember(source: Source): StreamedUpload {
  return new StreamedUpload(clientBody(reading(source.stream)));
}

Deno.test("StreamedUpload starts over with what an attempt has pulled", async () => {
  const upload = remember(new Source().give("one", "two", "three").close());
  const first = upload.stream().getReader();
  assert.equal(text((await first.read()).value!), "one");
  assert.equal(text((await first.read()).value!), "two");
  assert.equal(upload.kind, "replayable");
  assert.equal(await new Response(upload.stream()).text(), "onetwothree");
});

Deno.test("StreamedUpload gives a chunk that two attempts read to the later one", async () => {
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

Deno.test("StreamedUpload gives an attempt that has ended nothing more", async () => {
  const source = new Source();
  const upload = remember(source);
  const lost = upload.reading().read();
  const { read } = upload.reading();
  source.give("one").close();
  await assert.rejects(lost, /another attempt has begun/);
  assert.equal(text((await read())!), "one");
});

Deno.test("StreamedUpload can be sent once after forget()", async () => {
  const source = new Source().give("one");
  const upload = remember(source);
  const reader = upload.stream().getReader();
  await reader.read();
  upload.forget();
  assert.equal(upload.kind, "once");
  // And then a cancel is the client's to know.
  await reader.cancel("enough");
  await settle();
  assert.equal(source.cancelled, "enough");
});

Deno.test("StreamedUpload does not cancel what another attempt may need", async () => {
  const source = new Source().give("one", "two").close();
  const upload = remember(source);
  const reader = upload.stream().getReader();
  await reader.read();
  await reader.cancel();
  assert.equal(source.cancelled, undefined);
  assert.equal(await new Response(upload.stream()).text(), "onetwo");
});

Deno.test("StreamedUpload keeps no more than fetch pulls ahead", async () => {
  const piece = "x".repeat(200 * 1024);
  const source = new Source().give(piece, piece, piece).close();
  const upload = remember(source);
  const reader = upload.stream().getReader();
  await reader.read();
  await reader.read();
  assert.equal(upload.kind, "replayable");
  await reader.read();
  assert.equal(upload.kind, "once");
  assert.equal((await reader.read()).done, true);
});

// A body of unknown length is looked at before it is sent. If its first piece was
// larger than what is kept, the backend got the body without it, and all the rest
// looked whole: 600 KB over HTTP/2 arrived as an empty body.
Deno.test("StreamedUpload sends a first chunk that was read before, however large", async () => {
  for (const length of [1, 512 * KB - 64, 512 * KB - 63, 5_000_000]) {
    const piece = "x".repeat(length);
    const upload = remember(new Source().give(piece, "two").close());
    assert.equal((await upload.first())?.byteLength, length);
    assert.equal(upload.kind, "replayable");
    const sent = await new Response(upload.stream()).text();
    assert.equal(sent.length, length + 3);
    assert.ok(sent === piece + "two");
  }
});

// A piece that came while no attempt was waiting for it was dropped if it was too
// much to keep, and the next attempt went on with the piece after it.
Deno.test("StreamedUpload loses no piece that comes between two attempts", async () => {
  const source = new Source();
  const upload = remember(source);
  upload.stream().getReader().read();
  const second = upload.stream();
  source.give("x".repeat(600 * KB));
  await settle();
  source.give("two").close();
  assert.equal((await new Response(second).text()).length, 600 * KB + 3);
});

Deno.test("StreamedUpload knows when it waits for the client", async () => {
  const source = new Source();
  const upload = remember(source);
  const reader = upload.stream().getReader();
  const piece = reader.read();
  await settle();
  assert.equal(upload.body.waits, true);
  source.give("one");
  await piece;
  assert.equal(upload.body.waits, false);
});

Deno.test("StreamedUpload passes on how the client's upload broke", async () => {
  const source = new Source().give("one");
  const upload = remember(source);
  const reader = upload.stream().getReader();
  await reader.read();
  source.fail(new Error("the client left"));
  await assert.rejects(reader.read(), /the client left/);
});

Deno.test("StreamedUpload keeps small pieces without the buffers they came in", async () => {
  const buffer = new ArrayBuffer(64 * KB);
  const piece = new Uint8Array(buffer, 0, 3);
  piece.set(bytes("one"));
  let given: Chunk | undefined = piece;
  const upload = new StreamedUpload(clientBody({
    read() {
      const next = given;
      given = undefined;
      return Promise.resolve(next);
    },
    cancel() {},
  }));
  const first = upload.stream().getReader();
  assert.equal((await first.read()).value?.buffer, buffer);
  const again = (await upload.stream().getReader().read()).value;
  assert.equal(text(again!), "one");
  assert.equal(again!.buffer.byteLength, 3);
});

Deno.test("StreamedUpload counts more than the bytes of what comes byte by byte", async () => {
  const upload = new StreamedUpload(clientBody({
    read: () => Promise.resolve(new Uint8Array(1)),
    cancel() {},
  }));
  const reader = upload.stream().getReader();
  // 512 KB, with 64 bytes for each piece besides its own one.
  for (let i = 0; i < 8_065; i++) await reader.read();
  assert.equal(upload.kind, "replayable");
  await reader.read();
  await reader.read();
  assert.equal(upload.kind, "once");
});

Deno.test("StreamedUpload gives an attempt all kept chunks, also if forget() comes in between", async () => {
  // An answer that came early made the second attempt lose what the first one,
  // which was refused, had read: a chunked body lacked its middle and looked
  // whole.
  const upload = remember(new Source().give("one", "two", "three").close());
  const first = upload.stream().getReader();
  await first.read();
  await first.read();
  const second = upload.stream();
  upload.forget();
  assert.equal(await new Response(second).text(), "onetwothree");
});

Deno.test("StreamedUpload gives its first piece, and then all of it", async () => {
  const upload = remember(new Source().give("one", "two").close());
  assert.equal(text((await upload.first())!), "one");
  assert.equal(upload.kind, "replayable");
  assert.equal(await new Response(upload.stream()).text(), "onetwo");
  assert.equal(await remember(new Source().close()).first(), undefined);
});

Deno.test("ClientBody refuses a body over the limit", async () => {
  const source = new Source().give("one", "two").close();
  const body = clientBody(reading(source.stream), { most: 5 });
  let told = 0;
  body.onTooLarge = () => told++;
  await body.read();
  await assert.rejects(body.read(), /over the limit/);
  assert.equal(told, 1);
  assert.equal(body.broken, false);
});

Deno.test("ClientBody of declared length waits for nothing after its last byte", async () => {
  // The end of it was waited for, so a backend that thought for long was not
  // timed, and a client that had sent everything was told that it was slow.
  const source = new Source().give("one");
  const body = clientBody(reading(source.stream), { length: 3 });
  await body.read();
  assert.equal(body.ended, true);
  const end = body.read();
  assert.equal(body.waits, false);
  source.close();
  assert.equal(await end, undefined);
});

Deno.test("ClientBody knows since when it waits", async () => {
  const clock = new FakeClock();
  const source = new Source();
  const body = new ClientBody(reading(source.stream), undefined, clock, 9);
  await clock.advance(100);
  const piece = body.read();
  assert.deepEqual([body.waits, body.movedAt], [true, clock.now()]);
  await clock.advance(100);
  source.give("one");
  await piece;
  assert.deepEqual([body.waits, body.movedAt], [false, clock.now()]);
});

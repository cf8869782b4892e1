import assert from "node:assert/strict"; // built in to both runtimes
import { FakeClock } from "../testing/clock.ts";
import { LineWriter } from "./lines.ts";

const decoder = new TextDecoder();

Deno.test("LineWriter writes lines that come together in one batch", async () => {
  const clock = new FakeClock();
  const batches: string[] = [];
  const writer = new LineWriter((bytes) => {
    batches.push(decoder.decode(bytes));
    return Promise.resolve(bytes.byteLength);
  }, { clock });
  writer.line("a");
  writer.line("é");
  await clock.advance(10);
  writer.line("c");
  await clock.advance(10);
  assert.deepEqual(batches, ["a\né\n", "c\n"]);
});

Deno.test("LineWriter goes on after a write that took only a part", async () => {
  const clock = new FakeClock();
  let text = "";
  const writer = new LineWriter((bytes) => {
    text += decoder.decode(bytes.subarray(0, 3));
    return Promise.resolve(Math.min(3, bytes.byteLength));
  }, { clock });
  writer.line("0123456789");
  await clock.advance(10);
  assert.equal(text, "0123456789\n");
});

Deno.test("LineWriter drops and counts what a blocked file does not take", async () => {
  const clock = new FakeClock();
  const { promise, resolve } = Promise.withResolvers<void>();
  let text = "";
  let losses = 0;
  const writer = new LineWriter(async (bytes) => {
    await promise;
    text += decoder.decode(bytes);
    return bytes.byteLength;
  }, { clock, maxChars: 10, onLoss: () => losses++ });
  writer.line("first");
  await clock.advance(10);
  for (let i = 0; i < 1000; i++) writer.line(`l${i}`);
  assert.equal(writer.dropped, 997);
  assert.equal(losses, 1);
  resolve();
  await clock.advance(20);
  assert.equal(text, "first\nl0\nl1\nl2\n");
  writer.line("again");
  await clock.advance(10);
  assert.match(text, /again\n$/);
});

Deno.test("LineWriter outlives a closed file and a full pipe", async () => {
  const clock = new FakeClock();
  const codes = ["EPIPE", "EAGAIN"];
  let text = "";
  const writer = new LineWriter((bytes) => {
    const code = codes.shift();
    if (code !== undefined) {
      return Promise.reject(Object.assign(new Error(code), { code }));
    }
    text += decoder.decode(bytes);
    return Promise.resolve(bytes.byteLength);
  }, { clock });
  writer.line("lost");
  await clock.advance(10);
  assert.equal(writer.dropped, 1);
  writer.line("kept");
  await clock.advance(30);
  assert.equal(text, "kept\n");
});

Deno.test("LineWriter.flush() waits for what is queued, and no longer than told", async () => {
  const clock = new FakeClock();
  const { promise, resolve } = Promise.withResolvers<number>();
  const writer = new LineWriter(() => promise, { clock });
  await writer.flush(1000);
  writer.line("a");
  let flushed = 0;
  writer.flush(50).then(() => flushed = 1);
  await clock.advance(49);
  assert.equal(flushed, 0);
  await clock.advance(1);
  assert.equal(flushed, 1);
  writer.flush(1000).then(() => flushed = 2);
  resolve(2);
  await clock.advance(1);
  assert.equal(flushed, 2);
});

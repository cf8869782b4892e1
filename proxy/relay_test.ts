import assert from "node:assert/strict";
import { settle } from "../testing/clock.ts";
import { Source } from "../testing/source.ts";
import { type Chunk, reading } from "./body.ts";
import { Relay } from "./relay.ts";

class Notes {
  bytes = 0;
  time = 0;
  readonly ends: string[] = [];

  progress(bytes: number): void {
    this.bytes += bytes;
  }

  relayed(how: string): void {
    this.ends.push(how);
  }

  now(): number {
    return this.time;
  }
}

function follow(
  source: Source,
): { stream: ReadableStream<Chunk>; notes: Notes; relay: Relay } {
  const notes = new Notes();
  const relay = new Relay(reading(source.stream), notes);
  return { stream: relay.stream, notes, relay };
}

Deno.test("Relay passes on every chunk and reports a complete body", async () => {
  const source = new Source().give("a", "bc").close();
  const { stream, notes } = follow(source);
  assert.equal(await new Response(stream).text(), "abc");
  assert.equal(notes.bytes, 3);
  assert.deepEqual(notes.ends, ["whole"]);
});

Deno.test("Relay fails when its source does, and never looks complete", async () => {
  const source = new Source().give("a");
  const { stream, notes } = follow(source);
  const reader = stream.getReader();
  await reader.read();
  source.fail(new Error("reset"));
  await assert.rejects(reader.read(), /reset/);
  assert.deepEqual(notes.ends, ["broken"]);
});

Deno.test("Relay cancels its source when its reader leaves", async () => {
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

Deno.test("Relay reads only if the client has room", async () => {
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

Deno.test("Relay knows which side it waits for, and since when", async () => {
  const source = new Source().give("a");
  const { stream, notes, relay } = follow(source);
  assert.equal(relay.waitsForClient, true);
  const reader = stream.getReader();
  notes.time = 5;
  await reader.read();
  // The client has a piece that it has not asked beyond.
  assert.equal(relay.waitsForClient, true);
  assert.equal(relay.movedAt, 5);
  notes.time = 7;
  const next = reader.read();
  await settle();
  assert.equal(relay.waitsForClient, false);
  assert.equal(relay.movedAt, 7);
  source.give("b").close();
  await next;
  assert.equal(relay.waitsForClient, true);
  await reader.cancel();
});

Deno.test("Relay.abort() fails the body and cancels its source, once", async () => {
  // A client that took nothing more kept its slot and the backend's connection.
  const source = new Source().give("a");
  const { stream, notes, relay } = follow(source);
  const reader = stream.getReader();
  await reader.read();
  const why = new Error("too slow");
  relay.abort(why);
  relay.abort(why);
  await assert.rejects(reader.read(), /too slow/);
  assert.equal(source.cancelled, why);
  assert.deepEqual(notes.ends, ["broken"]);
});

Deno.test("Relay.abort() during a read reports once", async () => {
  const source = new Source();
  const { stream, notes, relay } = follow(source);
  const pending = stream.getReader().read();
  await settle();
  relay.abort(new Error("stopped"));
  await assert.rejects(pending, /stopped/);
  await settle();
  assert.deepEqual(notes.ends, ["broken"]);
});

Deno.test("Relay puts a chunk that is there already into its stream at once", async () => {
  const notes = new Notes();
  notes.time = 5;
  const chunks: (Chunk | undefined)[] = [new Uint8Array(2), undefined];
  let ready: Chunk | undefined = new Uint8Array(3);
  const relay = new Relay({
    ready: () => ready,
    read: () => {
      ready = undefined;
      return Promise.resolve(chunks.shift());
    },
    cancel() {},
  }, notes);
  assert.equal(notes.bytes, 3);
  assert.equal(relay.waitsForClient, true);
  assert.equal(chunks.length, 2, "nothing was read");
  const bytes = await new Response(relay.stream).bytes();
  assert.equal(bytes.length, 5);
  assert.equal(notes.bytes, 5);
  assert.deepEqual(notes.ends, ["whole"]);
});

Deno.test("Relay.abort() fails its stream, also with a chunk that was never read", async () => {
  const notes = new Notes();
  let cancelled: unknown;
  const relay = new Relay({
    ready: () => new Uint8Array(3),
    read: () => Promise.resolve(undefined),
    cancel: (why) => void (cancelled = why),
  }, notes);
  relay.abort(new Error("slow"));
  await assert.rejects(new Response(relay.stream).bytes(), /slow/);
  assert.match(String(cancelled), /slow/);
  assert.deepEqual(notes.ends, ["broken"]);
});

Deno.test("Relay gives up a chunk when the next one is asked for, if its reader allows", async () => {
  for (const detaches of [true, false]) {
    const source = new Source().give("a", "b").close();
    const given: number[] = [];
    const { stream } = new Relay(
      { ...reading(source.stream), detach: ([byte]) => void given.push(byte!) },
      new Notes(),
      detaches,
    );
    const reader = stream.getReader();
    await reader.read();
    await settle();
    assert.deepEqual(given, []);
    await reader.read();
    assert.deepEqual(given, detaches ? [97] : []);
    assert.equal((await reader.read()).done, true);
    assert.deepEqual(given, detaches ? [97, 98] : []);
  }
});

import assert from "node:assert/strict";
import type { Chunk } from "../../http/bytes.ts";
import type { SocketEvents } from "../../http/socket.ts";
import { settle } from "../../testing/clock.ts";
import { DenoSocket } from "./socket.ts";

/** A connection of Deno's in a test's hands. */
class FakeConn {
  closed = false;
  halfClosed = false;
  /** Reads that wait for bytes, oldest first. */
  readonly reads: { room: Chunk; done: PromiseWithResolvers<number | null> }[] =
    [];
  /** Writes that wait to be taken. */
  readonly writes: { bytes: Chunk; done: PromiseWithResolvers<number> }[] = [];

  read(room: Chunk): Promise<number | null> {
    const done = Promise.withResolvers<number | null>();
    this.reads.push({ room, done });
    return done.promise;
  }

  write(bytes: Chunk): Promise<number> {
    const done = Promise.withResolvers<number>();
    this.writes.push({ bytes, done });
    return done.promise;
  }

  close(): void {
    this.closed = true;
  }

  closeWrite(): Promise<void> {
    this.halfClosed = true;
    return Promise.resolve();
  }

  /** Has the oldest read brought these bytes, or the end. */
  async bring(text: string | null | Error): Promise<void> {
    const { room, done } = this.reads.shift()!;
    if (text === null) done.resolve(null);
    else if (text instanceof Error) done.reject(text);
    else {
      room.set(new TextEncoder().encode(text));
      done.resolve(text.length);
    }
    await settle();
  }

  /** Has the oldest write taken so many bytes, or fail. */
  async take(size: number | Error): Promise<string> {
    const { bytes, done } = this.writes.shift()!;
    if (typeof size === "number") done.resolve(size);
    else done.reject(size);
    await settle();
    return new TextDecoder().decode(bytes);
  }
}

function made(events: Partial<SocketEvents> = {}) {
  const conn = new FakeConn();
  const socket = new DenoSocket(conn as unknown as Deno.Conn);
  const seen: string[] = [];
  socket.listen({
    data: (bytes) => void seen.push(new TextDecoder().decode(bytes)),
    ended: (error) => void seen.push(`ended ${error?.message ?? "well"}`),
    drained: () => void seen.push("drained"),
    ...events,
  });
  return { conn, socket, seen };
}

Deno.test("DenoSocket never has two reads at a time", async () => {
  // A listener that paused and resumed while it was told of bytes had a second
  // read begun: what came next came out of order, and a page's bytes were read
  // as the head of the next answer.
  const { conn, socket } = made({
    data() {
      socket.pause();
      socket.resume();
    },
  });
  socket.resume();
  for (let i = 0; i < 3; i++) {
    assert.equal(conn.reads.length, 1);
    await conn.bring("x");
  }
  assert.equal(conn.reads.length, 1);
});

Deno.test("DenoSocket reads nothing while it is paused", async () => {
  const { conn, socket, seen } = made();
  assert.equal(conn.reads.length, 0);
  socket.resume();
  socket.pause();
  await conn.bring("one");
  assert.equal(conn.reads.length, 0);
  socket.resume();
  await conn.bring("two");
  assert.deepEqual(seen, ["one", "two"]);
});

Deno.test("DenoSocket fills a buffer again only if its listener lets it", async () => {
  for (const free of [true, false]) {
    const rooms: ArrayBuffer[] = [];
    const { conn, socket } = made({
      data(bytes) {
        rooms.push(bytes.buffer);
        return free;
      },
    });
    socket.resume();
    await conn.bring("one");
    await conn.bring("two");
    assert.equal(rooms[0] === rooms[1], free);
  }
});

Deno.test("DenoSocket reads to where its listener wants it", async () => {
  const room = new Uint8Array(3);
  const { conn, socket } = made({ room: () => room });
  socket.resume();
  assert.equal(conn.reads[0]!.room, room);
  await conn.bring("one");
  assert.equal(new TextDecoder().decode(room), "one");
});

Deno.test("DenoSocket writes one piece after the other, and the rest of each", async () => {
  const { conn, socket, seen } = made();
  const encoder = new TextEncoder();
  socket.write(encoder.encode("hello"));
  socket.write(encoder.encode("there"));
  assert.equal(socket.queued, 10);
  assert.equal(conn.writes.length, 1);
  assert.equal(await conn.take(2), "hello");
  assert.equal(await conn.take(3), "llo");
  assert.equal(socket.queued, 5);
  assert.deepEqual(seen, []);
  assert.equal(await conn.take(5), "there");
  assert.deepEqual(seen, ["drained"]);
  assert.equal(socket.left, 10);
});

Deno.test("DenoSocket knows what of a failed write has left", async () => {
  const { conn, socket } = made();
  socket.write(new Uint8Array(5));
  // Unknown as long as it is under way.
  assert.equal(socket.left, 5);
  await conn.take(new Error("reset"));
  assert.equal(socket.left, 0);
  socket.write(new Uint8Array(5));
  assert.equal(conn.writes.length, 0);
});

Deno.test("DenoSocket shows no proper end once a write has been told of a reset", async () => {
  // The kernel tells of it once. The next read shows an end, and a body without
  // a length would have looked whole.
  const { conn, socket, seen } = made();
  socket.resume();
  socket.write(new Uint8Array(5));
  await conn.take(new Error("reset"));
  assert.deepEqual(seen, [], "an answer may be here that says why");
  await conn.bring("half");
  await conn.bring(null);
  assert.deepEqual(seen, ["half", "ended reset"]);
});

Deno.test("DenoSocket ends its side behind what was written", async () => {
  const { conn, socket } = made();
  socket.write(new Uint8Array(5));
  socket.end();
  assert.equal(conn.halfClosed, false);
  await conn.take(5);
  assert.equal(conn.halfClosed, true);
  assert.equal(conn.closed, false);
});

Deno.test("DenoSocket says nothing any more once it was destroyed", async () => {
  const { conn, socket, seen } = made();
  socket.resume();
  socket.write(new Uint8Array(5));
  socket.destroy();
  socket.destroy();
  assert.equal(conn.closed, true);
  await conn.bring("late");
  await conn.take(5);
  assert.deepEqual(seen, []);
  assert.equal(conn.reads.length, 0);
});

Deno.test("DenoSocket tells a listener that comes later that it has ended", async () => {
  for (const error of [null, new Error("reset")]) {
    const { conn, socket } = made();
    socket.resume();
    await conn.bring(error);
    let told: unknown = "nothing";
    socket.listen({ data() {}, drained() {}, ended: (why) => told = why });
    assert.equal(told, error ?? undefined);
  }
});

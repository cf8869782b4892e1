import assert from "node:assert/strict";
import { settle } from "../testing/clock.ts";
import { FakeSocket } from "../testing/fake_socket.ts";
import { AnswerReader } from "./answer.ts";
import { bytesOf, type Chunk, Ended, latin1, Malformed } from "./bytes.ts";

/** Reads an answer that comes in pieces; the connection ends behind it if asked. */
async function answered(
  text: string,
  { size = Infinity, ends = false, method = "GET" } = {},
): Promise<{
  socket: FakeSocket;
  reader: AnswerReader;
  status: number;
  body: Chunk | ReadableStream<Chunk>;
}> {
  const socket = new FakeSocket();
  const reader = new AnswerReader(socket, method);
  const heading = reader.head();
  for (let at = 0; at < text.length; at += size) {
    socket.receive(text.slice(at, at + Math.min(size, text.length)));
  }
  if (ends) socket.finish();
  const head = await heading;
  return { socket, reader, status: head.status, body: reader.body(head) };
}

const textOf = (body: Chunk | ReadableStream<Chunk>) =>
  new Response(body).text();

Deno.test("AnswerReader reads an answer and closes its connection, however it is framed", async () => {
  for (
    const [text, ends] of [
      ["HTTP/1.1 403 No\r\nContent-Length: 5\r\n\r\nhello and more", false],
      ["HTTP/1.1 403 No\r\nContent-Length: 5, 5\r\n\r\nhello", false],
      [
        "HTTP/1.1 403 No\r\nTransfer-Encoding: Chunked\r\n\r\n" +
        "2;x=y\r\nhe\r\n03\r\nllo\r\n0\r\nTrailer: x\r\n\r\n",
        false,
      ],
      ["HTTP/1.0 403 No\r\n\r\nhello", true],
    ] as const
  ) {
    for (const size of [1, 3, Infinity]) {
      const { socket, body, status } = await answered(text, { size, ends });
      assert.equal(status, 403);
      assert.equal(await textOf(body), "hello", text);
      assert.equal(socket.destroyed, true);
    }
  }
});

Deno.test("AnswerReader returns a body that has arrived completely as bytes", async () => {
  const { socket, body } = await answered(
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
  );
  assert.ok(body instanceof Uint8Array);
  assert.equal(latin1(body), "hello");
  assert.equal(socket.destroyed, true);
  const none = await answered("HTTP/1.1 204 No\r\n\r\n");
  assert.deepEqual(none.body, new Uint8Array(0));
  assert.equal(none.socket.destroyed, true);
});

Deno.test("AnswerReader closes the connection of an answer that is never read", async () => {
  // Its body was read when it was asked for, and its connection closed when the
  // read after the last was: of a small answer that never came, and any page
  // that was asked for as a WebSocket cost a descriptor for good.
  for (
    const [head, rest] of [
      ["Content-Length: 5", "hello"],
      ["Content-Length: 60000", "x".repeat(60_000)],
      ["Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n"],
    ] as const
  ) {
    const { socket, body } = await answered(
      `HTTP/1.1 200 OK\r\n${head}\r\n\r\n`,
    );
    assert.equal(socket.destroyed, false);
    socket.receive(rest);
    assert.equal(socket.destroyed, true, head);
    await (body as ReadableStream<Chunk>).cancel();
  }
  const { socket, body } = await answered("HTTP/1.0 200 OK\r\n\r\n");
  socket.receive("hello");
  socket.finish();
  assert.equal(socket.destroyed, true);
  assert.equal(await textOf(body), "hello");
});

Deno.test("AnswerReader reads 64 KB ahead, and then waits for a read", async () => {
  const { socket, body } = await answered(
    "HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n",
  );
  const stream = body as ReadableStream<Chunk>;
  for (let i = 0; i < 30; i++) socket.receive(new Uint8Array(10_000));
  assert.equal(socket.paused, true);
  const reader = stream.getReader();
  const first = await reader.read();
  // What came in many pieces is given as one.
  assert.equal(first.value?.length, 70_000);
  await settle();
  let read = 70_000;
  for (;;) {
    const { done, value } = await reader.read();
    if (done) break;
    read += value.length;
  }
  assert.equal(read, 300_000);
  assert.equal(socket.destroyed, true);
});

Deno.test("AnswerReader closes the connection when the body is cancelled or given up", async () => {
  const head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel";
  const cancelled = await answered(head);
  await (cancelled.body as ReadableStream<Chunk>).cancel();
  assert.equal(cancelled.socket.destroyed, true);
  const given = await answered(head);
  const why = new Error("why");
  given.reader.close(why);
  assert.equal(given.socket.destroyed, true);
  await assert.rejects(textOf(given.body), why);
  const early = new FakeSocket();
  const reader = new AnswerReader(early, "GET");
  const heading = reader.head();
  reader.close(why);
  await assert.rejects(heading, why);
  assert.equal(early.destroyed, true);
});

Deno.test("AnswerReader never makes a truncated body look complete", async () => {
  for (
    const text of [
      "HTTP/1.1 403 No\r\nContent-Length: 6\r\n\r\nhello",
      "HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
      "HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    ]
  ) {
    for (const size of [1, Infinity]) {
      const { body, socket } = await answered(text, { ends: true, size });
      await assert.rejects(textOf(body), Ended, text);
      assert.equal(socket.destroyed, true);
    }
  }
  // One that only the end ends, and whose connection breaks.
  const { body, socket } = await answered("HTTP/1.1 200 OK\r\n\r\nhello");
  const reset = new Error("ECONNRESET");
  socket.finish(reset);
  await assert.rejects(textOf(body), reset);
});

Deno.test("AnswerReader fails a malformed body", async () => {
  const head = "HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n";
  const { body, socket } = await answered(head);
  socket.receive("5\r\nhello\r\nx");
  await assert.rejects(textOf(body), Malformed);
  assert.equal(socket.destroyed, true);
  await assert.rejects(answered(`${head}x`), Malformed);
});

Deno.test("AnswerReader rejects without a head, and tells whether one had begun", async () => {
  for (
    const [text, begun, type] of [
      ["", false, Ended],
      ["HTTP/1.1 101", true, Ended],
      ["HTTP/1.1 103 X\r\n\r\n", true, Ended],
      ["nothing", true, Malformed],
    ] as const
  ) {
    const socket = new FakeSocket();
    const reader = new AnswerReader(socket, "GET");
    const heading = reader.head();
    if (text !== "") socket.receive(text);
    socket.finish();
    await assert.rejects(heading, type);
    assert.equal(reader.begun, begun);
    assert.equal(socket.destroyed, true);
  }
});

Deno.test("AnswerReader detaches a connection with all bytes after the head", async () => {
  const socket = new FakeSocket();
  const reader = new AnswerReader(socket, "GET");
  socket.receive("HTTP/1.1 101 X\r\n\r\nfra");
  const { status } = await reader.head();
  assert.equal(status, 101);
  const rest = reader.detach();
  // Between the head and the next listener.
  reader.data(bytesOf("mes"));
  assert.equal(rest.map((piece) => latin1(piece)).join(""), "frames");
  assert.deepEqual([socket.paused, socket.destroyed], [true, false]);
});

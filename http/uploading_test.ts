import assert from "node:assert/strict";
import { ClientRig, FakePayload, textOf } from "../testing/client_rig.ts";
import { settle } from "../testing/clock.ts";
import { bytesOf } from "./bytes.ts";
import { type Answer, Unanswered } from "./call.ts";

const OK = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

async function failure(answer: Promise<Answer>): Promise<Unanswered> {
  const error = await answer.then(
    () => assert.fail("There is an answer"),
    (error: unknown) => error,
  );
  assert.ok(error instanceof Unanswered, String(error));
  return error;
}

/** A POST whose body a test sends on by hand. */
async function posted(rig: ClientRig, length?: number) {
  const source = new FakePayload();
  const payload = source.of(length);
  return { source, ...await rig.send({ method: "POST", payload }) };
}

Deno.test("Client writes a small body in one write with its head", async () => {
  for (const size of [0, 1, 1_024, 64 * 1024]) {
    const rig = new ClientRig();
    await rig.send({ method: "POST", whole: bytesOf("x".repeat(size)) });
    assert.equal(rig.last.writes, 1);
    assert.equal(
      rig.last.written,
      `POST / HTTP/1.1\r\nHost: backend\r\nContent-Length: ${size}\r\n\r\n` +
        "x".repeat(size),
    );
  }
});

Deno.test("Client writes a large complete body, and a head of any bytes", async () => {
  const rig = new ClientRig();
  const value = "é".repeat(40_000);
  await rig.send({
    method: "POST",
    whole: bytesOf("x".repeat(100_000)),
    fields: [["host", "backend"], ["x-a", value]],
  });
  assert.equal(
    rig.last.written,
    `POST / HTTP/1.1\r\nHost: backend\r\nX-A: ${value}\r\n` +
      `Content-Length: 100000\r\n\r\n${"x".repeat(100_000)}`,
  );
  const short = new ClientRig();
  await short.send({ fields: [["host", "backend"], ["x-a", "é\xff"]] });
  assert.match(short.last.written, /\r\nX-A: é\xff\r\n\r\n$/);
});

Deno.test("Client reuses the buffer of a head only when it was sent", async () => {
  const rig = new ClientRig();
  rig.opened = (connection) => connection.holds = true;
  await rig.send({ target: "/first" });
  await rig.send({ target: "/second" });
  for (const connection of rig.connections) connection.release();
  assert.match(rig.connections[0]!.written, /^GET \/first /);
  assert.match(rig.connections[1]!.written, /^GET \/second /);
});

Deno.test("Client frames a body by its length, or in chunks where that is not known", async () => {
  const large = "y".repeat(70_000);
  for (const length of [70_005, undefined]) {
    const rig = new ClientRig();
    const { source, answer } = await posted(rig, length);
    const { last } = rig;
    assert.match(
      last.written,
      length === undefined
        ? /\r\nTransfer-Encoding: chunked\r\n\r\n$/
        : /\r\nContent-Length: 70005\r\n\r\n$/,
    );
    // The head does not wait for the body.
    const head = last.written.length;
    source.push("hello").push("").push(large).push();
    await settle();
    assert.equal(
      last.written.slice(head),
      length === undefined
        ? `5\r\nhello\r\n11170\r\n${large}\r\n0\r\n\r\n`
        : `hello${large}`,
    );
    last.receive(OK);
    assert.equal(await textOf(await answer), "ok");
    assert.equal(rig.pool.idle, 1);
    assert.equal(source.cancelled, undefined);
  }
});

Deno.test("Client reads an upload no faster than its backend takes it", async () => {
  const rig = new ClientRig();
  const { source, answer } = await posted(rig);
  // Only now: before its head has left, no body is read.
  rig.last.holds = true;
  for (let i = 0; i < 100; i++) source.push("x".repeat(64 * 1024));
  source.push();
  await settle();
  assert.equal(source.reads, 1, "one piece at a time");
  rig.last.release();
  await settle();
  assert.equal(source.reads, 101);
  rig.last.receive(OK);
  await answer;
});

Deno.test("Client reads no more of an upload whose request ended while it waited for room", async () => {
  const rig = new ClientRig();
  rig.opened = (connection) => connection.holds = true;
  const { source, controller } = await posted(rig);
  for (let i = 0; i < 10; i++) source.push("x".repeat(64 * 1024));
  rig.last.release();
  rig.last.holds = true;
  await settle();
  const { reads } = source;
  assert.ok(reads < 10, `${reads} pieces of 64 KB`);
  controller.abort();
  await settle();
  assert.equal(source.reads, reads);
});

Deno.test("Client parks a connection only when all of its request has left", async () => {
  const rig = new ClientRig();
  const { source, answer } = await posted(rig, 5);
  rig.last.holds = true;
  source.push("hello").push();
  await settle();
  rig.last.receive(OK);
  await answer;
  assert.equal(rig.pool.idle, 0);
  rig.last.release();
  assert.equal(rig.pool.idle, 1);
});

Deno.test("Client ends the connection of a body that is not as long as declared", async () => {
  for (
    const [pieces, length] of [
      [["hell"], 5],
      [["hello", "!"], 5],
      [["hello!"], 5],
      [["x"], 0],
    ] as const
  ) {
    const rig = new ClientRig();
    const { source, answer } = await posted(rig, length);
    for (const piece of pieces) source.push(piece);
    source.push();
    const error = await failure(answer);
    assert.equal(error.reason, "payload");
    assert.equal(rig.last.destroyed, true);
    const [, body] = rig.last.written.split("\r\n\r\n");
    assert.ok(body!.length <= length, "no byte behind the declared end");
  }
});

Deno.test("Client ends the connection of a body that breaks, so that it never looks whole", async () => {
  for (const length of [10, undefined]) {
    const rig = new ClientRig();
    const { source, answer } = await posted(rig, length);
    const why = new Error("the client left");
    source.push("hello").push(why);
    const error = await failure(answer);
    assert.equal(error.reason, "payload");
    assert.equal(error.cause, why);
    assert.equal(rig.last.destroyed, true);
    assert.doesNotMatch(rig.last.written, /\r\n0\r\n\r\n$/);
  }
});

Deno.test("Client cancels an upload when its request is aborted", async () => {
  const rig = new ClientRig();
  const { source, answer, controller } = await posted(rig);
  const why = new Error("given up");
  source.push("hello");
  await settle();
  controller.abort(why);
  await assert.rejects(answer, (error) => error === why);
  assert.notEqual(source.cancelled, undefined);
  assert.equal(rig.last.destroyed, true);
  source.push("more");
  await settle();
  assert.doesNotMatch(rig.last.written, /more/);
});

Deno.test("Client passes an early answer on, lets the upload end, and uses the connection no more", async () => {
  // A backend that has answered before it has read all of a body may take the
  // rest of it for the next request.
  const rig = new ClientRig();
  const { source, answer } = await posted(rig);
  source.push("hello");
  await settle();
  rig.last.receive(OK);
  assert.equal(await textOf(await answer), "ok");
  assert.equal(rig.last.destroyed, false);
  source.push("more").push();
  await settle();
  assert.match(rig.last.written, /\r\nmore\r\n0\r\n\r\n$/);
  assert.equal(rig.last.destroyed, true);
  assert.equal(rig.pool.size, 0);
});

Deno.test("Client gives an upload up a second after its answer, or at once if it may not linger or the backend hangs up", async () => {
  for (
    const { close, lingers } of [
      { close: false, lingers: true },
      { close: true, lingers: true },
      { close: false, lingers: false },
    ]
  ) {
    const rig = new ClientRig("own", { lingers });
    const { source, answer } = await posted(rig);
    source.push("hello");
    await settle();
    rig.last.receive(
      "HTTP/1.1 413 No\r\nContent-Length: 0\r\n" +
        (close ? "Connection: close\r\n\r\n" : "\r\n"),
    );
    await answer;
    const ends = close || !lingers;
    assert.equal(rig.last.destroyed, ends);
    await rig.clock.advance(999);
    assert.equal(rig.last.destroyed, ends);
    await rig.clock.advance(1);
    assert.equal(rig.last.destroyed, true);
    assert.notEqual(source.cancelled, undefined);
    assert.equal(rig.clock.pending, 0);
  }
});

Deno.test("Client.close() ends an upload that lingers on the connection of a retired backend", async () => {
  const rig = new ClientRig();
  const { source, answer } = await posted(rig);
  source.push("hello");
  await settle();
  rig.client.retire(rig.pool);
  rig.last.receive("HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n");
  await answer;
  assert.equal(rig.last.destroyed, false);
  rig.client.close(new Error("stopped"));
  assert.equal(rig.last.destroyed, true);
  assert.notEqual(source.cancelled, undefined);
  assert.equal(rig.clock.pending, 0);
});

Deno.test("Client carries an upload and its answer at the same time", async () => {
  const rig = new ClientRig();
  const { source, answer } = await posted(rig);
  source.push("one");
  await settle();
  rig.last.receive(
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n",
  );
  const { body } = await answer;
  assert.ok(body !== null && "read" in body);
  assert.equal(new TextDecoder().decode(await body.read()), "one");
  for (const word of ["two", "six"]) {
    source.push(word);
    await settle();
    assert.match(rig.last.written, new RegExp(`\r\n3\r\n${word}\r\n$`));
    rig.last.receive(`3\r\n${word}\r\n`);
    assert.equal(new TextDecoder().decode(await body.read()), word);
  }
  source.push();
  await settle();
  assert.equal(rig.last.destroyed, false);
  rig.last.receive("0\r\n\r\n");
  assert.equal(await body.read(), undefined);
  assert.equal(rig.last.destroyed, true);
});

Deno.test("Client cuts an answer whose upload breaks under it", async () => {
  const rig = new ClientRig();
  const { source, answer } = await posted(rig);
  source.push("one");
  await settle();
  rig.last.receive("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
  const reading = answer.then(textOf);
  source.push(new Error("the client left"));
  await assert.rejects(reading, (error) => error instanceof Unanswered);
  assert.equal(rig.last.destroyed, true);
});

Deno.test("Client reads the answer of a backend that takes no more of an upload", async () => {
  // A server that refuses an upload answers and closes: to write fails then, and
  // the answer is still to be read.
  const rig = new ClientRig();
  const { source, answer } = await posted(rig);
  source.push("hello");
  await settle();
  rig.last.deaf = true;
  source.push("more");
  await settle();
  rig.last.receive(OK.replace("200 OK", "413 No"));
  rig.last.finish(new Error("reset"));
  const { status } = await answer;
  assert.equal(status, 413);
  assert.notEqual(source.cancelled, undefined);
});

Deno.test("Client does not send a body again that it has begun to read", async () => {
  const rig = new ClientRig();
  const first = await rig.send();
  rig.last.receive(OK);
  await first.answer;
  const source = new FakePayload();
  const { answer } = await rig.send({
    method: "PUT",
    repeatable: true,
    payload: source.of(),
  });
  source.push("hello");
  await settle();
  rig.last.finish();
  await failure(answer);
  assert.equal(rig.connections.length, 1);
});

Deno.test("Client gives the memory of an upload's piece back when it has left", async () => {
  const rig = new ClientRig();
  const { source, answer } = await posted(rig);
  rig.last.holds = true;
  source.push("hello").push("there").push();
  await settle();
  assert.equal(source.reads, 1);
  assert.deepEqual(source.reused, []);
  rig.last.release();
  await settle();
  assert.deepEqual(source.reused, [bytesOf("hello"), bytesOf("there")]);
  rig.last.receive(OK);
  await answer;
  assert.equal(source.reused.length, 2);
});

Deno.test("Client keeps the memory of what had not left when its request ended", async () => {
  const rig = new ClientRig();
  const { source, controller } = await posted(rig);
  rig.last.holds = true;
  source.push("hello");
  await settle();
  controller.abort();
  assert.deepEqual(source.reused, []);
});

Deno.test("Client reads an upload once its head has left, and sends it elsewhere if that does not", async () => {
  const rig = new ClientRig();
  const first = await rig.send();
  rig.last.receive(OK);
  await first.answer;
  rig.last.holds = true;
  const { source, answer } = await posted(rig);
  source.push("hello").push();
  await settle();
  assert.equal(source.reads, 0);
  // Ended before it took a byte: nothing was sent, and nothing was read.
  rig.last.finish();
  await settle();
  assert.equal(rig.connections.length, 2);
  assert.match(rig.last.written, /\r\n5\r\nhello\r\n0\r\n\r\n$/);
  rig.last.receive(OK);
  assert.equal(await textOf(await answer), "ok");
});

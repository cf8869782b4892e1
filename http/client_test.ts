import assert from "node:assert/strict";
import { ClientRig, textOf } from "../testing/client_rig.ts";
import { settle } from "../testing/clock.ts";
import { DELIVERIES } from "../testing/fake_connection.ts";
import { Ended, latin1, Malformed } from "./bytes.ts";
import { type Answer, Unanswered } from "./call.ts";

/** A rejection's error, which has to be one of the client's. */
async function unanswered(promise: Promise<unknown>): Promise<Unanswered> {
  try {
    await promise;
  } catch (error) {
    assert.ok(error instanceof Unanswered, String(error));
    return error;
  }
  assert.fail("There is an answer");
}

/** One of each framing, with its body, and whether its connection is kept. */
const ANSWERS: readonly {
  text: string;
  body: string;
  kept: boolean;
  method?: string;
}[] = [
  {
    text: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    body: "hello",
    kept: true,
  },
  {
    text: "HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n" + "x".repeat(3000),
    body: "x".repeat(3000),
    kept: true,
  },
  {
    text: "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" +
      "2\r\nhe\r\n3;a=b\r\nllo\r\n0\r\nX-Trailer: 1\r\n\r\n",
    body: "hello",
    kept: true,
  },
  { text: "HTTP/1.1 200 OK\r\n\r\nhello", body: "hello", kept: false },
  { text: "HTTP/1.0 200 OK\r\n\r\nhello", body: "hello", kept: false },
  {
    text: "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n" +
      "Content-Length: 5\r\n\r\nhello",
    body: "hello",
    kept: false,
  },
  {
    text: "HTTP/1.1 200 OK\r\nConnection: x, Close\r\n" +
      "Content-Length: 5\r\n\r\nhello",
    body: "hello",
    kept: false,
  },
  { text: "HTTP/1.1 204 No Content\r\n\r\n", body: "", kept: true },
  { text: "HTTP/1.1 304 Not Modified\r\n\r\n", body: "", kept: true },
  {
    text: "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n",
    body: "",
    kept: true,
    method: "HEAD",
  },
  {
    text: "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    body: "",
    kept: true,
  },
  {
    text: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n" +
      "Link: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    body: "hello",
    kept: true,
  },
];

Deno.test("Client reads every framing, in whatever pieces it comes", async () => {
  for (const delivery of DELIVERIES) {
    for (const { text, body, kept, method = "GET" } of ANSWERS) {
      for (let size = 1; size <= text.length; size += size < 60 ? 1 : 997) {
        const rig = new ClientRig(delivery);
        const { answer } = await rig.send({ method });
        const { last } = rig;
        for (let at = 0; at < text.length; at += size) {
          last.receive(text.slice(at, at + size));
        }
        if (!kept) last.finish();
        const said = `${delivery}, ${size} at a time: ${text.slice(0, 80)}`;
        assert.equal(await textOf(await answer), body, said);
        assert.equal(rig.pool.idle, kept ? 1 : 0, said);
        assert.equal(last.destroyed, !kept, said);
      }
    }
  }
});

Deno.test("Client gives a body that comes with its head as bytes, and none as `null`", async () => {
  for (const { text, body, method = "GET" } of ANSWERS) {
    const rig = new ClientRig();
    const { answer } = await rig.send({ method });
    rig.last.receive(text);
    rig.last.finish();
    const { body: given, status } = await answer;
    if (method === "HEAD" || status === 204 || status === 304) {
      assert.equal(given, null);
    } else if (!/length|chunked/i.test(text)) {
      assert.ok(given !== null && "read" in given, "its end is its length");
      assert.equal(await textOf({ status, fields: [], body: given }), body);
    } else {
      assert.ok(given instanceof Uint8Array, text);
    }
  }
});

Deno.test("Client does not reuse the memory of a body for the next response", async () => {
  for (const delivery of DELIVERIES) {
    for (const size of [0, 1, 13, 400, 5_000, 70_000]) {
      const rig = new ClientRig(delivery);
      const answers: Answer[] = [];
      for (const letter of ["a", "b", "c"]) {
        const { answer } = await rig.send();
        rig.last.receive(
          `HTTP/1.1 200 OK\r\nX-Is: ${letter}\r\nContent-Length: ${size}` +
            `\r\n\r\n${letter.repeat(size)}`,
        );
        answers.push(await answer);
        const { body } = answers.at(-1)!;
        // A body that was read to its end, piece by piece, and put by.
        if (body !== null && "read" in body) {
          const text = await textOf(answers.at(-1)!);
          assert.equal(text, letter.repeat(size));
        }
      }
      assert.equal(rig.connections.length, 1);
      for (const [at, letter] of ["a", "b", "c"].entries()) {
        const { body, fields } = answers[at]!;
        assert.equal(fields[0]![1], letter);
        if (body instanceof Uint8Array) {
          assert.equal(
            new TextDecoder().decode(body),
            letter.repeat(size),
            `${delivery}, ${size}`,
          );
        }
      }
    }
  }
});

Deno.test("Client reuses the memory of a complete body only once it was given back", async () => {
  for (const reuses of [true, false]) {
    const rig = new ClientRig("reused", { reuses });
    const bodies: Uint8Array[] = [];
    for (const letter of ["a", "b", "c"]) {
      const { answer } = await rig.send();
      rig.last.receive("HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n");
      rig.last.receive(letter.repeat(5000));
      const { body, reuse } = await answer;
      assert.ok(body instanceof Uint8Array);
      assert.equal(new TextDecoder().decode(body), letter.repeat(5000));
      bodies.push(body);
      if (letter === "b") reuse?.();
    }
    const [a, b, c] = bodies.map(({ buffer }) => buffer);
    assert.notEqual(a, b);
    // It was not given back.
    assert.equal(new TextDecoder().decode(bodies[0]), "a".repeat(5000));
    if (!reuses) assert.ok(b !== c && bodies[1]![0] === 98);
  }
});

Deno.test("Client keeps a bounded number of buffers", () => {
  const { client } = new ClientRig();
  const taken = () => Array.from({ length: 100 }, () => client.takeBuffer(1));
  const buffers = taken();
  // One of another size is not kept at all.
  client.returnBuffer(new Uint8Array(1_000_000));
  for (const buffer of buffers) client.returnBuffer(buffer);
  const again = taken().filter((buffer) => buffers.includes(buffer));
  assert.equal(again.length, 64);
});

Deno.test("Client buffers a small response for a moment, and then passes it on", async () => {
  for (const delivery of DELIVERIES) {
    const rig = new ClientRig(delivery);
    const { answer } = await rig.send();
    rig.last.receive("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    const early = await Promise.race([answer, settle().then(() => "waits")]);
    assert.equal(early, "waits");
    await rig.clock.advance(20);
    const { body } = await answer;
    assert.ok(body !== null && "read" in body);
    assert.equal(new TextDecoder().decode(await body.read()), "hello");
    rig.last.receive("there");
    assert.equal(new TextDecoder().decode(await body.read()), "there");
    assert.equal(await body.read(), undefined);
    assert.equal(rig.pool.idle, 1);
  }
});

Deno.test("Client never takes a truncated response for complete", async () => {
  for (const delivery of DELIVERIES) {
    for (const { text, body, method = "GET" } of ANSWERS) {
      // What says no length ends with its connection; that may be anywhere.
      if (!/length|chunked|204|304/i.test(text)) continue;
      for (let cut = 0; cut < text.length; cut += cut < 200 ? 1 : 499) {
        const rig = new ClientRig(delivery);
        const { answer } = await rig.send({ method });
        rig.last.receive(text.slice(0, cut));
        rig.last.finish();
        const said = `${cut} bytes of ${text.slice(0, 100)}`;
        const error = await unanswered(
          answer.then(async (answer) => {
            const read = await textOf(answer);
            assert.notEqual(read, body, said);
          }),
        );
        assert.equal(error.sent, true, said);
        assert.match(error.reason, /^(?:ended|cut)$/, said);
        assert.equal(rig.last.destroyed, true, said);
        assert.equal(rig.pool.size, 0, said);
      }
    }
  }
});

Deno.test("Client tells a connection that broke from one that was ended", async () => {
  for (
    const [begin, error, reason] of [
      ["", undefined, "ended"],
      ["HTTP/1.1 2", undefined, "ended"],
      ["", new Error("reset"), "broken"],
      ["HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", undefined, "cut"],
      // Where the end is the length, only an end is whole.
      ["HTTP/1.1 200 OK\r\n\r\nhello", new Error("reset"), "cut"],
    ] as const
  ) {
    const rig = new ClientRig();
    const { answer } = await rig.send();
    rig.last.receive(begin);
    rig.last.finish(error);
    const failed = await unanswered(answer.then(textOf));
    assert.equal(failed.reason, reason);
    if (error !== undefined) assert.equal(failed.cause, error);
  }
});

Deno.test("Client refuses an answer that could be read in two ways, and ends its connection", async () => {
  for (
    const text of [
      "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
      "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
      "HTTP/1.1 200 OK\r\nX : 1\r\n\r\n",
      "HTTP/1.1 200 OK\r\nX: 1\r\n y\r\n\r\n",
      "HTTP/2 200 OK\r\n\r\n",
      "HTTP/1.1 600 OK\r\n\r\n",
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
      "SSH-2.0-OpenSSH_9.2\r\n",
      "HTTP/1.1 100 Go\r\n\r\n".repeat(4_000),
      "HTTP/1.1 200 OK\r\n" + "X: y\r\n".repeat(1_001),
      "HTTP/1.1 200 OK\r\nX: " + "y".repeat(70_000),
    ]
  ) {
    const rig = new ClientRig();
    const { answer } = await rig.send();
    rig.last.receive(text);
    const said = text.slice(0, 60);
    const error = await unanswered(answer.then(textOf));
    assert.equal(error.reason, "malformed", said);
    assert.ok(error.cause instanceof Malformed, said);
    assert.equal(error.sent, true, said);
    assert.equal(rig.last.destroyed, true, said);
  }
});

Deno.test("Client applies backpressure", async () => {
  // A client that takes nothing would otherwise have all of a large answer
  // gathered here.
  const size = 4 * 1024 * 1024;
  for (const delivery of DELIVERIES) {
    const rig = new ClientRig(delivery);
    const { answer } = await rig.send();
    const { last } = rig;
    last.receive(`HTTP/1.1 200 OK\r\nContent-Length: ${size}\r\n\r\n`);
    const { body } = await answer;
    assert.ok(body !== null && "read" in body);
    for (let at = 0; at < size; at += 64 * 1024) {
      last.receive(new Uint8Array(64 * 1024));
    }
    let read = 0;
    for (let piece; (piece = await body.read()) !== undefined;) {
      read += piece.length;
      const held = size - last.unread - read;
      assert.ok(held <= 256 * 1024, `${held} bytes here, ${read} read`);
    }
    assert.equal(read, size);
    assert.equal(rig.pool.idle, 1);
  }
});

Deno.test("Client reads a large answer in pieces that grow, and a trickle in small ones", async () => {
  const rig = new ClientRig("reused");
  const { answer } = await rig.send();
  rig.last.receive("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
  const { body } = await answer;
  assert.ok(body !== null && "read" in body);
  let most = 0;
  rig.last.receive(`${(4 << 20).toString(16)}\r\n`);
  rig.last.receive(new Uint8Array(4 << 20));
  for (let read = 0; read < 4 << 20;) {
    const piece = await body.read();
    read += piece!.length;
    most = Math.max(most, piece!.length);
  }
  assert.equal(most, 256 * 1024);
  rig.last.receive("\r\n");
  let room = Infinity;
  for (let i = 0; i < 20; i++) {
    const next = body.read();
    rig.last.receive("1\r\nx\r\n");
    room = (await next)!.buffer.byteLength;
  }
  // 500 event streams that say a few bytes each must not hold 64 KB for each.
  assert.ok(room <= 4 * 1024, `${room} bytes for one`);
});

Deno.test("Client detaches a chunk only if nothing else may be in its memory", async () => {
  // Of a socket that brings its own memory it is not known what else is there.
  for (const delivery of DELIVERIES) {
    const rig = new ClientRig(delivery);
    const { answer } = await rig.send();
    rig.last.receive("HTTP/1.1 200 OK\r\n\r\n");
    const { body } = await answer;
    assert.ok(body !== null && "read" in body);
    const next = body.read();
    rig.last.receive(new Uint8Array(100));
    const chunk = (await next)!;
    assert.equal(chunk.length, 100);
    body.detach!(chunk);
    assert.equal(chunk.length, delivery === "own" ? 100 : 0);
    body.cancel(undefined);
  }
});

Deno.test("Client detaches no chunk into whose memory the socket reads", async () => {
  const rig = new ClientRig("reused");
  const { answer } = await rig.send();
  rig.last.receive("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nab");
  // It is buffered at first, and passed on when the rest takes long.
  await rig.clock.advance(20);
  const { body } = await answer;
  assert.ok(body !== null && "read" in body);
  let text = "";
  for (const more of ["cd", "ef"]) {
    const chunk = (await body.read())!;
    text += latin1(chunk);
    body.detach!(chunk);
    rig.last.receive(more);
  }
  text += latin1((await body.read())!);
  assert.equal(text, "abcdef");
  assert.equal(await body.read(), undefined);
});

Deno.test("Client closes a connection at once when its request is aborted, at every stage", async () => {
  const why = new Error("given up");
  const head = "HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n";
  for (const delivery of DELIVERIES) {
    for (const received of ["", "HTTP/1.1", head, `${head}hello`]) {
      const rig = new ClientRig(delivery);
      const { answer, controller } = await rig.send();
      rig.last.receive(received);
      const reading = received.startsWith(head)
        ? answer.then(({ body }) => {
          assert.ok(body !== null && "read" in body);
          return received === head ? body.read() : body.read()
            .then(() => body.read());
        })
        : answer;
      reading.catch(() => {});
      await settle();
      controller.abort(why);
      await assert.rejects(reading, (error) => error === why);
      assert.equal(rig.last.destroyed, true);
      assert.equal(rig.pool.size, 0);
      assert.equal(rig.connections.length, 1);
    }
  }
});

Deno.test("Client sends nothing for a request that was aborted before", async () => {
  const rig = new ClientRig();
  const controller = new AbortController();
  const why = new Error("given up");
  controller.abort(why);
  const { answer } = await rig.send({ signal: controller.signal });
  await assert.rejects(answer, (error) => error === why);
  assert.equal(rig.connections.length, 0);
  // And for one that is given up while its connection is being made.
  const later = new AbortController();
  rig.opened = () => later.abort(why);
  const { answer: second } = await rig.send({ signal: later.signal });
  await assert.rejects(second, (error) => error === why);
  assert.equal(rig.last.written, "");
  assert.equal(rig.last.destroyed, true);
});

Deno.test("Client ends a connection at once when its answer's body is cancelled", async () => {
  for (const delivery of DELIVERIES) {
    const rig = new ClientRig(delivery);
    const { answer } = await rig.send();
    rig.last.receive("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nhello");
    const { body } = await answer;
    assert.ok(body !== null && "read" in body);
    const pending = body.read().then(() => body.read());
    await settle();
    body.cancel(new Error("not wanted"));
    assert.equal(await pending, undefined);
    assert.equal(rig.last.destroyed, true);
    assert.equal(rig.pool.size, 0);
    // What has arrived and was not read is dropped too.
    const unread = await rig.send();
    rig.last.receive("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nhello");
    const { body: dropped } = await unread.answer;
    assert.ok(dropped !== null && "read" in dropped);
    dropped.cancel(new Error("not wanted"));
    assert.equal(await dropped.read(), undefined);
    // Twice does no harm, nor does a read.
    body.cancel(undefined);
    assert.equal(await body.read(), undefined);
  }
});

Deno.test("Client removes its listener from the signal of a finished request", async () => {
  // One controller may serve several attempts: a listener that stays would end
  // the connection during another client's request.
  const rig = new ClientRig();
  const { answer, controller } = await rig.send();
  rig.last.receive("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
  await answer;
  const second = await rig.send();
  controller.abort(new Error("late"));
  assert.equal(rig.last.destroyed, false);
  rig.last.receive("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  assert.equal(await textOf(await second.answer), "ok");
  assert.equal(rig.connections.length, 1);
});

Deno.test("Client reports why there is no connection, and that nothing was sent", async () => {
  const rig = new ClientRig();
  rig.refusal = new Error("refused");
  const error = await unanswered((await rig.send()).answer);
  assert.equal(error.reason, "unconnected");
  assert.equal(error.sent, false);
  assert.equal(error.cause, rig.refusal);
  rig.refusal = undefined;
  const unsendable = await unanswered(
    (await rig.send({ fields: [["host", "a\r\nb"]] })).answer,
  );
  assert.equal(unsendable.reason, "unsendable");
  assert.equal(unsendable.sent, false);
  assert.equal(rig.last.written, "");
  assert.equal(rig.last.destroyed, true);
});

Deno.test("Client.close() ends what is under way", async () => {
  const rig = new ClientRig();
  const { answer } = await rig.send();
  rig.client.close(new Ended("stopped"));
  const error = await unanswered(answer);
  assert.equal((error.cause as Error).message, "stopped");
  assert.equal(rig.last.destroyed, true);
  assert.equal(rig.clock.pending, 0);
});

Deno.test("Client.close() ends requests to a retired backend too", async () => {
  const rig = new ClientRig();
  const { answer } = await rig.send();
  rig.client.retire(rig.pool);
  await rig.clock.advance(2_000);
  assert.equal(rig.last.destroyed, false);
  rig.client.close(new Ended("stopped"));
  assert.equal((await unanswered(answer)).reason, "ended");
  assert.equal(rig.pool.size, 0);
  assert.equal(rig.clock.pending, 0);
});

Deno.test("Client.close() ends a response that is being buffered, and leaves no timer", async () => {
  const rig = new ClientRig();
  const { answer } = await rig.send();
  rig.last.receive("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
  assert.equal(rig.clock.pending, 1);
  rig.client.close(new Ended("stopped"));
  assert.equal((await unanswered(answer)).reason, "ended");
  assert.equal(rig.clock.pending, 0);
});

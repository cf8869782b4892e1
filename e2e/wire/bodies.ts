/**
 * Request bodies: framing and bytes arrive as they were sent, a truncated
 * upload never looks complete, and neither side waits for the other without
 * need.
 *
 * @module
 */

import assert from "node:assert/strict";
import { requestText } from "../harness/client.ts";
import { until } from "../harness/wait.ts";
import { toBytes } from "../harness/wire.ts";
import type { Handler } from "../harness/backend.ts";
import type { Group, WireCase } from "./case.ts";

/** Bytes that no text decoder leaves as they are. */
function bytes(length: number): Uint8Array {
  const data = new Uint8Array(length);
  for (let i = 0; i < length; i++) data[i] = (i * 31 + (i >> 8)) & 0xff;
  return data;
}

/** Reads the upload, then answers with its size. */
const reads: Handler = async (conn, request) => {
  const body = await request.body();
  await conn.reply({ body: `${body.length}` });
};

/** A body as chunks of `size`. */
function chunked(body: Uint8Array, size: number): Uint8Array {
  const parts: number[] = [];
  for (let at = 0; at < body.length; at += size) {
    const piece = body.subarray(at, at + size);
    parts.push(
      ...toBytes(`${piece.length.toString(16)}\r\n`),
      ...piece,
      13,
      10,
    );
  }
  parts.push(...toBytes("0\r\n\r\n"));
  return Uint8Array.from(parts);
}

const METHODS = ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
const SIZES = [1, 100, 65_536, 65_537, 300_000, 2_000_000];

function declared(method: string, size: number): WireCase {
  return {
    name:
      `body: ${method} of ${size} declared bytes arrives with its length (RFC 9110 §8.6)`,
    async run(round) {
      const body = bytes(size);
      const { status, text } = await round.ask(
        requestText(method, "/up", { body }),
        reads,
      );
      assert.equal(status, 200);
      assert.equal(text, `${size}`);
      assert.equal(round.request.length, size);
      assert.equal(round.request.framing, "length");
      assert.deepEqual([...await round.request.body()], [...body]);
    },
  };
}

function inChunks(method: string, size: number, piece: number): WireCase {
  return {
    name:
      `body: ${method} of ${size} bytes in chunks of ${piece} arrives chunked (RFC 9112 §7.1)`,
    async run(round) {
      const body = bytes(size);
      const { status, text } = await round.ask(
        requestText(method, "/up", {
          headers: { "Transfer-Encoding": "chunked" },
          body: chunked(body, piece),
        }),
        reads,
      );
      assert.equal(status, 200);
      assert.equal(text, `${size}`);
      assert.equal(round.request.framing, "chunked");
      assert.deepEqual([...await round.request.body()], [...body]);
    },
  };
}

/** Uploads that a client leaves in the middle. */
const CUT: [promise: string, head: string, sent: string][] = [
  ["a declared upload", "Content-Length: 100", "0123456789"],
  ["a declared upload with nothing sent", "Content-Length: 100", ""],
  ["a declared upload one byte short", "Content-Length: 10", "012345678"],
  [
    "a chunked upload between chunks",
    "Transfer-Encoding: chunked",
    "3\r\nabc\r\n",
  ],
  ["a chunked upload inside a chunk", "Transfer-Encoding: chunked", "9\r\nabc"],
  [
    "a chunked upload without its last empty line",
    "Transfer-Encoding: chunked",
    "3\r\nabc\r\n0\r\n",
  ],
  ["a large declared upload", "Content-Length: 500000", "x".repeat(200_000)],
];

/** The cases. */
export const bodies: Group = {
  name: "bodies",
  cases: [
    ...METHODS.map((method) => declared(method, 100)),
    ...SIZES.filter((size) => size !== 100).map((size) =>
      declared("POST", size)
    ),
    // Over sockets it was left out, and servers that want a length said 411.
    declared("POST", 0),
    declared("PUT", 0),
    declared("PUT", 65_537),
    ...METHODS.map((method) => inChunks(method, 100, 7)),
    inChunks("POST", 1, 1),
    inChunks("POST", 100_000, 10_000),
    inChunks("POST", 70_000, 70_000),
    {
      name: "body: an empty chunked POST arrives as no bytes",
      async run(round) {
        const { status, text } = await round.ask(
          requestText("POST", "/up", {
            headers: { "Transfer-Encoding": "chunked" },
            body: "0\r\n\r\n",
          }),
          reads,
        );
        assert.equal(status, 200);
        assert.equal(text, "0");
      },
    },
    {
      name: "body: a POST of length 0 arrives as no bytes",
      async run(round) {
        const { status, text } = await round.ask(
          requestText("POST", "/up", { body: "" }),
          reads,
        );
        assert.equal(status, 200);
        assert.equal(text, "0");
        assert.equal(round.request.framing === "chunked", false);
      },
    },
    {
      name:
        "body: chunk sizes with zeros and upper case are read (RFC 9112 §7.1)",
      async run(round) {
        const { text } = await round.ask(
          requestText("POST", "/up", {
            headers: { "Transfer-Encoding": "chunked" },
            body: "000A\r\n0123456789\r\n0\r\n\r\n",
          }),
          reads,
        );
        assert.equal(text, "10");
        assert.equal(await round.request.text(), "0123456789");
      },
    },
    {
      name:
        "body: Transfer-Encoding: CHUNKED is chunked in any case (RFC 9112 §7)",
      async run(round) {
        const { status } = await round.ask(
          requestText("POST", "/up", {
            headers: { "Transfer-Encoding": "Chunked" },
            body: "3\r\nabc\r\n0\r\n\r\n",
          }),
          reads,
        );
        assert.equal(status, 200);
        assert.equal(await round.request.text(), "abc");
      },
    },
    {
      name: "body: trailers are dropped without harm (RFC 9110 §6.5.1)",
      async run(round) {
        const { status, text } = await round.ask(
          requestText("POST", "/up", {
            headers: { "Transfer-Encoding": "chunked", "Trailer": "X-T" },
            body: "3\r\nabc\r\n0\r\nX-T: 1\r\nContent-Length: 9\r\n\r\n",
          }),
          reads,
        );
        assert.equal(status, 200);
        assert.equal(text, "3");
        assert.deepEqual(round.request.trailers, []);
        assert.equal(round.request.header("content-length"), undefined);
        await round.stillFine();
      },
    },
    ...([
      ["Content-Length: 3", "abc"],
      ["Transfer-Encoding: chunked", "3\r\nabc\r\n0\r\n\r\n"],
    ] as const).map(([field, body]): WireCase => ({
      name:
        `body: Expect: 100-continue with ${field} is answered 100, then sent on (RFC 9110 §10.1.1)`,
      async run(round) {
        round.backend.handler = reads;
        const { connection } = round;
        await connection.write(
          `POST /up HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\n${field}\r\n\r\n`,
        );
        const head = await connection.readHead();
        assert.equal(head.status, 100);
        await connection.write(body);
        const { status, text } = await connection.readResponse();
        assert.equal(status, 200);
        assert.equal(text, "3");
      },
    })),
    {
      name:
        "body: Expect: 100-continue does not hold up a client that sends at once",
      async run(round) {
        const { status, text } = await round.ask(
          requestText("POST", "/up", {
            headers: { "Expect": "100-continue" },
            body: "abc",
          }),
          reads,
        );
        assert.equal(status, 200);
        assert.equal(text, "3");
      },
    },
    {
      name: "body: the first bytes go on before the last have come",
      async run(round) {
        const { connection, backend } = round;
        backend.handler = reads;
        await connection.write(
          "POST /up HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        );
        const request = await round.arrived();
        await until(() => request.received === 3);
        await connection.write("3\r\ndef\r\n0\r\n\r\n");
        const { text } = await connection.readResponse();
        assert.equal(text, "6");
      },
    },
    ...([
      ["declared", "Content-Length: 1000000"],
      ["chunked", "Transfer-Encoding: chunked"],
    ] as const).map(([framing, field]): WireCase => ({
      name:
        `body: an early answer to a ${framing} upload reaches the client while it sends (RFC 9112 §9.3)`,
      async run(round) {
        const { connection, backend } = round;
        backend.handler = (conn) =>
          conn.reply({
            status: 413,
            headers: { "Connection": "close" },
            body: "too much",
          });
        await connection.write(
          `POST /up HTTP/1.1\r\nHost: a.test\r\n${field}\r\n\r\n${
            framing === "chunked" ? "3\r\nabc\r\n" : "abc"
          }`,
        );
        const { status, text } = await connection.readResponse();
        assert.equal(status, 413);
        assert.equal(text, "too much");
        await round.stillFine();
      },
    })),
    {
      name: "body: full duplex: an answer streams while its upload does",
      async run(round) {
        const { connection, backend } = round;
        backend.handler = async (conn, request) => {
          await conn.send(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
          );
          for (let piece; (piece = await request.next()) !== null;) {
            await conn.chunk(piece.data);
          }
          await conn.lastChunk();
        };
        await connection.write(
          "POST /up HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n",
        );
        await connection.write("3\r\none\r\n");
        const { status } = await connection.readHead();
        assert.equal(status, 200);
        const first = await connection.readChunkOrBytes();
        assert.equal(new TextDecoder().decode(first!.data), "one");
        await connection.write("3\r\ntwo\r\n");
        const second = await connection.readChunkOrBytes();
        assert.equal(new TextDecoder().decode(second!.data), "two");
        await connection.write("0\r\n\r\n");
        assert.equal(await connection.readChunkOrBytes(), null);
      },
    },
    ...CUT.flatMap(([promise, head, sent]) =>
      (["FIN", "RST"] as const).map((end): WireCase => ({
        name:
          `body: ${promise} that ends with ${end} is never complete at the backend`,
        async run(round) {
          const { connection, backend } = round;
          let complete = false;
          backend.handler = async (conn, request) => {
            await request.body();
            complete = true;
            await conn.reply();
          };
          await connection.write(
            `POST /up HTTP/1.1\r\nHost: a.test\r\n${head}\r\n\r\n`,
          );
          await connection.write(sent);
          // What is small is read whole first, so nothing of it arrives.
          const held = /th: \d{2,3}$/.test(head);
          // Some of it is sent first, if there is any.
          if (held) await new Promise((resolve) => setTimeout(resolve, 20));
          else await round.arrived();
          if (end === "FIN") await connection.close();
          else await connection.reset();
          if (held) {
            await round.stillFine();
            assert.equal(complete, false, "the backend got a whole upload");
            return;
          }
          const { conn } = round.requests[0]!;
          await until(() => complete || conn.ending !== undefined);
          assert.equal(complete, false, "the backend got a whole upload");
          assert.equal(round.requests.length, 1, "it was not tried again");
          await round.stillFine();
        },
      }))
    ),
    {
      name:
        "body: what follows a body is the next request (RFC 9112 §9.3.2, pipelining)",
      async run(round) {
        const { connection, backend } = round;
        backend.handler = async (conn, request) => {
          await conn.reply({ body: `${request.path}:${await request.text()}` });
        };
        await connection.write(
          "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc" +
            "POST /2 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n0\r\n\r\n" +
            "GET /3 HTTP/1.1\r\nHost: a\r\n\r\n",
        );
        const texts = [];
        for (let i = 0; i < 3; i++) {
          texts.push((await connection.readResponse()).text);
        }
        assert.deepEqual(texts, ["/1:abc", "/2:de", "/3:"], texts.join("|"));
      },
    },
    {
      name: "body: bytes that come one by one arrive whole",
      on: "fresh",
      async run(round) {
        const { connection, backend } = round;
        backend.handler = reads;
        await connection.writeSlowly(
          "POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde",
          1,
          1,
        );
        assert.equal((await connection.readResponse()).text, "5");
        assert.equal(await round.request.text(), "abcde");
      },
    },
    {
      name: "body: a Content-Encoding of the upload is none of our business",
      async run(round) {
        const body = bytes(50);
        await round.ask(
          requestText("POST", "/up", {
            headers: { "Content-Encoding": "gzip", "Content-Type": "x/y" },
            body,
          }),
          reads,
        );
        assert.equal(round.request.header("content-encoding"), "gzip");
        assert.equal(round.request.header("content-type"), "x/y");
        assert.deepEqual([...await round.request.body()], [...body]);
      },
    },
  ],
};

/**
 * Streaming: what the backend sends reaches the client at once, and a stream
 * that is quiet for long stays open. The quiet ones run concurrently.
 *
 * @module
 */

import assert from "node:assert/strict";
import type { Handler } from "../harness/backend.ts";
import { RawConnection, requestText } from "../harness/client.ts";
import { delay } from "../harness/wait.ts";
import type { Group, WireCase } from "./case.ts";

const EVENTS =
  "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\nTransfer-Encoding: chunked\r\n\r\n";

/**
 * Milliseconds within which an event reaches the client; a busy machine may
 * delay one event, never most of them.
 */

function text(piece: { data: Uint8Array } | null): string {
  return new TextDecoder().decode(piece?.data);
}

function firstByte(promise: string, head: string, chunked: boolean): WireCase {
  return {
    name:
      `stream: the first byte of ${promise} comes before the second is sent`,
    on: "proven",
    async run(round) {
      const { connection, backend } = round;
      const seen = Promise.withResolvers<void>();
      backend.handler = async (conn) => {
        await conn.send(head);
        await (chunked ? conn.chunk("a") : conn.send("a"));
        await Promise.race([seen.promise, conn.closed]);
        await (chunked ? conn.chunk("b") : conn.send("b"));
        if (chunked) await conn.lastChunk();
        else await conn.end();
      };
      await connection.write(requestText("GET", "/s"));
      assert.equal((await connection.readHead()).status, 200);
      assert.equal(text(await connection.readChunkOrBytes()), "a");
      seen.resolve();
      assert.equal(text(await connection.readChunkOrBytes()), "b");
      assert.equal(await connection.readChunkOrBytes(), null);
    },
  };
}

/** The cases that are quick. */
export const streaming: Group = {
  name: "streaming",
  cases: [
    firstByte("a chunked answer", EVENTS, true),
    firstByte(
      "a declared answer",
      "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: 2\r\n\r\n",
      false,
    ),
    firstByte(
      "a large declared answer",
      `HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: 2\r\nX-A: ${
        "v".repeat(4000)
      }\r\n\r\n`,
      false,
    ),
    firstByte(
      "an answer that its close ends",
      "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\n\r\n",
      false,
    ),
    {
      name:
        "stream: the header of a stream comes before its first byte is sent",
      on: "proven",
      async run(round) {
        const { connection, backend } = round;
        const seen = Promise.withResolvers<void>();
        backend.handler = async (conn) => {
          await conn.send(EVENTS);
          await Promise.race([seen.promise, conn.closed]);
          await conn.chunk("a");
          await conn.lastChunk();
        };
        connection.wire.timeoutMs = 3_000;
        await connection.write(requestText("GET", "/s"));
        assert.equal((await connection.readHead()).status, 200);
        seen.resolve();
        assert.equal(text(await connection.readChunkOrBytes()), "a");
      },
    },
    {
      name: "stream: each event comes before the next one is sent",
      on: "proven",
      async run(round) {
        const { connection, backend } = round;
        let read = Promise.withResolvers<void>();
        backend.handler = async (conn) => {
          await conn.send(EVENTS);
          for (let i = 0; i < 20; i++) {
            await conn.chunk(`data: ${i}\n\n`);
            await read.promise;
            read = Promise.withResolvers();
          }
          await conn.lastChunk();
        };
        await connection.write(requestText("GET", "/s"));
        await connection.readHead();
        for (let i = 0; i < 20; i++) {
          const piece = await connection.readChunkOrBytes();
          assert.equal(text(piece), `data: ${i}\n\n`);
          read.resolve();
        }
      },
    },
    {
      name:
        "stream: a client that does not read holds the backend up (back-pressure)",
      on: "fresh",
      async run(round) {
        const { connection, backend } = round;
        let sent = 0;
        const piece = new Uint8Array(1 << 20).fill(97);
        const held = Promise.withResolvers<void>();
        backend.handler = async (conn) => {
          await conn.send(
            "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nTransfer-Encoding: chunked\r\n\r\n",
          );
          while (sent < 200 << 20) {
            const written = conn.chunk(piece);
            // A second without progress is being held up.
            const stuck = await Promise.race([
              written.then(() => false),
              delay(1_000).then(() => true),
            ]);
            if (stuck) {
              held.resolve();
              await written;
              break;
            }
            sent += piece.length;
          }
          held.resolve();
          await conn.lastChunk();
        };
        connection.wire.readAhead = 1;
        await connection.write(requestText("GET", "/s"));
        connection.wire.pause();
        await held.promise;
        assert.ok(sent < 100 << 20, `${sent} bytes went into nothing`);
        // And continues when it reads again.
        const answer = await connection.readResponse();
        assert.equal(answer.complete, true);
        assert.equal(answer.body.length, sent + piece.length);
      },
    },
  ],
};

/** Seconds that the quiet ones are quiet for: past every default of a runtime. */
const QUIET_MS = 15_000;

const patient: Handler = async (conn, request) => {
  switch (request.path) {
    case "/header":
      await delay(QUIET_MS);
      return conn.reply({ body: "late" });
    case "/chunked":
      await conn.send(EVENTS);
      await conn.chunk("before");
      await delay(QUIET_MS);
      await conn.chunk("after");
      return conn.lastChunk();
    case "/declared":
      await conn.send("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nbefore");
      await delay(QUIET_MS);
      return conn.send("after");
    default:
      return conn.reply({ body: await request.text() });
  }
};

function quiet(promise: string, run: WireCase["run"]): WireCase {
  return { name: `stream: ${promise} is not cut`, on: "fresh", run };
}

async function readAll(connection: RawConnection, target: string) {
  await connection.write(requestText("GET", target));
  connection.wire.timeoutMs = QUIET_MS + 15_000;
  return await connection.readResponse();
}

/** The cases that take {@linkcode QUIET_MS}. */
export const quietStreams: Group = {
  name: "quiet streams",
  together: true,
  handler: patient,
  cases: [
    quiet("a header that takes 15 s", async ({ connection }) => {
      assert.equal((await readAll(connection, "/header")).text, "late");
    }),
    quiet("a chunked stream that is quiet for 15 s", async ({ connection }) => {
      const answer = await readAll(connection, "/chunked");
      assert.equal(answer.text, "beforeafter");
      assert.equal(answer.complete, true);
    }),
    quiet(
      "a declared answer that is quiet for 15 s",
      async ({ connection }) => {
        const answer = await readAll(connection, "/declared");
        assert.equal(answer.text, "beforeafter");
        assert.equal(answer.complete, true);
      },
    ),
    quiet("an upload that is quiet for 15 s", async ({ connection }) => {
      connection.wire.timeoutMs = QUIET_MS + 15_000;
      await connection.write(
        "POST /up HTTP/1.1\r\nHost: a.test\r\nContent-Length: 11\r\n\r\nbefore",
      );
      await delay(QUIET_MS);
      await connection.write("after");
      assert.equal((await connection.readResponse()).text, "beforeafter");
    }),
    quiet(
      "a connection idle for 15 s between requests",
      async ({ connection }) => {
        await connection.request(requestText("GET", "/a"));
        await delay(QUIET_MS);
        const { status } = await connection.request(requestText("GET", "/b"));
        assert.equal(status, 200);
      },
    ),
  ],
};

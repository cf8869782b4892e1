/**
 * Responses that are truncated or not HTTP: a 502 or a visibly truncated body,
 * never a complete one, never as the response to the next request.
 *
 * @module
 */

import assert from "node:assert/strict";
import type { Handler } from "../harness/backend.ts";
import type { Group, WireCase } from "./case.ts";

/** Sends bytes, lets them arrive, and ends the connection. */
function sends(
  bytes: string,
  end: "fin" | "reset" | "stay" = "fin",
): Handler {
  return async (conn) => {
    await conn.send(bytes);
    if (end === "fin") await conn.end();
    if (end === "reset") {
      // What was sent has to be read first: a reset throws it away.
      await new Promise((resolve) => setTimeout(resolve, 50));
      await conn.reset();
    }
  };
}

// With a type, since Bun hands over only what has one without a look at it.
const OK = "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\n";

/** Bodies that end before they should. */
const CUT: [promise: string, bytes: string][] = [
  [
    "a length of 100 and 50 bytes",
    `${OK}Content-Length: 100\r\n\r\n${"x".repeat(50)}`,
  ],
  ["a length of 100 and no byte", `${OK}Content-Length: 100\r\n\r\n`],
  ["a length one byte short", `${OK}Content-Length: 5\r\n\r\nabcd`],
  [
    "a length of 1 MB and 300 KB",
    `${OK}Content-Length: 1000000\r\n\r\n${"x".repeat(300_000)}`,
  ],
  [
    "chunks without the last",
    `${OK}Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n`,
  ],
  ["a chunk cut inside", `${OK}Transfer-Encoding: chunked\r\n\r\n9\r\nabc`],
  ["a chunk size and no more", `${OK}Transfer-Encoding: chunked\r\n\r\n9\r\n`],
  ["chunked and nothing at all", `${OK}Transfer-Encoding: chunked\r\n\r\n`],
  [
    "a cut gzip body",
    `${OK}Content-Encoding: gzip\r\nContent-Length: 90\r\n\r\n\x1f\x8b\x08\0\0\0`,
  ],
  ["a cut 404", "HTTP/1.1 404 Not Found\r\nContent-Length: 9\r\n\r\nab"],
  [
    "a cut 206",
    `HTTP/1.1 206 P\r\nContent-Range: bytes 0-8/9\r\nContent-Length: 9\r\n\r\nab`,
  ],
];

/** Chunked bodies that no parser may accept (RFC 9112 §7.1). */
const BAD_CHUNKS: [promise: string, body: string][] = [
  ["a chunk size that is no hex", "xyz\r\nabc\r\n0\r\n\r\n"],
  ["a negative chunk size", "-3\r\nabc\r\n0\r\n\r\n"],
  ["a chunk size of 0x3", "0x3\r\nabc\r\n0\r\n\r\n"],
  ["a chunk size past 64 bits", "10000000000000003\r\nabc\r\n0\r\n\r\n"],
  ["no CRLF after a chunk", "3\r\nabcd\r\n0\r\n\r\n"],
  ["a chunk size with nothing", "\r\nabc\r\n0\r\n\r\n"],
];

/** What is not a response, or not one that may be forwarded. */
const NO_ANSWER: [promise: string, bytes: string][] = [
  ["nothing at all", ""],
  ["half a status line", "HTTP/1.1 20"],
  ["half a head", `${OK}Content-Le`],
  ["a head without its empty line", `${OK}Content-Length: 2\r\n`],
  [
    "garbage",
    "\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03 not http at all\r\n\r\n",
  ],
  [
    "a status line without a status",
    "HTTP/1.1 OK\r\nContent-Length: 2\r\n\r\nok",
  ],
  ["another protocol", "SSH-2.0-OpenSSH_9.2\r\n\r\n"],
  ["HTTP/2 in plain", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
  ["HTTP/3.0 as a version", "HTTP/3.0 200 OK\r\nContent-Length: 2\r\n\r\nok"],
  ["HTTP/9.9 as a version", "HTTP/9.9 200 OK\r\nContent-Length: 2\r\n\r\nok"],
  [
    "two different lengths (RFC 9112 §6.3)",
    `${OK}Content-Length: 2\r\nContent-Length: 3\r\n\r\nok`,
  ],
  ["a length that is a list of two", `${OK}Content-Length: 2, 3\r\n\r\nok`],
  ["a negative length", `${OK}Content-Length: -1\r\n\r\nok`],
  ["a length with a sign", `${OK}Content-Length: +2\r\n\r\nok`],
  ["a length in hex", `${OK}Content-Length: 0x2\r\n\r\nok`],
  ["a length that is no number", `${OK}Content-Length: two\r\n\r\nok`],
  [
    "a length past 64 bits",
    `${OK}Content-Length: 99999999999999999999999\r\n\r\nok`,
  ],
  [
    "a NUL in a field value (RFC 9110 §5.5)",
    `${OK}X-A: a\0b\r\nContent-Length: 2\r\n\r\nok`,
  ],
  [
    "a bare CR in a field value",
    `${OK}X-A: a\rb\r\nContent-Length: 2\r\n\r\nok`,
  ],
  ["a field name with a space", `${OK}X A: b\r\nContent-Length: 2\r\n\r\nok`],
  [
    "a space before the colon (RFC 9112 §5.1)",
    `${OK}Content-Length : 2\r\n\r\nok`,
  ],
  ["a line without a colon", `${OK}nonsense\r\nContent-Length: 2\r\n\r\nok`],
  ["a field without a name", `${OK}: a\r\nContent-Length: 2\r\n\r\nok`],
  ["status 099", "HTTP/1.1 099 X\r\nContent-Length: 2\r\n\r\nok"],
  ["status 999", "HTTP/1.1 999 X\r\nContent-Length: 2\r\n\r\nok"],
  ["status 600", "HTTP/1.1 600 X\r\nContent-Length: 2\r\n\r\nok"],
  ["status 2000", "HTTP/1.1 2000 X\r\nContent-Length: 2\r\n\r\nok"],
  ["status 20", "HTTP/1.1 20 X\r\nContent-Length: 2\r\n\r\nok"],
  ["status -20", "HTTP/1.1 -20 X\r\nContent-Length: 2\r\n\r\nok"],
  [
    "an unasked 101 (RFC 9110 §15.2.2)",
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
  ],
  [
    "an empty line before the status line (RFC 9112 §2.1)",
    `\r\n${OK}Content-Length: 2\r\n\r\nok`,
  ],
  ["HTTP/1.2 as a version", "HTTP/1.2 200 OK\r\nContent-Length: 2\r\n\r\nok"],
  [
    "several spaces behind the version (RFC 9112 §4)",
    "HTTP/1.1   200 OK\r\nContent-Length: 2\r\n\r\nok",
  ],
  ["a 100 and no more", "HTTP/1.1 100 Continue\r\n\r\n"],
];

/** The request after a failure, on the same client connection. */
function visibly(promise: string, handler: Handler): WireCase {
  return {
    name: `broken: ${promise} is a 502 or a body that is visibly cut`,
    on: "proven",
    async run(round) {
      const answer = await round.get("/broken", [], handler);
      if (answer.status === 502) {
        assert.equal(answer.complete, true);
        assert.match(answer.header("proxy-status") ?? "", /^sluice; error=/);
      } else {
        assert.equal(answer.complete, false, `${answer.status} looks whole`);
      }
      await round.stillFine();
    },
  };
}

/** A 502 and nothing else: nothing that could be passed on has come. */
function badGateway(promise: string, handler: Handler): WireCase {
  return {
    name: `broken: ${promise} is a 502 (RFC 9110 §15.6.3)`,
    on: "proven",
    async run(round) {
      const answer = await round.get("/broken", [], handler);
      assert.equal(answer.status, 502);
      assert.match(answer.header("proxy-status") ?? "", /^sluice; error=/);
      assert.doesNotMatch(answer.text, /127\.0\.0\.1|at |Error/);
      // The same connection carries the next request.
      const next = await round.get(
        "/next",
        [],
        (conn) => conn.reply({ body: "next" }),
      );
      assert.equal(next.text, "next");
    },
  };
}

/** Bytes that come after an answer that was whole. */
const EXTRA: [promise: string, bytes: string, text: string][] = [
  ["bytes past the length", `${OK}Content-Length: 2\r\n\r\nok and more`, "ok"],
  [
    "a second answer past the length",
    `${OK}Content-Length: 2\r\n\r\nok${OK}Content-Length: 6\r\n\r\nforged`,
    "ok",
  ],
  [
    "bytes past the last chunk",
    `${OK}Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nmore`,
    "ok",
  ],
  [
    "a second answer past the last chunk",
    `${OK}Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n${OK}Content-Length: 6\r\n\r\nforged`,
    "ok",
  ],
  [
    "a body past a 204",
    `HTTP/1.1 204 N\r\n\r\n${OK}Content-Length: 6\r\n\r\nforged`,
    "",
  ],
  [
    "a body past a 304",
    `HTTP/1.1 304 N\r\n\r\n${OK}Content-Length: 6\r\n\r\nforged`,
    "",
  ],
  [
    "a length on a 204",
    `HTTP/1.1 204 N\r\nContent-Length: 6\r\n\r\nforged`,
    "",
  ],
];

/** The cases. */
export const broken: Group = {
  name: "broken",
  // Each case would otherwise be answered by a second try of the same script.
  env: () => ({ RETRIES: "0", EJECT_AFTER: "off" }),
  cases: [
    ...CUT.flatMap(([promise, bytes]) => [
      visibly(`${promise}, ended by FIN`, sends(bytes)),
      visibly(`${promise}, ended by RST`, sends(bytes, "reset")),
    ]),
    ...BAD_CHUNKS.map(([promise, body]) =>
      visibly(
        promise,
        sends(`${OK}Transfer-Encoding: chunked\r\n\r\n${body}`, "stay"),
      )
    ),
    visibly(
      "a close-delimited body that ends with RST (RFC 9112 §8)",
      sends(`${OK}\r\nuntil the end`, "reset"),
    ),
    ...NO_ANSWER.map(([promise, bytes]) => badGateway(promise, sends(bytes))),
    badGateway("a reset instead of an answer", (conn) => conn.reset()),
    ...EXTRA.map(([promise, bytes, text]): WireCase => ({
      name: `broken: ${promise} is never the next request's answer (CWE-444)`,
      on: "proven",
      async run(round) {
        const answer = await round.get("/one", [], sends(bytes, "stay"));
        assert.equal(answer.text, text);
        for (let i = 0; i < 3; i++) {
          const next = await round.get(
            "/two",
            [],
            (conn) => conn.reply({ body: "next" }),
          );
          assert.equal(next.text, "next");
        }
      },
    })),
    {
      name:
        "broken: an answer sent before its request is never that request's (CWE-444)",
      async run(round) {
        const answer = await round.get("/one", [], async (conn) => {
          await conn.reply({ body: "one" });
          // On the connection that is idle now.
          await conn.send(`${OK}Content-Length: 6\r\n\r\nforged`);
        });
        assert.equal(answer.text, "one");
        const next = await round.get(
          "/two",
          [],
          (conn) => conn.reply({ body: "next" }),
        );
        assert.equal(next.text, "next");
      },
    },
    {
      name:
        "broken: a length together with chunked is read as chunked, once (RFC 9112 §6.3)",
      on: "proven",
      async run(round) {
        const answer = await round.get(
          "/one",
          [],
          sends(
            `${OK}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n`,
            "stay",
          ),
        );
        // Either is safe: what is not is both fields to the client.
        if (answer.status === 200) {
          assert.equal(answer.text, "ok");
          assert.equal(answer.complete, true);
        } else assert.equal(answer.status, 502);
        await round.stillFine();
      },
    },
    ...([
      ["gzip, chunked", "3\r\nabc\r\n0\r\n\r\n"],
      ["identity", "abc"],
      ["chunked, identity", "3\r\nabc\r\n0\r\n\r\n"],
      ["xchunked", "3\r\nabc\r\n0\r\n\r\n"],
    ] as const).map(([coding, body]): WireCase => ({
      name:
        `broken: Transfer-Encoding: ${coding} never makes two answers of one (RFC 9112 §6.1)`,
      on: "proven",
      async run(round) {
        await round.get(
          "/one",
          [],
          sends(`${OK}Transfer-Encoding: ${coding}\r\n\r\n${body}`),
        );
        await round.stillFine();
      },
    })),
    {
      name: "broken: a folded field is unfolded or a 502 (RFC 9112 §5.2)",
      async run(round) {
        const answer = await round.get(
          "/one",
          [],
          sends(`${OK}X-A: a\r\n b\r\nContent-Length: 2\r\n\r\nok`),
        );
        if (answer.status === 200) {
          assert.equal(answer.header("x-a")?.replace(/\s+/g, " "), "a b");
        } else assert.equal(answer.status, 502);
        await round.stillFine();
      },
    },
    {
      name:
        "broken: a head of 1 MB is a 502 or arrives whole, and the next request is answered",
      async run(round) {
        const answer = await round.get(
          "/one",
          [],
          sends(
            `${OK}X-A: ${"v".repeat(1_000_000)}\r\nContent-Length: 2\r\n\r\nok`,
          ),
        );
        if (answer.status !== 502) {
          assert.equal(answer.header("x-a")?.length, 1_000_000);
          assert.equal(answer.text, "ok");
        }
        await round.stillFine();
      },
    },
    {
      name: "broken: 1000 fields are a 502, and the next request is answered",
      async run(round) {
        const fields = Array.from({ length: 1000 }, (_, i) => `X-${i}: 1\r\n`);
        const answer = await round.get(
          "/one",
          [],
          sends(`${OK}${fields.join("")}Content-Length: 2\r\n\r\nok`),
        );
        assert.equal(answer.status, 502);
        await round.stillFine();
      },
    },
  ],
};

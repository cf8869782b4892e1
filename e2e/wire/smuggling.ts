/**
 * Requests that are meant to be read in two ways: the backend sees nothing, or
 * exactly one request that a strict parser reads as we did (RFC 9112 §11.2).
 *
 * @module
 */

import assert from "node:assert/strict";
import { delay } from "../harness/wait.ts";
import { PeerGone, toBytes } from "../harness/wire.ts";
import type { Group, Round, WireCase } from "./case.ts";

/** The request that every attack here tries to smuggle to the backend. */
const HIDDEN = "GET /hidden HTTP/1.1\r\nHost: a.test\r\n\r\n";

/** A head with these framing fields, and then the bytes. */
function post(framing: string, body: string): string {
  return `POST /outer HTTP/1.1\r\nHost: a.test\r\n${framing}\r\n\r\n${body}`;
}

/** CL.TE: a chunked body that ends early, within the length. */
const CL_TE = `0\r\n\r\n${HIDDEN}`;

/** Framing that is ambiguous or invalid: no request may result from it. */
const REFUSED: [promise: string, bytes: string][] = [
  [
    "a length with chunked (CL.TE)",
    post(
      `Content-Length: ${CL_TE.length}\r\nTransfer-Encoding: chunked`,
      CL_TE,
    ),
  ],
  [
    "chunked with a length (TE.CL)",
    post(
      "Transfer-Encoding: chunked\r\nContent-Length: 4",
      `5c\r\n${HIDDEN}\r\n0\r\n\r\n`,
    ),
  ],
  [
    "a length with chunked in capitals",
    post(
      `Content-Length: ${CL_TE.length}\r\nTRANSFER-ENCODING: CHUNKED`,
      CL_TE,
    ),
  ],
  [
    "a length with ` chunked`",
    post(
      `Content-Length: ${CL_TE.length}\r\nTransfer-Encoding:  chunked`,
      CL_TE,
    ),
  ],
  [
    "a length with `chunked` behind a tab",
    post(
      `Content-Length: ${CL_TE.length}\r\nTransfer-Encoding:\tchunked`,
      CL_TE,
    ),
  ],
  [
    "a length with `chunked` and a vertical tab",
    post(
      `Content-Length: ${CL_TE.length}\r\nTransfer-Encoding: \x0bchunked`,
      CL_TE,
    ),
  ],
  [
    "a length with `xchunked`",
    post(
      `Content-Length: ${CL_TE.length}\r\nTransfer-Encoding: xchunked`,
      CL_TE,
    ),
  ],
  [
    "a length with `chunked, identity`",
    post(
      `Content-Length: ${CL_TE.length}\r\nTransfer-Encoding: chunked, identity`,
      CL_TE,
    ),
  ],
  [
    "a length with `identity, chunked`",
    post(
      `Content-Length: ${CL_TE.length}\r\nTransfer-Encoding: identity, chunked`,
      CL_TE,
    ),
  ],
  [
    "a length with two codings on two lines",
    post(
      `Content-Length: ${CL_TE.length}\r\nTransfer-Encoding: identity\r\nTransfer-Encoding: chunked`,
      CL_TE,
    ),
  ],
  [
    'a length with `"chunked"`',
    post(
      `Content-Length: ${CL_TE.length}\r\nTransfer-Encoding: "chunked"`,
      CL_TE,
    ),
  ],
  [
    "a length with `chunked;a=b`",
    post(
      `Content-Length: ${CL_TE.length}\r\nTransfer-Encoding: chunked;a=b`,
      CL_TE,
    ),
  ],
  [
    "a length with `chunked,`",
    post(
      `Content-Length: ${CL_TE.length}\r\nTransfer-Encoding: chunked,`,
      CL_TE,
    ),
  ],
  [
    "chunked twice",
    post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", CL_TE),
  ],
  ["chunked, chunked", post("Transfer-Encoding: chunked, chunked", CL_TE)],
  [
    "gzip, chunked (RFC 9112 §6.1: 501)",
    post("Transfer-Encoding: gzip, chunked", "0\r\n\r\n"),
  ],
  ["gzip alone", post("Transfer-Encoding: gzip", CL_TE)],
  ["identity alone", post("Transfer-Encoding: identity", HIDDEN)],
  ["an empty coding", post("Transfer-Encoding:", HIDDEN)],
  [
    "a space before the colon of the coding (RFC 9112 §5.1)",
    post(
      `Content-Length: ${CL_TE.length}\r\nTransfer-Encoding : chunked`,
      CL_TE,
    ),
  ],
  [
    "a space before the colon of the length",
    post(`Content-Length : ${HIDDEN.length}`, HIDDEN),
  ],
  ["a tab before the colon", post(`Transfer-Encoding\t: chunked`, CL_TE)],
  [
    "a folded coding (RFC 9112 §5.2)",
    post(
      `Content-Length: ${CL_TE.length}\r\nTransfer-Encoding:\r\n chunked`,
      CL_TE,
    ),
  ],
  ["a folded length", post(`Content-Length:\r\n ${HIDDEN.length}`, HIDDEN)],
  [
    "a first field that is folded",
    `GET /outer HTTP/1.1\r\n Host: a.test\r\nHost: a.test\r\n\r\n`,
  ],
  [
    "two different lengths",
    post(`Content-Length: 0\r\nContent-Length: ${HIDDEN.length}`, HIDDEN),
  ],
  [
    "two different lengths in a list",
    post(`Content-Length: 0, ${HIDDEN.length}`, HIDDEN),
  ],
  ["a length twice in a list", post("Content-Length: 3, 3", "abc")],
  ["a length with a plus", post("Content-Length: +3", "abc")],
  ["a length with a minus", post("Content-Length: -3", "abc")],
  ["a length in hex", post("Content-Length: 0x3", "abc")],
  ["a length with an exponent", post("Content-Length: 3e0", "abc")],
  ["a length with a point", post("Content-Length: 3.0", "abc")],
  ["a length with an underscore", post("Content-Length: 1_0", "0123456789")],
  ["a length with a space inside", post("Content-Length: 1 0", "0123456789")],
  [
    "a length past 64 bits",
    post("Content-Length: 18446744073709551619", "abc"),
  ],
  [
    "a length past 53 bits, which would be sent on as another number",
    post("Content-Length: 18446744073709551615", "abc"),
  ],
  ["a length of 30 digits", post(`Content-Length: ${"9".repeat(30)}`, "abc")],
  ["a length in Arabic digits", post("Content-Length: \xd9\xa3", "abc")],
  ["an empty length", post("Content-Length:", HIDDEN)],
  ["a length with a trailing letter", post("Content-Length: 3a", "abc")],
  [
    "a NUL in a field name",
    `GET /outer HTTP/1.1\r\nHost: a.test\r\nX\0A: 1\r\n\r\n`,
  ],
  [
    "a NUL in a field value",
    `GET /outer HTTP/1.1\r\nHost: a.test\r\nX-A: 1\0\r\n\r\n`,
  ],
  [
    "a DEL in a field value (Bun's server takes it, RFC 9110 §5.5)",
    `GET /outer HTTP/1.1\r\nHost: a.test\r\nX-A: 1\x7f\r\n\r\n`,
  ],
  [
    "a control character in a field value",
    `GET /outer HTTP/1.1\r\nHost: a.test\r\nX-A: 1\x01\r\n\r\n`,
  ],
  [
    "a bare CR in a field value",
    `GET /outer HTTP/1.1\r\nHost: a.test\r\nX-A: 1\rX-B: 2\r\n\r\n`,
  ],
  [
    "a bare CR as the line's end",
    `GET /outer HTTP/1.1\rHost: a.test\r\r${HIDDEN}`,
  ],
  [
    "a name with a space",
    `GET /outer HTTP/1.1\r\nHost: a.test\r\nX A: 1\r\n\r\n`,
  ],
  [
    "a line without a colon",
    `GET /outer HTTP/1.1\r\nHost: a.test\r\nnonsense\r\n\r\n`,
  ],
  ["an empty name", `GET /outer HTTP/1.1\r\nHost: a.test\r\n: 1\r\n\r\n`],
  [
    "a name with a raw byte",
    `GET /outer HTTP/1.1\r\nHost: a.test\r\nX-\xe9: 1\r\n\r\n`,
  ],
  [
    "a name with a parenthesis",
    `GET /outer HTTP/1.1\r\nHost: a.test\r\nX(A): 1\r\n\r\n`,
  ],
  ["HTTP/0.9", "GET /outer\r\n\r\n"],
  ["HTTP/0.9 with a host", "GET /outer\r\nHost: a.test\r\n\r\n"],
  ["HTTP/1.2", "GET /outer HTTP/1.2\r\nHost: a.test\r\n\r\n"],
  ["HTTP/2.0 in text", "GET /outer HTTP/2.0\r\nHost: a.test\r\n\r\n"],
  ["HTTP/9.9", "GET /outer HTTP/9.9\r\nHost: a.test\r\n\r\n"],
  ["HTTP/1.10", "GET /outer HTTP/1.10\r\nHost: a.test\r\n\r\n"],
  ["HTTP/01.1", "GET /outer HTTP/01.1\r\nHost: a.test\r\n\r\n"],
  ["http/1.1 in lower case", "GET /outer http/1.1\r\nHost: a.test\r\n\r\n"],
  ["HTTP / 1.1", "GET /outer HTTP / 1.1\r\nHost: a.test\r\n\r\n"],
  [
    "two spaces in the request line",
    "GET  /outer HTTP/1.1\r\nHost: a.test\r\n\r\n",
  ],
  [
    "a tab in the request line",
    "GET\t/outer\tHTTP/1.1\r\nHost: a.test\r\n\r\n",
  ],
  [
    "a space in front of the method",
    " GET /outer HTTP/1.1\r\nHost: a.test\r\n\r\n",
  ],
  [
    "a space at the end of the request line",
    "GET /outer HTTP/1.1 \r\nHost: a.test\r\n\r\n",
  ],
  [
    "a TLS hello on the plain port",
    "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + "\x01".repeat(160),
  ],
  ["random bytes", "\x00\xff\xfe\x80garbage\r\n\r\n"],
  [
    "HTTP/1.0 with chunked (RFC 9112 §6.1)",
    "POST /outer HTTP/1.0\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" +
    HIDDEN,
  ],
];

/** Chunked bodies that no parser may accept unchanged (RFC 9112 §7.1). */
const BAD_CHUNKS: [promise: string, body: string][] = [
  ["a size that is no hex", "xyz\r\nabc\r\n0\r\n\r\n"],
  ["a size with 0x", "0x3\r\nabc\r\n0\r\n\r\n"],
  ["a size with a minus", "-3\r\nabc\r\n0\r\n\r\n"],
  ["a size with a plus", "+3\r\nabc\r\n0\r\n\r\n"],
  ["a size with an underscore", "1_0\r\n0123456789abcdef\r\n0\r\n\r\n"],
  [
    "a size past 64 bits (it must not wrap to 3)",
    "10000000000000003\r\nabc\r\n0\r\n\r\n",
  ],
  [
    "a size of 33 digits",
    `${"0".repeat(16)}f${"f".repeat(16)}\r\nabc\r\n0\r\n\r\n`,
  ],
  ["an empty size", "\r\nabc\r\n0\r\n\r\n"],
  ["no CRLF behind the data", "3\r\nabcX0\r\n\r\n"],
  ["LF alone behind the data", "3\r\nabc\n0\r\n\r\n"],
  ["LF alone behind the size", "3\nabc\r\n0\r\n\r\n"],
  ["a bare CR behind the size", "3\rabc\r\n0\r\n\r\n"],
  [
    "LF alone inside an extension (CVE-2024-27982 class)",
    "3;a\nbc\r\nabc\r\n0\r\n\r\n",
  ],
  ["a bare CR inside an extension", "3;a\rb\r\nabc\r\n0\r\n\r\n"],
  ["a NUL behind the size", "3\0\r\nabc\r\n0\r\n\r\n"],
];

/** Asserts that nothing was smuggled, and at most one outer request sent. */
function nothingHidden(round: Round): void {
  for (const { path } of round.requests) {
    assert.notEqual(path, "/hidden", "the hidden request got through");
  }
}

/** The bytes cause no request at the backend. */
function noRequest(promise: string, bytes: string): WireCase {
  return {
    name: `smuggling: ${promise} reaches no backend`,
    async run(round) {
      const answer = await round.ask(toBytes(bytes));
      assert.deepEqual(round.requests.map(({ target }) => target), []);
      assert.notEqual(answer.status, 200);
      await round.stillFine();
    },
  };
}

/** The bytes are no request, or one that both sides read in the same way. */
function atMostOne(promise: string, bytes: string, body: string): WireCase {
  return {
    name: `smuggling: ${promise} is refused, or one request and no more`,
    async run(round) {
      await round.ask(toBytes(bytes), async (conn, request) => {
        await request.body();
        await conn.reply({ body: "ok" });
      });
      nothingHidden(round);
      for (const request of round.requests) {
        assert.equal(request.path, "/outer");
        if (request.complete) assert.equal(await request.text(), body);
      }
      assert.ok(round.requests.length <= 1);
      await round.stillFine();
    },
  };
}

/** Two requests, of which the second must be read where the first ended. */
function two(promise: string, first: string, body: string): WireCase {
  return {
    name: `smuggling: ${promise} ends where it says, and the next begins there`,
    async run(round) {
      const { connection, backend } = round;
      backend.handler = async (conn, request) => {
        await conn.reply({ body: `${request.path} ${await request.text()}` });
      };
      await connection.write(first);
      assert.equal((await connection.readResponse()).text, `/outer ${body}`);
      await connection.write(
        "GET /second HTTP/1.1\r\nHost: a.test\r\n\r\n",
      );
      assert.equal((await connection.readResponse()).text, "/second ");
      assert.equal(round.requests.length, 2);
    },
  };
}

/** The cases. */
export const smuggling: Group = {
  name: "smuggling",
  cases: [
    ...REFUSED.map(([promise, bytes]) => noRequest(promise, bytes)),
    ...BAD_CHUNKS.map(([promise, body]): WireCase => ({
      name:
        `smuggling: chunks with ${promise} never make a whole request (RFC 9112 §7.1)`,
      async run(round) {
        let complete = 0;
        round.backend.handler = async (conn, request) => {
          const text = await request.text();
          complete++;
          await conn.reply({ body: text });
        };
        const { connection } = round;
        await connection.write(
          toBytes(post("Transfer-Encoding: chunked", body) + HIDDEN),
        );
        const answer = await connection.readResponse();
        assert.notEqual(answer.status, 200);
        assert.equal(complete, 0, "the backend got a whole request");
        nothingHidden(round);
        await round.stillFine();
      },
    })),
    atMostOne(
      "lines that end in LF alone (RFC 9112 §2.2)",
      `GET /outer HTTP/1.1\nHost: a.test\n\n`,
      "",
    ),
    atMostOne(
      "an LF alone before the body",
      `POST /outer HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\n\nabc`,
      "abc",
    ),
    atMostOne(
      "two equal lengths (RFC 9110 §8.6)",
      post("Content-Length: 3\r\nContent-Length: 3", "abc"),
      "abc",
    ),
    atMostOne(
      "a length with leading zeros",
      post("Content-Length: 0003", "abc"),
      "abc",
    ),
    atMostOne(
      "Content_Length with an underscore",
      post("Content_Length: 3\r\nContent-Length: 3", "abc"),
      "abc",
    ),
    atMostOne(
      "Transfer_Encoding with an underscore",
      post("Transfer_Encoding: chunked\r\nContent-Length: 3", "abc"),
      "abc",
    ),
    atMostOne(
      "Content-Length named away by Connection",
      post("Connection: Content-Length\r\nContent-Length: 3", "abc"),
      "abc",
    ),
    atMostOne(
      "Transfer-Encoding named away by Connection",
      post(
        "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked",
        "3\r\nabc\r\n0\r\n\r\n",
      ),
      "abc",
    ),
    atMostOne(
      "a chunk size in front of which is a space",
      post("Transfer-Encoding: chunked", " 3\r\nabc\r\n0\r\n\r\n"),
      "abc",
    ),
    atMostOne(
      "empty lines before the request line (RFC 9112 §2.2)",
      "\r\n\r\nGET /outer HTTP/1.1\r\nHost: a.test\r\n\r\n",
      "",
    ),
    two("a declared body", post("Content-Length: 3", "abc"), "abc"),
    two(
      "a declared body that looks like a request",
      post(`Content-Length: ${HIDDEN.length}`, HIDDEN),
      HIDDEN,
    ),
    two(
      "a chunked body that looks like a request",
      post(
        "Transfer-Encoding: chunked",
        `${HIDDEN.length.toString(16)}\r\n${HIDDEN}\r\n0\r\n\r\n`,
      ),
      HIDDEN,
    ),
    two(
      "a chunked body with extensions (RFC 9112 §7.1.1)",
      post("Transfer-Encoding: chunked", '3;a="b";c\r\nabc\r\n0;d\r\n\r\n'),
      "abc",
    ),
    two(
      "a DELETE of length 0",
      "DELETE /outer HTTP/1.1\r\nHost: a.test\r\nContent-Length: 0\r\n\r\n",
      "",
    ),
    {
      name:
        "smuggling: the bytes of a refused body are not the next request (CWE-444)",
      async run(round) {
        // Refused for its method, with a body that is a request.
        const { connection } = round;
        await connection.write(
          `GET /outer HTTP/1.1\r\nHost: a.test\r\nContent-Length: ${HIDDEN.length}\r\n\r\n${HIDDEN}`,
        );
        const answer = await connection.readResponse();
        assert.equal(answer.status, 400);
        await round.stillFine();
        nothingHidden(round);
      },
    },
    {
      name:
        "smuggling: the bytes of a body refused by the proxy for TRACE are not a request",
      async run(round) {
        const { connection } = round;
        await connection.write(
          `TRACE /outer HTTP/1.1\r\nHost: a.test\r\nContent-Length: ${HIDDEN.length}\r\n\r\n${HIDDEN}`,
        );
        const answer = await connection.readResponse();
        assert.ok(answer.status === 405 || answer.status === 400);
        await round.stillFine();
        nothingHidden(round);
      },
    },
    {
      name:
        "smuggling: a CONNECT that is refused leaves no half-open tunnel behind",
      // Bun took what followed for a tunnel's bytes and never answered it.
      async run(round) {
        const { connection } = round;
        await connection.write(
          "CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n",
        );
        const answer = await connection.readResponse({ method: "POST" });
        assert.equal(answer.status, 501);
        assert.equal(answer.header("connection"), "close");
        await connection.write(HIDDEN).catch((error) => {
          if (!(error instanceof PeerGone)) throw error;
        });
        const next = await connection.readResponse();
        assert.ok(next.closed || next.status !== 0, "answered or closed");
      },
    },
    {
      name:
        "smuggling: a head whose last lines end in LF and CRLF is answered in two packets too",
      async run(round) {
        const { connection } = round;
        await connection.write("GET /outer HTTP/1.1\r\nHost: a.test\r\nX-A: 1");
        // Two packets are two reads only if the first was read by itself.
        await delay(50);
        connection.wire.timeoutMs = 1_000;
        await connection.write("\n\r\n");
        const answer = await connection.readResponse();
        assert.ok(answer.status === 200 || answer.status === 400);
      },
    },
    {
      name:
        "smuggling: malformed chunks behind a refused head bring no second answer",
      async run(round) {
        const { connection } = round;
        await connection.write(
          "POST /outer HTTP/1.1\r\nHost: a.test\r\nHost: a.test\r\n" +
            "Transfer-Encoding: chunked\r\n\r\nxyz\r\nabc\r\n0\r\n\r\n",
        );
        const answer = await connection.readResponse({ method: "POST" });
        assert.equal(answer.status, 400);
        assert.equal(answer.problem, undefined);
      },
    },
    {
      name: "smuggling: a head that never ends is given up on (CWE-400)",
      on: "fresh",
      async run(round) {
        const { connection } = round;
        const line = `X-A: ${"a".repeat(4_000)}\r\n`;
        await connection.write("GET /outer HTTP/1.1\r\nHost: a.test\r\n");
        let sent = 0;
        while (connection.wire.ending === undefined && sent < 8_000_000) {
          if (connection.wire.buffered > 0) break;
          await connection.write(line).catch(() => {});
          sent += line.length;
        }
        assert.ok(sent < 8_000_000, "8 MB of head were taken");
        assert.equal(round.requests.length, 0);
        await round.stillFine();
      },
    },
  ],
};

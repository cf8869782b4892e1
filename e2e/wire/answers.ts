/**
 * Responses: status, length and bytes come back as the backend sent them.
 *
 * @module
 */

import assert from "node:assert/strict";
import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib";
import type { Handler, Reply } from "../harness/backend.ts";
import { requestText } from "../harness/client.ts";
import { delay } from "../harness/wait.ts";
import { toLatin1 } from "../harness/wire.ts";
import type { Group, Round, WireCase } from "./case.ts";

/** RFC 9110 §15, RFC 6585, RFC 7725, and numbers that no RFC has. */
const STATUSES = [
  200,
  201,
  202,
  203,
  206,
  207,
  208,
  218,
  226,
  299,
  300,
  301,
  302,
  303,
  307,
  308,
  310,
  399,
  400,
  401,
  402,
  403,
  404,
  405,
  406,
  407,
  408,
  409,
  410,
  411,
  412,
  413,
  414,
  415,
  416,
  417,
  418,
  419,
  421,
  422,
  423,
  424,
  425,
  426,
  428,
  429,
  431,
  444,
  451,
  499,
  500,
  501,
  502,
  503,
  504,
  505,
  506,
  507,
  508,
  510,
  511,
  520,
  599,
];

/** Statuses without a body by definition (RFC 9110 §6.4.1). */
const EMPTY = [204, 304];

function comesBack(status: number): WireCase {
  return {
    name: `answer: ${status} comes back with and without a body (RFC 9110 §15)`,
    on: "proven",
    async run(round) {
      for (const body of ["body of it", ""]) {
        const headers = { "Content-Type": "text/plain" };
        const answer = await round.get(
          "/",
          [],
          (conn) => conn.reply({ status, headers, body }),
        );
        assert.equal(answer.status, status);
        assert.equal(answer.text, body);
        assert.equal(answer.header("content-length"), `${body.length}`);
        assert.equal(answer.header("proxy-status"), undefined);
      }
      assert.equal(round.requests.length, 2, "none was tried again");
    },
  };
}

function large(size: number): Uint8Array {
  return new Uint8Array(size).fill(97);
}

/** A declared answer keeps its length. */
function keepsLength(promise: string, size: number, slow: boolean): WireCase {
  return {
    name: `answer: ${promise} keeps its Content-Length (RFC 9110 §8.6)`,
    on: "proven",
    async run(round) {
      const body = large(size);
      const answer = await round.get("/", [], async (conn) => {
        const headers = { "Content-Type": "a/b" };
        if (!slow) return conn.reply({ headers, body });
        await conn.send(
          `HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Length: ${size}\r\n\r\n`,
        );
        // Half of it is at the client before the rest is sent.
        await conn.send(body.subarray(0, size / 2));
        await delay(100);
        await conn.send(body.subarray(size / 2));
      });
      assert.equal(answer.complete, true);
      assert.equal(answer.body.length, size);
      assert.equal(answer.header("content-length"), `${size}`);
    },
  };
}

const TEXT = "compressed, byte for byte. ".repeat(40);

/** Content codings applied to {@linkcode TEXT}, or to anything. */
const CODINGS: [coding: string, body: Uint8Array][] = [
  ["gzip", gzipSync(TEXT)],
  ["br", brotliCompressSync(TEXT)],
  ["deflate", deflateSync(TEXT)],
  // There is no encoder here; the promise is only that the body is not decoded.
  [
    "zstd",
    Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 4, 0, 1, 0, 0, 97, 0, 0, 0, 0),
  ],
  ["x-unknown", Uint8Array.of(0, 1, 2, 255)],
  ["identity", new TextEncoder().encode(TEXT)],
  ["gzip, br", brotliCompressSync(gzipSync(TEXT))],
];

/** One coding, its ETag and its framing, as they were sent. */
function undecoded(
  coding: string,
  body: Uint8Array,
  framing: "length" | "chunked",
  asked: string | undefined,
): WireCase {
  return {
    name: `answer: Content-Encoding ${coding} (${framing}) asked for by ${
      asked === undefined ? "no client" : `"${asked}"`
    } comes byte for byte with its ETag (RFC 9110 §8.4, §8.8.3)`,
    on: "proven",
    async run(round) {
      const answer = await round.get(
        "/",
        asked === undefined ? [] : [["Accept-Encoding", asked]],
        (conn) =>
          conn.reply({
            framing,
            headers: {
              "Content-Encoding": coding,
              "Content-Type": "text/plain",
              "ETag": '"strong"',
              "Vary": "Accept-Encoding",
            },
            body,
          }),
      );
      assert.equal(answer.header("content-encoding"), coding);
      assert.equal(answer.header("etag"), '"strong"');
      assert.equal(toLatin1(answer.body), toLatin1(body));
      assert.equal(answer.complete, true);
    },
  };
}

/** What a response to HEAD and a 304 say of the body they do not have. */
const BODILESS: [
  promise: string,
  method: string,
  reply: Reply,
  length: string | undefined,
][] = [
  ["HEAD keeps the length of its GET (RFC 9110 §9.3.2)", "HEAD", {
    headers: { "Content-Length": "1234", "Content-Type": "a/b" },
  }, "1234"],
  [
    "HEAD keeps a length of 0",
    "HEAD",
    { headers: { "Content-Length": "0" } },
    "0",
  ],
  ["HEAD gets no length of which nothing was said (RFC 9110 §8.6)", "HEAD", {
    framing: "none",
  }, undefined],
  ["HEAD of a type and no length gets no length", "HEAD", {
    framing: "none",
    headers: { "Content-Type": "a/b" },
  }, undefined],
  ["HEAD of a chunked answer gets no length", "HEAD", {
    framing: "chunked",
    headers: { "Content-Type": "a/b" },
  }, undefined],
  ["HEAD keeps the length of a gzip body", "HEAD", {
    headers: { "Content-Length": "99", "Content-Encoding": "gzip" },
  }, "99"],
  ["HEAD with 404 keeps its length", "HEAD", {
    status: 404,
    headers: { "Content-Length": "9" },
  }, "9"],
  ["304 keeps the length of its 200 (RFC 9110 §15.4.5)", "GET", {
    status: 304,
    headers: { "Content-Length": "1234", "ETag": '"a"' },
  }, "1234"],
  ["304 gets no length of which nothing was said", "GET", {
    status: 304,
    framing: "none",
    headers: { "ETag": '"a"' },
  }, undefined],
  [
    "204 has no length (RFC 9110 §8.6)",
    "GET",
    { status: 204, framing: "none" },
    undefined,
  ],
  [
    "204 to DELETE has no length",
    "DELETE",
    { status: 204, framing: "none" },
    undefined,
  ],
];

/** `Location` as the backend sends it and as the client gets it. */
function locates(
  promise: string,
  says: (authority: string) => string,
  gets: (authority: string) => string,
): WireCase {
  return {
    name: `answer: Location ${promise}`,
    async run(round) {
      const { authority } = round.backend;
      const answer = await round.ask(
        requestText("GET", "/", { host: "Front.test:81" }),
        (conn) =>
          conn.reply({ status: 302, headers: { "Location": says(authority) } }),
      );
      assert.equal(answer.status, 302);
      assert.equal(answer.header("location"), gets(authority));
    },
  };
}

function asItIs(value: string): [() => string, () => string] {
  return [() => value, () => value];
}

const ABC = "HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\nabc";
const EARLY_HINTS =
  "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const WITH_TRAILERS =
  "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n2\r\nok\r\n0\r\nX-T: 1\r\n\r\n";

/** Raw bytes as a backend might send them, and what the client must see. */
const ODD: [promise: string, bytes: string, status: number, text: string][] = [
  [
    "an HTTP/1.0 answer ended by its close (RFC 9112 §6.3)",
    "HTTP/1.0 200 OK\r\nContent-Type: a/b\r\n\r\nuntil the end",
    200,
    "until the end",
  ],
  ["an HTTP/1.0 answer with a length", ABC, 200, "abc"],
  [
    "an HTTP/1.1 answer ended by its close",
    "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\n\r\nuntil the end",
    200,
    "until the end",
  ],
  [
    "an answer behind twenty 102 (RFC 2518 §10.1)",
    "HTTP/1.1 102 Processing\r\n\r\n".repeat(20) +
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    200,
    "ok",
  ],
  [
    "a reason of several words",
    "HTTP/1.1 200 All Is Well\r\nContent-Length: 2\r\n\r\nok",
    200,
    "ok",
  ],
  [
    "a reason with obs-text",
    "HTTP/1.1 200 Sch\xf6n\r\nContent-Length: 2\r\n\r\nok",
    200,
    "ok",
  ],
  [
    "an empty reason (RFC 9112 §4)",
    "HTTP/1.1 200 \r\nContent-Length: 2\r\n\r\nok",
    200,
    "ok",
  ],
  [
    "no space after the status",
    "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok",
    200,
    "ok",
  ],
  [
    "a 100 before the answer (RFC 9110 §15.2)",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    200,
    "ok",
  ],
  ["a 103 before the answer (RFC 8297)", EARLY_HINTS, 200, "ok"],
  [
    "a 102 and a 103 before the answer",
    "HTTP/1.1 102 P\r\n\r\nHTTP/1.1 103 E\r\nX: y\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    200,
    "ok",
  ],
  [
    "chunks of one byte",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n1\r\nb\r\n0\r\n\r\n",
    200,
    "ab",
  ],
  [
    "chunk extensions, dropped (RFC 9112 §7.1.1)",
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;a="b;c"\r\nok\r\n0;x\r\n\r\n',
    200,
    "ok",
  ],
  ["trailers, dropped without harm (RFC 9110 §6.5)", WITH_TRAILERS, 200, "ok"],
  [
    "an empty chunked body",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    200,
    "",
  ],
  [
    "a length twice the same (RFC 9110 §8.6)",
    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    200,
    "ok",
  ],
  [
    "field names in odd cases",
    "HTTP/1.1 200 OK\r\ncOnTeNt-LeNgTh: 2\r\n\r\nok",
    200,
    "ok",
  ],
  [
    "no space after colons",
    "HTTP/1.1 200 OK\r\nContent-Length:2\r\nX-A:b\r\n\r\nok",
    200,
    "ok",
  ],
  [
    "lines that end in LF alone (RFC 9112 §2.2)",
    "HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    200,
    "ok",
  ],
];

/** Sends bytes as they are and, where they have no other end, closes. */
function raw(bytes: string): Handler {
  return async (conn) => {
    await conn.send(bytes);
    if (!/content-length|transfer-encoding/i.test(bytes)) await conn.end();
  };
}

async function reasons(round: Round, reason: string): Promise<string> {
  const answer = await round.get(
    "/",
    [],
    (conn) => conn.reply({ status: 200, reason, body: "ok" }),
  );
  assert.equal(answer.status, 200);
  return answer.reason;
}

/** The cases. */
export const answers: Group = {
  name: "answers",
  whole: true,
  cases: [
    ...STATUSES.map(comesBack),
    {
      name: "answer: 205 comes back, and its end is certain (RFC 9110 §15.3.6)",
      on: "proven",
      async run(round) {
        const answer = await round.get(
          "/",
          [],
          (conn) => conn.reply({ status: 205 }),
        );
        assert.equal(answer.complete, true);
        assert.equal(answer.status, 205);
      },
    },
    ...EMPTY.map((status): WireCase => ({
      name: `answer: ${status} comes back without a body`,
      on: "proven",
      async run(round) {
        const answer = await round.get(
          "/",
          [],
          (conn) => conn.reply({ status, framing: "none" }),
        );
        assert.equal(answer.status, status);
        assert.equal(answer.header("transfer-encoding"), undefined);
        // The next answer on this connection is the next request's.
        assert.equal((await round.get("/", [], raw(ABC))).text, "abc");
      },
    })),
    {
      name: "answer: every status from 200 to 599 comes back",
      on: "fresh",
      async run(round) {
        round.backend.handler = (conn, { path }) =>
          conn.reply({ status: Number(path.slice(1)), body: "b" });
        const wrong: number[] = [];
        for (let status = 200; status <= 599; status++) {
          // A separate case.
          if (status === 205) continue;
          const answer = await round.get(`/${status}`);
          if (answer.status !== status) wrong.push(status);
        }
        assert.deepEqual(wrong, []);
      },
    },
    ...ODD.map(([promise, bytes, status, text]): WireCase => ({
      name: `answer: ${promise} is understood`,
      on: "proven",
      async run(round) {
        const answer = await round.get("/", [], raw(bytes));
        assert.equal(answer.status, status);
        assert.equal(answer.text, text);
        assert.equal(answer.complete, true);
        assert.equal(round.requests.length, 1);
      },
    })),
    {
      name: "answer: the standard reason comes back",
      async run(round) {
        assert.equal(await reasons(round, "OK"), "OK");
      },
    },
    {
      name:
        "answer: an unusual reason comes back (RFC 9112 §4 lets it be dropped)",
      async run(round) {
        assert.equal(await reasons(round, "All Is Well"), "All Is Well");
      },
    },
    {
      name: "answer: 103 Early Hints comes back before the answer (RFC 8297)",
      async run(round) {
        const answer = await round.get("/", [], raw(EARLY_HINTS));
        assert.deepEqual(answer.interim.map(({ status }) => status), [103]);
      },
    },
    {
      name: "answer: trailers come back (RFC 9110 §6.5)",
      async run(round) {
        const { trailers } = await round.ask(
          requestText("GET", "/", { headers: { "TE": "trailers" } }),
          raw(WITH_TRAILERS),
        );
        assert.deepEqual(trailers, [["X-T", "1"]]);
      },
    },
    keepsLength("an answer of 100 bytes", 100, false),
    keepsLength("an answer of 8 KB", 8_192, false),
    keepsLength("an answer of 1 MB", 1_000_000, false),
    keepsLength("an answer of 10 MB", 10_000_000, false),
    keepsLength("an answer of 1 KB that dribbles", 1_000, true),
    keepsLength("an answer of 1 MB that dribbles", 1_000_000, true),
    {
      name: "answer: a chunked answer stays chunked",
      on: "proven",
      async run(round) {
        const answer = await round.get(
          "/",
          [],
          (conn) =>
            conn.reply({
              headers: { "Content-Type": "a/b" },
              framing: "chunked",
              body: "abc",
            }),
        );
        assert.equal(answer.text, "abc");
        assert.equal(answer.framing, "chunked");
      },
    },
    {
      name: "answer: 1 MB of chunks arrives whole",
      on: "proven",
      async run(round) {
        const answer = await round.get("/", [], async (conn) => {
          await conn.send(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
          );
          for (let i = 0; i < 16; i++) await conn.chunk(large(65_536));
          await conn.lastChunk();
        });
        assert.equal(answer.complete, true);
        assert.equal(answer.body.length, 1_048_576);
      },
    },
    ...BODILESS.map(([promise, method, reply, length]): WireCase => ({
      name: `answer: ${promise}`,
      on: "proven",
      async run(round) {
        const { connection } = round;
        round.backend.handler = (conn) => conn.reply(reply);
        await connection.write(requestText(method, "/"));
        const answer = await connection.readResponse({ method });
        assert.equal(answer.status, reply.status ?? 200);
        assert.equal(answer.header("content-length"), length);
        // No byte of a body is left on the connection.
        const next = await round.get("/", [], raw(ABC));
        assert.equal(next.text, "abc");
      },
    })),
    {
      name:
        "answer: 206 keeps its range, its length and its part (RFC 9110 §15.3.7)",
      on: "proven",
      async run(round) {
        const answer = await round.get(
          "/",
          [["Range", "bytes=2-4"]],
          (conn) =>
            conn.reply({
              status: 206,
              headers: {
                "Content-Range": "bytes 2-4/10",
                "Content-Type": "a/b",
              },
              body: "cde",
            }),
        );
        assert.equal(answer.status, 206);
        assert.equal(answer.header("content-range"), "bytes 2-4/10");
        assert.equal(answer.header("content-length"), "3");
        assert.equal(answer.text, "cde");
      },
    },
    ...CODINGS.flatMap(([coding, body]) => [
      undecoded(coding, body, "length", "gzip, deflate, br, zstd"),
      undecoded(coding, body, "chunked", undefined),
    ]),
    undecoded("gzip", CODINGS[0]![1].subarray(0, 30), "length", "gzip"),
    {
      name: "answer: a gzip range is not decoded (RFC 9110 §15.3.7)",
      async run(round) {
        const part = CODINGS[0]![1].subarray(3, 20);
        const answer = await round.get(
          "/",
          [["Range", "bytes=3-19"], ["Accept-Encoding", "gzip"]],
          (conn) =>
            conn.reply({
              status: 206,
              headers: {
                "Content-Encoding": "gzip",
                "Content-Range": "bytes 3-19/99",
              },
              body: part,
            }),
        );
        assert.equal(toLatin1(answer.body), toLatin1(part));
      },
    },
    {
      name: "answer: an HTTP/1.0 client gets no chunks (RFC 9112 §7)",
      on: "fresh",
      async run(round) {
        const answer = await round.ask(
          "GET / HTTP/1.0\r\nHost: a.test\r\n\r\n",
          (conn) => conn.reply({ framing: "chunked", body: "abc" }),
        );
        assert.equal(answer.status, 200);
        assert.equal(answer.header("transfer-encoding"), undefined);
        assert.equal(answer.text, "abc");
      },
    },
    {
      name: "answer: an HTTP/1.0 client with keep-alive gets its answer",
      on: "fresh",
      async run(round) {
        const answer = await round.ask(
          "GET / HTTP/1.0\r\nHost: a.test\r\nConnection: keep-alive\r\n\r\n",
        );
        assert.equal(answer.status, 200);
        assert.equal(answer.text, "ok");
      },
    },
    {
      name: "answer: an HTTP/1.0 request goes on as HTTP/1.1 (RFC 9110 §2.5)",
      on: "fresh",
      async run(round) {
        await round.ask("GET / HTTP/1.0\r\nHost: a.test\r\n\r\n");
        assert.equal(round.request.version, "1.1");
      },
    },
    {
      name: "answer: Connection: close of a client is obeyed (RFC 9112 §9.6)",
      async run(round) {
        const answer = await round.get("/", [["Connection", "close"]]);
        assert.equal(answer.text, "ok");
        await round.connection.waitForClose();
      },
    },
    {
      name: "answer: Connection: close of the backend is its own affair",
      async run(round) {
        const answer = await round.get("/", [], async (conn) => {
          await conn.reply({ headers: { "Connection": "close" }, body: "abc" });
          await conn.close();
        });
        assert.equal(answer.text, "abc");
        assert.equal(answer.header("connection") ?? "keep-alive", "keep-alive");
        assert.equal((await round.get("/", [], raw(ABC))).text, "abc");
      },
    },
    locates(
      "at the backend's origin points through us",
      (own) => `http://${own}/a?b#c`,
      () => "http://Front.test:81/a?b#c",
    ),
    locates(
      "at the backend's origin alone points to us",
      (own) => `http://${own}`,
      () => "http://Front.test:81",
    ),
    locates(
      "at the backend's origin in capitals points through us",
      (own) => `HTTP://${own}/a`,
      () => "http://Front.test:81/a",
    ),
    locates(
      "at another port of the backend stays",
      (own) => `http://${own}0/a`,
      (own) => `http://${own}0/a`,
    ),
    locates(
      "at another scheme of the backend stays",
      (own) => `https://${own}/a`,
      (own) => `https://${own}/a`,
    ),
    locates(
      "that only begins like the backend's stays",
      (own) => `http://${own}.evil.test/a`,
      (own) => `http://${own}.evil.test/a`,
    ),
    locates(
      "with the backend as userinfo stays",
      (own) => `http://${own}@evil.test/a`,
      (own) => `http://${own}@evil.test/a`,
    ),
    locates("elsewhere stays", ...asItIs("https://other.test/a?b")),
    locates("as a path stays (RFC 9110 §10.2.2)", ...asItIs("/a/../b?c")),
    locates("as a relative path stays", ...asItIs("../a")),
    locates("as a query stays", ...asItIs("?a=b")),
    locates("without a scheme stays", ...asItIs("//other.test/a")),
    locates("with odd bytes stays", ...asItIs("/caf\xc3\xa9")),
    {
      name: "answer: Location of a 201 points through us too",
      async run(round) {
        const { authority } = round.backend;
        const { header } = await round.get("/", [], (conn) =>
          conn.reply({
            status: 201,
            headers: { "Location": `http://${authority}/new/1` },
          }));
        assert.equal(header("location"), "http://sluice.test/new/1");
      },
    },
    {
      name: "answer: a redirect is passed on, not followed",
      async run(round) {
        const { status } = await round.get(
          "/",
          [],
          (conn) => conn.reply({ status: 307, headers: { "Location": "/b" } }),
        );
        assert.equal(status, 307);
        assert.equal(round.requests.length, 1);
      },
    },
  ],
};

function locatesBehind(
  promise: string,
  says: (authority: string) => string,
  gets: (authority: string) => string,
): WireCase {
  return {
    ...locates(`${promise} (base path)`, says, gets),
  };
}

/** `Location` of a backend with a base path. */
export const locationsBehindBasePath: Group = {
  name: "locations",
  env: (backend) => ({ BACKENDS: `${backend.url}/app` }),
  cases: [
    locatesBehind(
      "below the base path loses it",
      (own) => `http://${own}/app/a?b`,
      () => "http://Front.test:81/a?b",
    ),
    locatesBehind(
      "at the base path itself is our root",
      (own) => `http://${own}/app`,
      () => "http://Front.test:81",
    ),
    locatesBehind(
      "outside of the base path stays",
      (own) => `http://${own}/other`,
      (own) => `http://${own}/other`,
    ),
    locatesBehind(
      "that only begins like the base path stays",
      (own) => `http://${own}/apple`,
      (own) => `http://${own}/apple`,
    ),
    locatesBehind(
      "as a path below the base path loses it",
      () => "/app/a",
      () => "/a",
    ),
    locatesBehind("as the base path is our root", () => "/app", () => "/"),
    locatesBehind("as a path outside stays", ...asItIs("/other")),
    locatesBehind("as a relative path stays", ...asItIs("a/b")),
  ],
};

/**
 * Header fields of a response on their way to the client.
 *
 * @module
 */

import assert from "node:assert/strict";
import type { WireCase } from "./case.ts";

type Fields = [name: string, value: string][];

/** Answer fields that arrive as they were sent. */
const BACK: [promise: string, fields: Fields][] = [
  ["a custom field", [["X-A", "b  c"]]],
  ["obs-text", [["X-A", "caf\xe9 \xc3\xa9"]]],
  ["an empty value", [["X-A", ""]]],
  ["8 KB", [["X-A", "v".repeat(8_000)]]],
  ["16 KB", [["X-A", "v".repeat(16_000)]]],
  ["an ETag, strong", [["ETag", '"abc"']]],
  ["an ETag, weak", [["ETag", 'W/"abc"']]],
  ["Cache-Control", [["Cache-Control", "max-age=60, public"]]],
  ["Vary", [["Vary", "Accept-Encoding, Origin"]]],
  ["Last-Modified", [["Last-Modified", "Tue, 15 Nov 1994 08:12:31 GMT"]]],
  ["Date", [["Date", "Tue, 15 Nov 1994 08:12:31 GMT"]]],
  ["Server", [["Server", "own/1"]]],
  ["Content-Type with a charset", [["Content-Type", 'text/html; charset="x"']]],
  ["Content-Disposition", [[
    "Content-Disposition",
    'attachment; filename="a b"',
  ]]],
  ["Content-Security-Policy", [[
    "Content-Security-Policy",
    "default-src 'self'",
  ]]],
  ["Strict-Transport-Security", [["Strict-Transport-Security", "max-age=1"]]],
  ["Access-Control-Allow-Origin", [["Access-Control-Allow-Origin", "*"]]],
  ["Link", [["Link", "</a>; rel=preload"]]],
  ["Retry-After", [["Retry-After", "7"]]],
  ["Age", [["Age", "3"]]],
  ["Alt-Svc", [["Alt-Svc", 'h2=":443"']]],
  ["Via of the backend", [["Via", "1.1 other"]]],
  ["Accept-Ranges", [["Accept-Ranges", "bytes"]]],
  ["Proxy-Status of the backend", [["Proxy-Status", "other; error=dns_error"]]],
  ["WWW-Authenticate", [["WWW-Authenticate", 'Basic realm="a b"']]],
  ["one Set-Cookie", [[
    "Set-Cookie",
    "a=1; Path=/; Expires=Tue, 15 Nov 1994 08:12:31 GMT",
  ]]],
  ["several Set-Cookie (RFC 6265 §3)", [["Set-Cookie", "a=1, x"], [
    "Set-Cookie",
    "b=2",
  ], ["Set-Cookie", "a=3"]]],
];

/** Hop-by-hop fields of an answer. */
const BACK_DROPPED: [promise: string, sent: Fields, gone: string][] = [
  ["Keep-Alive", [["Keep-Alive", "timeout=5"]], "keep-alive"],
  ["Proxy-Connection", [["Proxy-Connection", "x"]], "proxy-connection"],
  ["Trailer", [["Trailer", "X-T"]], "trailer"],
  ["Upgrade", [["Upgrade", "h2c"], ["Connection", "Upgrade"]], "upgrade"],
  ["TE", [["TE", "trailers"]], "te"],
  [
    "Proxy-Authenticate (RFC 9110 §11.7.1)",
    [["Proxy-Authenticate", 'Basic realm="a"']],
    "proxy-authenticate",
  ],
  [
    "Proxy-Authentication-Info (RFC 9110 §11.7.3)",
    [["Proxy-Authentication-Info", "a=b"]],
    "proxy-authentication-info",
  ],
  [
    "a field that Connection names",
    [["X-A", "1"], ["Connection", "x-a"]],
    "x-a",
  ],
  [
    "a field named in another case",
    [["X-a", "1"], ["CONNECTION", "X-A, ,"]],
    "x-a",
  ],
  ["a field named on a second line", [["X-A", "1"], [
    "Connection",
    "keep-alive",
  ], ["Connection", "x-a"]], "x-a"],
];

/** The cases, of the group `fields`. */
export const answerFields: readonly WireCase[] = [
  ...BACK.map(([promise, headers]): WireCase => ({
    name: `answer field: ${promise} comes back as it was sent`,
    on: "proven",
    async run(round) {
      const { headerAll, status, text } = await round.get(
        "/",
        [],
        (conn) => conn.reply({ headers, body: "ok" }),
      );
      assert.equal(status, 200);
      assert.equal(text, "ok");
      for (const [name] of headers) {
        assert.deepEqual(
          headerAll(name),
          headers.filter(([other]) => other === name).map(([, value]) => value),
        );
      }
    },
  })),
  ...BACK_DROPPED.map(([promise, headers, gone]): WireCase => ({
    name: `answer field: ${promise} does not come back (RFC 9110 §7.6.1)`,
    on: "proven",
    async run(round) {
      const { header, status } = await round.get(
        "/",
        [],
        (conn) => conn.reply({ headers, body: "ok" }),
      );
      assert.equal(status, 200);
      assert.equal(header(gone), undefined);
      assert.equal(header("connection") ?? "keep-alive", "keep-alive");
    },
  })),
  {
    name: "answer field: several WWW-Authenticate come back, in order",
    on: "proven",
    async run(round) {
      const { headerAll } = await round.get("/", [], (conn) =>
        conn.reply({
          status: 401,
          headers: [
            ["WWW-Authenticate", 'Basic realm="a"'],
            ["WWW-Authenticate", "Negotiate"],
          ],
        }));
      assert.equal(
        headerAll("www-authenticate").join(", "),
        'Basic realm="a", Negotiate',
      );
    },
  },
  {
    name: "answer field: a Set-Cookie cannot be named away but by its backend",
    async run(round) {
      const { headerAll } = await round.get(
        "/",
        [["Connection", "Set-Cookie"]],
        (conn) => conn.reply({ headers: { "Set-Cookie": "a=1" } }),
      );
      assert.deepEqual(headerAll("set-cookie"), ["a=1"]);
    },
  },
  {
    name: "answer field: Content-Length cannot be named away by the backend",
    on: "proven",
    async run(round) {
      const { text, header } = await round.get("/", [], (conn) =>
        conn.reply({
          headers: { "Connection": "Content-Length" },
          body: "abc",
        }));
      assert.equal(text, "abc");
      assert.equal(header("content-length"), "3");
    },
  },
  {
    name: "answer field: no Server, X-Powered-By or Content-Type is invented",
    on: "proven",
    async run(round) {
      const { header } = await round.get("/");
      assert.equal(header("server"), undefined);
      assert.equal(header("x-powered-by"), undefined);
      assert.equal(header("content-type"), undefined);
    },
  },
  {
    name: "answer field: 90 fields come back",
    on: "proven",
    async run(round) {
      const headers: Fields = Array.from(
        { length: 90 },
        (_, i) => [`X-N${i}`, `${i}`],
      );
      const { header } = await round.get(
        "/",
        [],
        (conn) => conn.reply({ headers, body: "ok" }),
      );
      for (const [name, value] of headers) {
        assert.equal(header(name), value, name);
      }
    },
  },
];

/**
 * Header fields in both directions: those for one connection stay on it, the
 * proxy's own cannot be removed, and the others arrive as they were sent.
 *
 * @module
 */

import assert from "node:assert/strict";
import type { Handler } from "../harness/backend.ts";
import { requestText } from "../harness/client.ts";
import type { Header } from "../harness/wire.ts";
import { answerFields } from "./answer_fields.ts";
import type { Group, WireCase } from "./case.ts";

/** Responds once the upload has been read. */
const reads: Handler = async (conn, request) => {
  await request.body();
  await conn.reply({ body: "ok" });
};

type Fields = [name: string, value: string][];

/** Fields of a request that must not arrive. */
const DROPPED: [promise: string, sent: Fields, gone: string][] = [
  ["Connection (RFC 9110 §7.6.1)", [["Connection", "x-a"]], "x-a"],
  ["Keep-Alive", [["Keep-Alive", "timeout=5"]], "keep-alive"],
  [
    "Proxy-Connection",
    [["Proxy-Connection", "keep-alive"]],
    "proxy-connection",
  ],
  ["TE (RFC 9110 §10.1.4)", [["TE", "trailers, deflate"]], "te"],
  ["TE named by Connection", [["TE", "trailers"], ["Connection", "TE"]], "te"],
  ["Trailer (RFC 9110 §6.6.2)", [["Trailer", "X-T"]], "trailer"],
  [
    "Upgrade: h2c, the smuggler's tunnel (RFC 9113 §3.1)",
    [
      ["Connection", "Upgrade, HTTP2-Settings"],
      ["Upgrade", "h2c"],
      ["HTTP2-Settings", "AAMAAABkAAQAAP__"],
    ],
    "upgrade",
  ],
  [
    "HTTP2-Settings that Connection does not name",
    [["HTTP2-Settings", "AAMAAABkAAQAAP__"]],
    "http2-settings",
  ],
  [
    "Proxy-Authorization, which no backend has asked for (RFC 9110 §11.7.2)",
    [["Proxy-Authorization", "Basic YTpi"]],
    "proxy-authorization",
  ],
  ["Upgrade without Connection", [["Upgrade", "foo/1"]], "upgrade"],
  ["Proxy (CVE-2016-5385, httpoxy)", [["Proxy", "http://evil.test"]], "proxy"],
  ["Expect (RFC 9110 §10.1.1)", [["Expect", "100-continue"]], "expect"],
  [
    "a field that Connection names",
    [["X-A", "1"], ["Connection", "X-A"]],
    "x-a",
  ],
  [
    "a field named in another case",
    [["x-SECRET", "1"], ["connection", "X-Secret"]],
    "x-secret",
  ],
  [
    "a field named on a second line",
    [["X-A", "1"], ["Connection", "keep-alive"], ["Connection", "X-A"]],
    "x-a",
  ],
  [
    "a field named among empty elements (RFC 9110 §5.6.1)",
    [["X-A", "1"], ["Connection", ",, ,X-A ,, close ,"]],
    "x-a",
  ],
  [
    "a field named among elements that are no token",
    [["X-A", "1"], ["Connection", "(), a b, X-A, @"]],
    "x-a",
  ],
  [
    "a field named with tabs round it",
    [["X-A", "1"], ["Connection", "keep-alive,\tX-A\t"]],
    "x-a",
  ],
  [
    "a field named twice",
    [["X-A", "1"], ["Connection", "X-A, x-a"]],
    "x-a",
  ],
  [
    "a field of which there are two",
    [["X-A", "1"], ["X-A", "2"], ["Connection", "X-A"]],
    "x-a",
  ],
  [
    "Forwarded from a stranger (RFC 7239)",
    [["Forwarded", "for=1.1.1.1"]],
    "forwarded",
  ],
  ["X-Real-IP from a stranger", [["X-Real-IP", "1.1.1.1"]], "x-real-ip"],
  [
    "X-Forwarded-Port from a stranger",
    [["X-Forwarded-Port", "1"]],
    "x-forwarded-port",
  ],
  [
    "X-Forwarded-Prefix from a stranger",
    [["X-Forwarded-Prefix", "/x"]],
    "x-forwarded-prefix",
  ],
  [
    "X-Forwarded-Server from a stranger",
    [["X-Forwarded-Server", "x"]],
    "x-forwarded-server",
  ],
  [
    "X_Forwarded_For, which CGI reads as ours",
    [["X_Forwarded_For", "1.1.1.1"]],
    "x_forwarded_for",
  ],
  [
    "X-Forwarded_For, half an alias",
    [["X-Forwarded_For", "1.1.1.1"]],
    "x-forwarded_for",
  ],
  ["X_Real_IP", [["X_Real_IP", "1.1.1.1"]], "x_real_ip"],
  // Some servers replace every character except letters and digits by `_`.
  [
    "X.Forwarded.For, which CGI reads as ours",
    [["X.Forwarded.For", "1.1.1.1"]],
    "x.forwarded.for",
  ],
  [
    "X~Forwarded~For",
    [["X~Forwarded~For", "1.1.1.1"]],
    "x~forwarded~for",
  ],
  [
    "X!Forwarded|Proto",
    [["X!Forwarded|Proto", "https"]],
    "x!forwarded|proto",
  ],
  ["X.Real.IP", [["X.Real.IP", "1.1.1.1"]], "x.real.ip"],
  [
    "Content.Length, an alias of the framing",
    [["Content.Length", "5"]],
    "content.length",
  ],
  [
    "Proxy_Authorization",
    [["Proxy_Authorization", "Basic YTpi"]],
    "proxy_authorization",
  ],
  [
    "Content_Length, an alias of the framing",
    [["Content_Length", "5"]],
    "content_length",
  ],
  ["Transfer_Encoding, an alias of the framing", [[
    "Transfer_Encoding",
    "chunked",
  ]], "transfer_encoding"],
];

/** Fields that `Connection` may not remove. */
const KEPT: [promise: string, name: string, field: string, value: RegExp][] = [
  [
    "X-Forwarded-For (CVE-2024-45410)",
    "X-Forwarded-For",
    "x-forwarded-for",
    /^127\.0\.0\.1$/,
  ],
  [
    "X-Forwarded-Host (CVE-2024-45410)",
    "x-forwarded-host",
    "x-forwarded-host",
    /^sluice\.test$/,
  ],
  [
    "X-Forwarded-Proto (CVE-2024-45410)",
    "X-FORWARDED-PROTO",
    "x-forwarded-proto",
    /^http$/,
  ],
  ["Via", "Via", "via", /^1\.1 sluice-/],
  ["Host (RFC 9110 §7.6.1)", "Host", "host", /^sluice\.test$/],
];

/** Request fields that arrive as they were sent. */
const SAME: [promise: string, name: string, value: string][] = [
  ["a value", "X-A", "b"],
  ["inner spaces", "X-A", "a  b   c"],
  ["a tab inside", "X-A", "a\tb"],
  ["obs-text in latin1 (RFC 9110 §5.5)", "X-A", "caf\xe9"],
  ["obs-text in UTF-8", "X-A", "caf\xc3\xa9 \xe2\x82\xac"],
  [
    "every byte from 0x80 to 0xff",
    "X-A",
    String.fromCharCode(...Array.from({ length: 128 }, (_, i) => 0x80 + i))
      .replace(/\xa0/g, "x"),
  ],
  ["quotes, backslashes and commas", "X-A", '"a\\"b", c;d="e,f"'],
  ["an empty value", "X-A", ""],
  ["an unusual token as a name", "X!#$%&'*+.^`|~1", "1"],
  ["8 KB", "X-Long", "v".repeat(8_000)],
  ["Authorization", "Authorization", "Basic YTpi"],
  ["Cookie", "Cookie", "a=1; b=2"],
  ["User-Agent", "User-Agent", "test/1"],
  ["Accept", "Accept", "text/html;q=0.5"],
  ["Accept-Language", "Accept-Language", "de, en;q=0.5"],
  ["Referer", "Referer", "http://a.test/?b"],
  ["Origin", "Origin", "http://a.test"],
  ["Date", "Date", "Tue, 15 Nov 1994 08:12:31 GMT"],
  ["Range (RFC 9110 §14.2)", "Range", "bytes=0-1"],
  ["If-Range", "If-Range", '"x"'],
  ["If-None-Match", "If-None-Match", '"x", W/"y"'],
  ["If-Modified-Since", "If-Modified-Since", "Tue, 15 Nov 1994 08:12:31 GMT"],
  ["Cache-Control", "Cache-Control", "no-cache"],
  ["Pragma", "Pragma", "no-cache"],
  ["DNT", "DNT", "1"],
  ["Sec-Fetch-Mode", "Sec-Fetch-Mode", "navigate"],
  ["Access-Control-Request-Method", "Access-Control-Request-Method", "PUT"],
  ["Upgrade-Insecure-Requests", "Upgrade-Insecure-Requests", "1"],
  ["Early-Data", "Early-Data", "1"],
  ["Priority", "Priority", "u=1, i"],
  [
    "traceparent",
    "Traceparent",
    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
  ],
  ["Set-Cookie, odd as it is on a request", "Set-Cookie", "a=b"],
  ["a Content-Type without a body", "Content-Type", "text/x"],
  ["a Content-Encoding without a body", "Content-Encoding", "x"],
  ["an underscore in a name of no meaning", "X_A_B", "1"],
  ["`__proto__` as a name", "__proto__", "1"],
  ["`constructor` as a name", "constructor", "1"],
];

/** What a `curl` with no option switched on would send, and what may come of it. */
const OURS = new Set([
  "host",
  "x-forwarded-for",
  "x-forwarded-host",
  "x-forwarded-proto",
  "via",
]);

/** Fields that were added on the way. */
function invented(headers: readonly Header[]): string[] {
  return headers.map(([name]) => name.toLowerCase())
    .filter((name) => !OURS.has(name));
}

/** The cases. */
export const fields: Group = {
  name: "fields",
  whole: true,
  cases: [
    ...DROPPED.map(([promise, headers, gone]): WireCase => ({
      name: `field: ${promise} does not go on`,
      async run(round) {
        const { status } = await round.get("/", headers);
        assert.equal(status, 200);
        assert.equal(round.request.header(gone), undefined);
        assert.equal(
          round.request.header("connection") ?? "keep-alive",
          "keep-alive",
        );
      },
    })),
    ...KEPT.map(([promise, named, field, value]): WireCase => ({
      name: `field: ${promise} cannot be named away by Connection`,
      async run(round) {
        const { status } = await round.get("/", [["Connection", named]]);
        assert.equal(status, 200);
        assert.match(round.request.header(field) ?? "", value);
        assert.equal(round.request.headerAll(field).length, 1);
      },
    })),
    {
      name: "field: Content-Length cannot be named away by Connection",
      async run(round) {
        const { status } = await round.ask(
          requestText("POST", "/", {
            headers: [["Connection", "Content-Length"]],
            body: "abc",
          }),
          reads,
        );
        assert.equal(status, 200);
        assert.equal(round.request.length, 3);
        assert.equal(await round.request.text(), "abc");
      },
    },
    {
      name: "field: Transfer-Encoding cannot be named away by Connection",
      async run(round) {
        const { status } = await round.ask(
          requestText("POST", "/", {
            headers: [["Connection", "transfer-encoding"], [
              "Transfer-Encoding",
              "chunked",
            ]],
            body: "3\r\nabc\r\n0\r\n\r\n",
          }),
          reads,
        );
        assert.equal(status, 200);
        assert.equal(round.request.framing, "chunked");
        assert.equal(await round.request.text(), "abc");
      },
    },
    ...SAME.map(([promise, name, value]): WireCase => ({
      name: `field: ${promise} arrives as it was sent`,
      async run(round) {
        const { status } = await round.get("/", [[name, value]]);
        assert.equal(status, 200);
        assert.deepEqual(round.request.headerAll(name), [value]);
      },
    })),
    {
      name: "field: a value of 16 KB arrives or is refused with 431",
      async run(round) {
        const value = "v".repeat(16_000);
        const { status } = await round.get("/", [["X-Long", value]]);
        if (status === 431) assert.equal(round.requests.length, 0);
        else assert.deepEqual(round.request.headerAll("x-long"), [value]);
      },
    },
    {
      name: "field: a value of 16 KB arrives",
      async run(round) {
        const value = "v".repeat(16_000);
        const { status } = await round.get("/", [["X-Long", value]]);
        assert.equal(status, 200);
        assert.deepEqual(round.request.headerAll("x-long"), [value]);
      },
    },
    {
      name: "field: 90 fields arrive, each once and in order",
      async run(round) {
        const sent: Fields = Array.from(
          { length: 90 },
          (_, i) => [`x-n${i}`, `${i}`],
        );
        const { status } = await round.get("/", sent);
        assert.equal(status, 200);
        assert.deepEqual(
          round.request.headers.map(([name, value]) => [
            name.toLowerCase(),
            value,
          ]).filter(([name]) => name!.startsWith("x-n")).sort(),
          sent.sort(),
        );
      },
    },
    {
      name:
        "field: equal names arrive as one list or as lines, in order (RFC 9110 §5.3)",
      async run(round) {
        await round.get("/", [["X-A", "1"], ["X-B", "-"], ["x-a", "2, 3"]]);
        assert.equal(round.request.headerAll("x-a").join(", "), "1, 2, 3");
      },
    },
    {
      name:
        "field: several Cookie lines arrive as one cookie string (RFC 6265 §5.4)",
      async run(round) {
        await round.get("/", [["Cookie", "a=1"], ["Cookie", "b=2"]]);
        assert.deepEqual(round.request.headerAll("cookie"), ["a=1; b=2"]);
      },
    },
    ...([
      ["User-Agent", "user-agent"],
      ["Accept", "accept"],
      ["Accept-Language", "accept-language"],
      ["Accept-Encoding", "accept-encoding"],
      ["Connection", "connection"],
      ["Content-Type", "content-type"],
    ] as const).map(([shown, name]): WireCase => ({
      name: `field: no ${shown} is invented for a request without one`,
      async run(round) {
        await round.get("/");
        assert.equal(round.request.header(name), undefined);
      },
    })),
    {
      name:
        "field: what a runtime invents says nothing (Accept: */*, empty User-Agent)",
      async run(round) {
        await round.get("/");
        const harmless: Record<string, string> = {
          "accept": "*/*",
          "accept-language": "*",
          "accept-encoding": "identity",
          "user-agent": "",
          "connection": "keep-alive",
        };
        for (const name of invented(round.request.headers)) {
          assert.equal(round.request.header(name), harmless[name], name);
        }
      },
    },
    {
      name: "field: no Content-Type is invented for a body without one",
      async run(round) {
        await round.ask(requestText("POST", "/", { body: "abc" }), reads);
        assert.equal(round.request.header("content-type"), undefined);
      },
    },
    {
      name: "field: no Accept-Encoding asks for what the client did not",
      async run(round) {
        await round.get("/");
        assert.doesNotMatch(
          round.request.headerAll("accept-encoding").join(),
          /gzip|br|deflate|zstd|\*/,
        );
      },
    },
    ...(["gzip", "br;q=1, gzip;q=0.5", "zstd", "*", "identity", ""] as const)
      .map((value): WireCase => ({
        name: `field: Accept-Encoding "${value}" is the only one that arrives`,
        async run(round) {
          await round.get("/", [["Accept-Encoding", value]]);
          assert.deepEqual(round.request.headerAll("accept-encoding"), [value]);
        },
      })),
    {
      name: "field: Via is added behind the client's (RFC 9110 §7.6.3)",
      async run(round) {
        await round.get("/", [["Via", "1.0 a"], ["Via", "1.1 b"]]);
        assert.match(
          round.request.headerAll("via").join(", "),
          /^1\.0 a, 1\.1 b, 1\.1 sluice-[0-9a-f]{8}$/,
        );
      },
    },
    ...answerFields,
  ],
};

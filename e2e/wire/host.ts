/**
 * The `Host` field: one, valid, and never part of the path; and what the
 * backend gets of it.
 *
 * @module
 */

import assert from "node:assert/strict";
import { requestText } from "../harness/client.ts";
import { toBytes } from "../harness/wire.ts";
import type { Group, WireCase } from "./case.ts";

const FINE: [promise: string, host: string][] = [
  ["a name", "sluice.test"],
  ["a name and a port", "sluice.test:8080"],
  ["a v4 address", "192.0.2.1"],
  ["a v4 address and a port", "192.0.2.1:81"],
  ["a v6 address (RFC 3986 §3.2.2)", "[2001:db8::1]"],
  ["a v6 address and a port", "[2001:db8::1]:8080"],
  ["the loopback v6 address", "[::1]:80"],
  ["upper case", "SLUICE.Test"],
  ["a trailing dot", "sluice.test."],
  ["a trailing dot and a port", "sluice.test.:81"],
  ["port 80, which Bun's URLs drop", "sluice.test:80"],
  ["port 443", "sluice.test:443"],
  ["an empty port (RFC 3986 §3.2.3)", "sluice.test:"],
  ["an underscore, as Docker names have it", "my_service.local"],
  ["an underscore in front", "_dmarc.sluice.test"],
  ["digits and hyphens", "a-1.2-b.test"],
  ["punycode", "xn--bcher-kva.test"],
  ["one letter", "a"],
  ["localhost", "localhost"],
  ["localhost and the port that it came in at", "localhost:8080"],
  ["a number that URL parsers take for an address", "0x7f.1"],
  ["a name of 253 characters", `${"a23456789.".repeat(25)}abc`],
];

const BAD: [promise: string, host: string][] = [
  ["a slash (CVE-2022-31144 class: it would move the path)", "evil/../x"],
  ["a slash at the end", "evil/"],
  ["a hash", "evil#x"],
  ["a question mark", "evil?x"],
  ["an at sign", "user@evil"],
  ["userinfo with a password", "u:p@evil"],
  ["a comma, as two joined lines have it", "a, b"],
  ["a comma without a space", "a,b"],
  ["a space inside", "a b"],
  ["a tab inside", "a\tb"],
  ["a backslash", "evil\\x"],
  ["a quote", 'ev"il'],
  ["angle brackets", "<a>"],
  ["a port over 65535", "a:99999"],
  ["a port that is no number", "a:8o"],
  ["a negative port", "a:-1"],
  ["two ports", "a:1:2"],
  ["an unclosed v6 address", "[::1"],
  ["a v6 address without brackets", "::1"],
  ["brackets around a name", "[evil]x"],
  ["a port alone", ":80"],
  ["a scheme", "http://evil"],
  ["a semicolon", "a;b"],
  ["a pipe", "a|b"],
  ["braces", "{a}"],
  ["a raw byte past ASCII", "caf\xe9"],
  ["a NUL byte", "a\0b"],
  ["a percent that encodes nothing", "a%zz"],
];

function refused(promise: string, bytes: string): WireCase {
  return {
    name: `host: ${promise} is refused with 400 (RFC 9112 §3.2)`,
    async run(round) {
      const { status } = await round.ask(toBytes(bytes));
      assert.equal(round.requests.length, 0, "nothing reached the backend");
      assert.equal(status, 400);
      await round.stillFine();
    },
  };
}

/** A request of HTTP/1.0 without a `Host`, as it is forwarded. */
function unnamed(promise: string, method: string, target: string): WireCase {
  return {
    name: `host: ${promise} goes on with the backend's own name`,
    async run(round) {
      const { status } = await round.ask(
        `${method} ${target} HTTP/1.0\r\n\r\n`,
      );
      assert.equal(status, 200);
      const { request, backend } = round;
      assert.equal(request.method, method);
      assert.equal(request.target, target);
      assert.deepEqual(request.headerAll("host"), [backend.authority]);
      assert.equal(request.header("x-forwarded-host"), undefined);
      assert.equal(request.header("x-forwarded-proto"), "http");
      assert.equal(request.header("x-forwarded-for"), "127.0.0.1");
    },
  };
}

const cases: WireCase[] = [
  ...FINE.map(([promise, host]): WireCase => ({
    name: `host: ${promise} arrives as it was sent`,
    async run(round) {
      const { status } = await round.ask(requestText("GET", "/p", { host }));
      assert.equal(status, 200);
      assert.equal(round.request.header("host"), host);
      assert.equal(round.request.target, "/p");
      assert.equal(round.request.header("x-forwarded-host"), host);
    },
  })),
  ...BAD.map(([promise, host]) =>
    refused(promise, `GET /p HTTP/1.1\r\nHost: ${host}\r\n\r\n`)
  ),
  refused("a missing Host", "GET /p HTTP/1.1\r\n\r\n"),
  refused(
    "a missing Host with other fields",
    "GET /p HTTP/1.1\r\nX-A: 1\r\n\r\n",
  ),
  refused("an empty Host", "GET /p HTTP/1.1\r\nHost:\r\n\r\n"),
  refused("a Host of spaces", "GET /p HTTP/1.1\r\nHost:   \r\n\r\n"),
  refused(
    "a doubled Host",
    "GET /p HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n",
  ),
  refused(
    "a Host twice the same",
    "GET /p HTTP/1.1\r\nHost: a.test\r\nHost: a.test\r\n\r\n",
  ),
  refused(
    "a second Host in another case",
    "GET /p HTTP/1.1\r\nHost: a.test\r\nhOST: b.test\r\n\r\n",
  ),
  refused(
    "a doubled Host of HTTP/1.0",
    "GET /p HTTP/1.0\r\nHost: a.test\r\nHost: b.test\r\n\r\n",
  ),
  refused(
    "a malformed Host of HTTP/1.0",
    "GET /p HTTP/1.0\r\nHost: evil/../x\r\n\r\n",
  ),
  refused("an empty Host of HTTP/1.0", "GET /p HTTP/1.0\r\nHost:\r\n\r\n"),
  // HAProxy's default health check was answered 400, and marked Sluice down.
  unnamed("HTTP/1.0 without a Host (HAProxy's httpchk)", "OPTIONS", "/"),
  unnamed("HTTP/1.0 without a Host and with a query", "GET", "/p?a=/b"),
  unnamed("HTTP/1.0 without a Host and with two slashes", "GET", "/a//evil"),
  {
    name: "host: a redirect for a client that named none has a path alone",
    async run(round) {
      const { authority } = round.backend;
      const { status, header } = await round.ask(
        "GET /p HTTP/1.0\r\n\r\n",
        (conn) =>
          conn.reply({
            status: 302,
            headers: { "Location": `http://${authority}/q?r` },
          }),
      );
      assert.equal(status, 302);
      assert.equal(header("location"), "/q?r");
    },
  },
  {
    name: "host: a space around it does not count (RFC 9112 §5.1)",
    async run(round) {
      const { status } = await round.ask(
        "GET /p HTTP/1.1\r\nHost: \t sluice.test \t\r\n\r\n",
      );
      assert.equal(status, 200);
      assert.equal(round.request.header("host"), "sluice.test");
    },
  },
];

/** Hosts with the default setting. */
export const host: Group = { name: "host", cases };

/** What `HOST_HEADER` makes of a request. */
function told(
  setting: string,
  promise: string,
  sent: string,
  wanted: (authority: string) => string,
): WireCase {
  return {
    name: `HOST_HEADER=${setting}: ${promise}`,
    async run(round) {
      const { status } = await round.ask(
        requestText("GET", "/", { host: sent }),
      );
      assert.equal(status, 200);
      const { request, backend } = round;
      assert.deepEqual(request.headerAll("host"), [wanted(backend.authority)]);
      assert.deepEqual(request.headerAll("x-forwarded-host"), [sent]);
    },
  };
}

/** `HOST_HEADER=preserve`. */
export const hostPreserved: Group = {
  name: "host preserved",
  env: () => ({ HOST_HEADER: "preserve" }),
  cases: [
    told(
      "preserve",
      "the client's Host arrives",
      "A.test:81",
      () => "A.test:81",
    ),
    told("preserve", "a v6 Host arrives", "[::1]:81", () => "[::1]:81"),
    unnamed("HTTP/1.0 without a Host", "GET", "/"),
  ],
};

/** `HOST_HEADER=backend`. */
export const hostOfBackend: Group = {
  name: "host of backend",
  env: () => ({ HOST_HEADER: "backend" }),
  cases: [
    told("backend", "the backend's own name arrives", "a.test", (own) => own),
    told("backend", "whatever port the client named", "a.test:1", (own) => own),
  ],
};

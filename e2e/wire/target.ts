/**
 * The request target: path and query reach the backend as they were sent, or
 * are refused, and never mean another place there.
 *
 * @module
 */

import assert from "node:assert/strict";
import { requestText } from "../harness/client.ts";
import { toBytes } from "../harness/wire.ts";
import type { Group, WireCase } from "./case.ts";

/** The target arrives byte for byte. */
function same(promise: string, target: string): WireCase {
  return {
    name: `target: ${promise} arrives as it was sent`,
    async run(round) {
      const { status } = await round.get(target);
      assert.equal(status, 200);
      assert.equal(round.request.target, target);
    },
  };
}

/** The target arrives in the one spelling that both runtimes have in common. */
function becomes(promise: string, sent: string, arrives: string): WireCase {
  return {
    name: `target: ${promise}`,
    async run(round) {
      const { status } = await round.get(sent);
      assert.equal(status, 200);
      assert.equal(round.request.target, arrives);
    },
  };
}

/** The target arrives as it was sent, or it is refused: never as another. */
function sameOrRefused(promise: string, target: string): WireCase {
  return {
    name: `target: ${promise} arrives as sent or is refused with 4xx`,
    async run(round) {
      const { status } = await round.get(target);
      const arrived = round.requests.map((request) => request.target);
      if (status === 200) assert.deepEqual(arrived, [target]);
      else {
        assert.ok(status >= 400 && status < 500 || status === 505, `${status}`);
        assert.deepEqual(arrived, [], "nothing reached the backend");
      }
    },
  };
}

const SAME: [promise: string, target: string][] = [
  ["a plain path", "/"],
  ["a path and a query", "/a/b?c=d&e=f"],
  ["an encoded slash (RFC 3986 §2.2)", "/a%2Fb"],
  ["the case of hex digits (RFC 3986 §6.2.2.1)", "/%e2%82%ac/%E2%82%AC/%2f%2F"],
  ["an encoded unreserved character (RFC 3986 §2.3)", "/%7euser/%41"],
  ["an encoded question mark", "/a%3Fb?c%3Fd"],
  ["an encoded hash", "/a%23b?c%23d"],
  ["an encoded space, and plus", "/a%20b+c?d+e%20f"],
  ["an encoded percent", "/100%25"],
  ["a percent that encodes nothing", "/a%zz%?%zz%"],
  ["%00", "/a%00b?c=%00"],
  ["%0d%0a, which must not end the line (CWE-113)", "/a%0d%0aX-Evil:%201"],
  ["an encoded backslash", "/a%5cb"],
  ["a double slash inside", "/a//b"],
  ["a double slash at the end", "/a//"],
  ["a double slash at the start, which names no host", "//evil.test/x"],
  ["three slashes at the start", "///x"],
  ["path parameters (RFC 3986 §3.3)", "/a;p=1/b;q=2,3"],
  ["a lone question mark", "/a?"],
  ["two question marks", "/a??b?c"],
  ["a query of slashes and dots", "/a?/../b/./c"],
  ["a URL in the query", "/a?u=http://evil.test/../x"],
  ["a URL in the path", "/http://evil.test/x"],
  ["a colon in the first segment", "/a:80/b"],
  ["sub-delims in the path", "/!$&'()*+,;=:@"],
  ["sub-delims in the query, without the apostrophe", "/?!$&()*+,;=:@/?"],
  ["an apostrophe in the query", "/?it's"],
  ["dots that are no dot segments", "/..a/b../...?.."],
  ["a hidden file", "/.well-known/x"],
  ["a bar", "/a|b?c|d"],
  ["braces, backtick and caret in the query", "/?{a}`b`^"],
  ["braces in the path", "/{a}"],
  ["a caret in the path", "/a^b"],
  ["a backtick in the path", "/a`b"],
  ["quotes and angle brackets in the path", '/a"b<c>'],
  ["quotes and angle brackets in the query", '/?a"b<c>'],
  ["brackets in the query", "/?a[0]=1&a[]=2"],
  ["an at sign, which makes no userinfo", "/@evil.test/x"],
  ["a matrix of equal names", "/a?b=1&b=2&b=1"],
  ["an encoded UTF-8 path", "/caf%C3%A9"],
  ["encoded bytes that are no UTF-8", "/%ff%fe"],
  ["a path that ends in a dot", "/a."],
  ["a trailing slash", "/a/"],
];

const DOTS: [promise: string, sent: string, arrives: string][] = [
  ["/a/../b is /b (RFC 3986 §5.2.4)", "/a/../b", "/b"],
  ["/a/./b is /a/b", "/a/./b", "/a/b"],
  ["/a/%2e%2e/b is /b (URL standard)", "/a/%2e%2e/b", "/b"],
  ["/a/.%2E/b is /b", "/a/.%2E/b", "/b"],
  ["/a/%2e/b is /a/b", "/a/%2e/b", "/a/b"],
  ["/a/.. is /", "/a/..", "/"],
  ["/a/b/. is /a/b/", "/a/b/.", "/a/b/"],
  ["/../../x does not climb above the root", "/../../x", "/x"],
  ["/a/..?q=.. keeps its query", "/a/..?q=..", "/?q=.."],
  ["/a//../b is /a/b", "/a//../b", "/a/b"],
];

const CAREFUL: [promise: string, target: string][] = [
  ["raw UTF-8 in the path", "/caf\xc3\xa9"],
  ["raw UTF-8 in the query", "/?caf\xc3\xa9"],
  ["a raw byte that is no UTF-8", "/caf\xe9"],
  ["a backslash in the path", "/a\\b"],
  ["a backslash that imitates a host (CVE-2019-0197 class)", "/\\evil.test/x"],
  ["a backslash in the query", "/?a\\b"],
  ["a fragment (RFC 9112 §3.2)", "/a#b"],
  ["a tab", "/a\tb"],
  ["a NUL byte", "/a\0b"],
  ["a DEL byte", "/a\x7fb"],
];

/** Requests that the proxy must answer itself, whatever the runtime does. */
const REFUSED: [promise: string, bytes: string][] = [
  [
    "OPTIONS * (RFC 9110 §9.3.7) is for one server",
    "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
  ],
  ["GET * is refused", "GET * HTTP/1.1\r\nHost: a\r\n\r\n"],
  ["a target without a slash is refused", "GET a HTTP/1.1\r\nHost: a\r\n\r\n"],
  [
    "an authority form on GET is refused (RFC 9112 §3.2.3)",
    "GET evil.test:80 HTTP/1.1\r\nHost: a\r\n\r\n",
  ],
  [
    "a space in the target is refused (RFC 9112 §3.2)",
    "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
  ],
  [
    "an absolute form of another scheme is refused",
    "GET ftp://evil.test/x HTTP/1.1\r\nHost: a\r\n\r\n",
  ],
  [
    "CONNECT is refused (RFC 9110 §9.3.6)",
    "CONNECT evil.test:443 HTTP/1.1\r\nHost: evil.test:443\r\n\r\n",
  ],
];

/** An absolute form that all readers parse alike (RFC 9112 §3.2.2). */
const NAMED_ALIKE: [promise: string, target: string][] = [
  ["of the same host", "http://sluice.test/x?y"],
  ["of the same host in capitals", "HTTP://SLUICE.Test/x?y"],
  ["with the port that is the default", "http://sluice.test:80/x?y"],
  ["with an empty port", "http://sluice.test:/x?y"],
];

/** One that names another host than `Host` does. */
const NAMED_OTHERWISE: [promise: string, target: string][] = [
  ["another host", "http://evil.test/x"],
  ["another host and no path", "http://evil.test"],
  ["another port", "http://sluice.test:81/x"],
  ["the port of another scheme", "http://sluice.test:443/x"],
  ["a host that only begins like it", "http://sluice.test.evil/x"],
  ["the host as userinfo", "http://sluice.test@evil.test/x"],
  ["userinfo in front of the host", "http://a@sluice.test/x"],
  ["a host with a dot at its end", "http://sluice.test./x"],
];

/** One without an authority (RFC 9110 §4.2.1). */
const NAMED_NONE: [promise: string, target: string][] = [
  ["an empty authority", "http:///x"],
  ["an empty authority, https", "https:///x"],
  ["an empty authority in capitals", "HTTP:///x"],
  ["an empty authority and a query", "http://?x"],
  ["nothing but the scheme", "http://"],
  ["a port alone", "http://:80/x"],
  ["empty userinfo", "http://@/x"],
  ["one slash", "http:/x"],
  ["no slash", "http:x"],
];

/** A target that is answered 400 and reaches no backend. */
function refused400(promise: string, target: string): WireCase {
  return {
    name: `target: ${promise} is refused with 400`,
    async run(round) {
      const { status } = await round.ask(
        `GET ${target} HTTP/1.1\r\nHost: sluice.test\r\n\r\n`,
      );
      assert.equal(round.requests.length, 0, "nothing reached the backend");
      assert.equal(status, 400);
      await round.stillFine();
    },
  };
}

function absolute(promise: string, target: string, arrives: string): WireCase {
  return {
    name: `target: ${promise}`,
    async run(round) {
      const { status } = await round.ask(
        `GET ${target} HTTP/1.1\r\nHost: sluice.test\r\n\r\n`,
      );
      // RFC 9112 §3.2.2 lets a proxy accept it; the test is about where it
      // goes.
      if (status === 200) {
        assert.equal(round.request.target, arrives);
      } else {
        assert.ok(status >= 400 && status < 500, `${status}`);
        assert.equal(round.requests.length, 0);
      }
    },
  };
}

/** Lengths, up to what every server accepts (RFC 9112 §3). */
const LENGTHS = [100, 1_000, 4_000, 8_000];

/** Targets where the backend has no base path. */
export const target: Group = {
  name: "target",
  cases: [
    ...SAME.map(([promise, text]) => same(promise, text)),
    ...DOTS.map(([promise, sent, arrives]) => becomes(promise, sent, arrives)),
    ...CAREFUL.map(([promise, text]) => sameOrRefused(promise, text)),
    ...LENGTHS.map((length) =>
      same(`a target of ${length} bytes`, `/${"a".repeat(length - 1)}`)
    ),
    same("a query of 8000 bytes", `/?q=${"%41+".repeat(2000)}`),
    ...REFUSED.map(([promise, bytes]): WireCase => ({
      name: `target: ${promise}`,
      async run(round) {
        const { status, problem } = await round.ask(toBytes(bytes));
        assert.equal(round.requests.length, 0, "nothing reached the backend");
        // A runtime may close without a response if it does not look like HTTP.
        if (status === 0) assert.notEqual(problem, undefined);
        else assert.ok(status >= 400 && status < 600, `${status}`);
        await round.stillFine();
      },
    })),
    ...NAMED_ALIKE.map(([promise, target]): WireCase => ({
      name: `target: an absolute form ${promise} arrives as its path`,
      async run(round) {
        const { status } = await round.get(target);
        assert.equal(status, 200);
        assert.equal(round.request.target, "/x?y");
        assert.equal(round.request.header("host"), "sluice.test");
      },
    })),
    // A firewall or a cache in front may use one of the two, and the backend
    // the other.
    ...NAMED_OTHERWISE.map(([promise, target]) =>
      refused400(`an absolute form that names ${promise}`, target)
    ),
    // `http:///x` was forwarded as the path `/http:///x`.
    ...NAMED_NONE.map(([promise, target]) =>
      refused400(`an absolute form with ${promise}`, target)
    ),
    same("a path that looks like an absolute form", "/http:///x"),
    {
      // X-Forwarded-Proto was https then, without any TLS.
      name: "target: an absolute form of https makes no connection secure",
      async run(round) {
        const { status } = await round.get("https://sluice.test/x");
        assert.equal(status, 200);
        assert.equal(round.request.header("x-forwarded-proto"), "http");
      },
    },
    ...["file", "httpx", "ftp"].map((scheme) =>
      refused400(
        `an absolute form of the scheme ${scheme}`,
        `${scheme}://sluice.test/x`,
      )
    ),
    absolute(
      "an absolute form contacts no other host (RFC 9112 §3.2.2)",
      "http://evil.test/x?y",
      "/x?y",
    ),
    absolute(
      "an absolute form without a path is /",
      "http://evil.test",
      "/",
    ),
    absolute(
      "an absolute form with a query alone gets a slash (RFC 9112 §3.2.1)",
      "http://evil.test?x",
      "/?x",
    ),
    absolute(
      "an absolute form with userinfo contacts no other host",
      "http://sluice.test@evil.test/x",
      "/x",
    ),
    absolute(
      "an absolute form of https goes to the same backend",
      "https://evil.test:8443/x",
      "/x",
    ),
    {
      name: "target: a request for the backend's own address goes through us",
      async run(round) {
        const { status } = await round.ask(
          requestText("GET", `http://${round.backend.authority}/x`),
        );
        if (status === 200) assert.equal(round.request.target, "/x");
        else assert.equal(round.requests.length, 0);
      },
    },
  ],
};

/** A target that tries to leave the backend's base path. */
function staysInside(promise: string, target: string): WireCase {
  return {
    name: `base path: ${promise}`,
    async run(round) {
      const { status } = await round.get(target);
      for (const request of round.requests) {
        // What a careless backend would make of it, decoding twice.
        let path = request.path;
        for (let i = 0; i < 3; i++) {
          path = path.replace(
            /%[0-9a-f]{2}/gi,
            (code) => String.fromCharCode(parseInt(code.slice(1), 16)),
          );
        }
        path = path.replaceAll("\\", "/").replace(/;[^/]*/g, "");
        const real = new URL(`http://h${path}`).pathname;
        assert.ok(
          real === "/app" || real.startsWith("/app/"),
          `${request.target} leaves the base path`,
        );
      }
      assert.equal(status, round.requests.length === 0 ? 400 : 200);
    },
  };
}

const CLIMBS: [promise: string, target: string][] = [
  ["/../secret stays inside", "/../secret"],
  ["/a/../../secret stays inside", "/a/../../secret"],
  ["/%2e%2e/secret stays inside", "/%2e%2e/secret"],
  ["/..%2fsecret stays inside (CVE-2021-41773 class)", "/..%2fsecret"],
  ["/%2e%2e%2fsecret stays inside", "/%2e%2e%2fsecret"],
  ["/%252e%252e/secret stays inside (double encoding)", "/%252e%252e/secret"],
  ["/%252e%252e%252fsecret stays inside", "/%252e%252e%252fsecret"],
  ["/..%5csecret stays inside", "/..%5csecret"],
  ["/..%255csecret stays inside", "/..%255csecret"],
  ["/..;/secret stays inside (Tomcat's path parameters)", "/..;/secret"],
  ["/..;a=b/secret stays inside", "/..;a=b/secret"],
  ["/..%3b/secret stays inside", "/..%3b/secret"],
  ["/a/..%2f..%2fsecret stays inside", "/a/..%2f..%2fsecret"],
  ["/.%2e/%2e./secret stays inside", "/.%2e/%2e./secret"],
  ["/..\\secret stays inside", "/..\\secret"],
  ["//../secret stays inside", "//../secret"],
  ["/%2e%2e stays inside", "/%2e%2e"],
  ["/..%2f stays inside", "/..%2f"],
  // A letter of `%2e` that is encoded by itself was not detected.
  ["/%25%32%65%25%32%65/secret stays inside", "/%25%32%65%25%32%65/secret"],
  ["/.%25%32%65/secret stays inside", "/.%25%32%65/secret"],
  ["/..%25%32%66secret stays inside", "/..%25%32%66secret"],
  ["/%2%65%2%65/secret stays inside", "/%2%65%2%65/secret"],
  ["/%%32e%%32e/secret stays inside", "/%%32e%%32e/secret"],
  ["/..%25%35%63secret stays inside", "/..%25%35%63secret"],
];

/** Targets behind a backend with a base path. */
export const basePath: Group = {
  name: "base path",
  env: (backend) => ({ BACKENDS: `${backend.url}/app` }),
  cases: [
    ...CLIMBS.map(([promise, text]) => staysInside(promise, text)),
    ...([
      ["stands in front of a path", "/x/y?z", "/app/x/y?z"],
      ["stands in front of the root", "/", "/app/"],
      ["keeps a double slash behind it", "//x", "/app//x"],
      ["keeps an encoded slash behind it", "/a%2fb", "/app/a%2fb"],
      ["keeps dots in a query", "/?f=../../x", "/app/?f=../../x"],
      ["keeps a dotted name", "/a..b/..c", "/app/a..b/..c"],
    ] as const).map(([promise, sent, arrives]): WireCase => ({
      name: `base path: it ${promise}`,
      async run(round) {
        const { status } = await round.get(sent);
        assert.equal(status, 200);
        assert.equal(round.request.target, arrives);
      },
    })),
  ],
};

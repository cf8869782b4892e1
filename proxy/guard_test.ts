import assert from "node:assert/strict";
import {
  destinationClimbs,
  impliedHost,
  isRefusal,
  logsConnectionIn,
  refuseAsterisk,
  refuseFraming,
  refuseHost,
  refuseMethod,
  schemeOf,
  targetOf,
} from "./guard.ts";

Deno.test("refuseMethod() lets common methods pass without asking the runtime", () => {
  const asked = (): boolean => assert.fail("asked");
  for (
    const method of ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
  ) assert.equal(refuseMethod(method, { sendsMethod: asked }), undefined);
});

Deno.test("refuseMethod() answers TRACE with 405 and Allow", () => {
  const refusal = refuseMethod("TRACE", { sendsMethod: () => true });
  assert.equal(refusal?.status, 405);
  assert.match(refusal?.fields?.["allow"] ?? "", /^GET, /);
});

Deno.test("refuseMethod() asks the runtime for any other", () => {
  for (const method of ["QUERY", "FOO", "get", "CONNECT", ""]) {
    assert.equal(refuseMethod(method, { sendsMethod: () => true }), undefined);
    assert.equal(
      refuseMethod(method, { sendsMethod: () => false })?.status,
      501,
    );
  }
});

const HOSTS: [host: string | null, fine: boolean][] = [
  ["a", true],
  ["a.test", true],
  ["A.Test:8080", true],
  ["a.test.", true],
  ["a.test:", true],
  ["a.test:0", true],
  ["a.test:65535", true],
  ["a.test:65536", false],
  ["a.test:123456", false],
  ["a.test:8o", false],
  ["a.test:80:80", false],
  ["192.0.2.1:80", true],
  ["[::1]", true],
  ["[::1]:80", true],
  ["[::1", false],
  ["::1", false],
  ["[a]", true],
  ["[g]", false],
  ["my_service", true],
  ["_srv.a.test", true],
  ["caf%C3%A9.test", true],
  ["caf%C3.%zz", false],
  ["-a", false],
  [":80", false],
  // HTTP/1.0 has none; one that is there has to name a host.
  [null, true],
  ["", false],
  [" ", false],
  ["a b", false],
  ["a,b", false],
  ["a, b", false],
  ["a/b", false],
  ["a\\b", false],
  ["a?b", false],
  ["a#b", false],
  ["u@a", false],
  ["u:p@a", false],
  ["http://a", false],
  ["a\n", false],
  ["a\0", false],
  ["caf\xe9", false],
  ['"a"', false],
];

Deno.test("refuseHost() takes a host and a port, and nothing that could move a path", () => {
  for (const [host, fine] of HOSTS) {
    assert.equal(refuseHost(host)?.status, fine ? undefined : 400, `${host}`);
  }
});

const TARGETS: [url: string, host: string | null, text: string][] = [
  // The URL is what `Host` says and then the target.
  ["http://a.test/", "a.test", "/"],
  ["http://a.test/b?c", "a.test", "/b?c"],
  ["https://a.test/b", "a.test", "/b"],
  ["http://a.test:81/b", "a.test:81", "/b"],
  ["http://[::1]:81/b", "[::1]:81", "/b"],
  ["http://a.test//evil/x", "a.test", "//evil/x"],
  ["http://a.test/b?", "a.test", "/b?"],
  ["http://a.test/%2F%2f%zz", "a.test", "/%2F%2f%zz"],
  ["http://a.test/?a'b|{}", "a.test", "/?a'b|{}"],
  // Bun spells hosts anew, and names the port of the scheme no more.
  ["http://a.test/b", "A.TEST:80", "/b"],
  ["http://127.0.0.1/b", "0x7f.1", "/b"],
  // Made in code, where `Host` and URL may differ: it is the caller's to choose.
  ["http://evil.test/b?c", "a.test", "/b?c"],
  ["http://a.test.evil/b", "a.test", "/b"],
  ["http://u:p@evil/b", "a.test", "/b"],
  ["http://evil.test", "a.test", "/"],
  ["http://evil.test?c", "a.test", "/?c"],
  ["HTTP://evil.test/b", "a.test", "/b"],
  // Of HTTP/2, or made in code.
  ["https://a.test/b", null, "/b"],
  // Bun shows the bare target where there is no `Host`.
  ["/b?c", null, "/b?c"],
  ["//evil.test/b", null, "//evil.test/b"],
  ["/a/../b", null, "/b"],
  // Deno, on a Unix domain socket.
  ["http+unix://a.test/b", "a.test", "/b"],
  ["http+unix://%2Frun%2Fs%2Esock/b", null, "/b"],
  // Dot segments (RFC 3986 §5.2.4), `%2e` as the URL standard has it.
  ["http://h/a/../b", "h", "/b"],
  ["http://h/a/./b", "h", "/a/b"],
  ["http://h/a/%2e%2E/b", "h", "/b"],
  ["http://h/a/.%2e", "h", "/"],
  ["http://h/a/.", "h", "/a/"],
  ["http://h/a/..", "h", "/"],
  ["http://h/a//../b", "h", "/a/b"],
  ["http://h/../../b", "h", "/b"],
  ["http://h/..", "h", "/"],
  ["http://h/a/...", "h", "/a/..."],
  ["http://h/.a/..b/c..", "h", "/.a/..b/c.."],
  ["http://h/a?/../b", "h", "/a?/../b"],
  ["http://h/a/..?b=..", "h", "/?b=.."],
];

Deno.test("targetOf() takes path and query out of what either runtime shows", () => {
  for (const [url, host, text] of TARGETS) {
    const target = targetOf(url, host);
    assert.ok(!isRefusal(target), url);
    assert.equal(target.text, text, url);
    assert.equal(target.climbs, false, url);
  }
});

const NO_TARGETS: [url: string, host: string][] = [
  ["http://h/caf\xe9", "h"],
  ["http://h/a\tb", "h"],
  ["http://h/a b", "h"],
  ["http://h/a\0b", "h"],
  ["http://h/a\x7fb", "h"],
  ["http://h/a\\b", "h"],
  ["http://h\\evil/x", "h"],
  ["http://h/a#b", "h"],
  ["http://h#b", "h"],
  // What Deno makes of an authority form, and Bun of a bad host.
  ["evil.test:443", "evil.test:443"],
  ["/p", "h"],
  ["ftp://evil/x", "h"],
  // As long as `http` and `https`, and neither.
  ["file://h/x", "h"],
  ["httpx://h/x", "h"],
  ["", "h"],
];

Deno.test("targetOf() refuses invalid targets, and those that would be rewritten", () => {
  for (const [url, host] of NO_TARGETS) {
    const target = targetOf(url, host);
    assert.ok(isRefusal(target), url);
    assert.equal(target.status, 400);
  }
});

const PASTED: [url: string, host: string | null, text: string | undefined][] = [
  ["http://a.test/b", "a.test", "/b"],
  ["http://a.test?b", "a.test", "/?b"],
  ["http://A.Test/b", "a.test", "/b"],
  ["http://a.test:80/b", "a.test", "/b"],
  ["http://a.test:/b", "a.test", "/b"],
  ["HTTP://a.test/b", "a.test", "/b"],
  ["https://a.test:443/b", "a.test", "/b"],
  ["http://a.test/b", "A.TEST:80", "/b"],
  ["http://a.test/http://b.test/c", "a.test", "/http://b.test/c"],
  ["http://a.test/b?c=http:///d", "a.test", "/b?c=http:///d"],
  ["http://a.test/b/http:///d", "a.test", "/b/http:///d"],
  // Another host than `Host` says.
  ["http://evil.test/b", "a.test", undefined],
  ["http://a.test.evil/b", "a.test", undefined],
  ["http://a.test:81/b", "a.test", undefined],
  ["http://a.test:443/b", "a.test", undefined],
  ["http://u@a.test/b", "a.test", undefined],
  ["http://a.test@evil.test/b", "a.test", undefined],
  ["http://a.test./b", "a.test", undefined],
  ["http://:80/b", "a.test", undefined],
  ["http://@/b", "a.test", undefined],
  ["http://#b/", "a.test", undefined],
  ["http://\\b/", "a.test", undefined],
  // What Deno makes of `http:///b` and its like.
  ["http://a.test/http:///b", "a.test", undefined],
  ["http://a.test/HTTPS:///b", "a.test", undefined],
  ["http://a.test/foo+1.2-3:///b", "a.test", undefined],
  ["http://a.test/http://?b", "a.test", undefined],
  ["http://a.test/http://", "a.test", undefined],
  ["http://localhost/http:///b", null, undefined],
];

Deno.test("targetOf() refuses a target of Deno's that names no host, or another than Host", () => {
  // `GET http:///x` went on as the path `/http:///x`, and what an absolute form
  // or `:authority` named was ignored where a firewall in front may go by it.
  for (const [url, host, text] of PASTED) {
    const target = targetOf(url, host, true);
    if (text === undefined) {
      assert.ok(isRefusal(target), url);
      assert.equal(target.status, 400);
    } else {
      assert.ok(!isRefusal(target), url);
      assert.equal(target.text, text);
    }
  }
});

const CLIMBING = [
  "/..%2fa",
  "/%2e%2e%2Fa",
  "/a/..%2f..%2fb",
  "/..%5ca",
  "/%252e%252e/a",
  "/%252e%252e%252fa",
  "/..%252fa",
  "/..;/a",
  "/..;b=c/a",
  "/..%3ba/b",
  "/a%2f..",
  // Each of the letters of `%2e` may be encoded by itself.
  "/%25%32%65%25%32%65/a",
  "/%25%32%65%25%32%65%25%32%66a",
  "/.%25%32%65/a",
  "/%2%65%2%65/a",
  "/%%32e%%32e/a",
  "/%2%35%32%65%2%35%32%65/a",
  "/..%25%35%63a",
  "/..%25%33%62/a",
];

const STAYING = [
  "/a%2fb",
  "/..a/b",
  "/a..%2fb",
  "/...%2fa",
  "/a?b=..%2f",
  "/%2e%2ea",
  "/a;..",
  "/100%25",
  "/%25%32%65",
  "/a%25%32%65%25%32%65b",
  "/%%%",
  "/%c3%a9/%41%42",
];

Deno.test("targetOf() says which targets climb once they are decoded", () => {
  for (const text of CLIMBING) {
    const target = targetOf(`http://h${text}`, "h");
    assert.ok(!isRefusal(target) && target.climbs, text);
  }
  for (const text of STAYING) {
    const target = targetOf(`http://h${text}`, "h");
    assert.ok(!isRefusal(target) && !target.climbs, text);
  }
});

const IMPLIED: [url: string, pasted: boolean, host: string | null][] = [
  ["https://a.test/b", true, "a.test"],
  ["https://a.test:81/b", true, "a.test:81"],
  ["https://localhost/b", true, "localhost"],
  ["http://a.test?b", true, "a.test"],
  ["HTTP://a.test/b", true, "a.test"],
  // What Deno invents for a request without a `Host`.
  ["http://localhost/b", true, null],
  ["http://localhost:8080/b", true, null],
  ["http://192.0.2.1:8080/b", true, null],
  ["http+unix://%2Frun%2Fs%2Esock/b", true, null],
  ["http://localhost/b", false, "localhost"],
  ["http://192.0.2.1:8080/b", false, "192.0.2.1:8080"],
  ["http://localhost.test/b", true, "localhost.test"],
  ["http://192.0.2.2:8080/b", true, "192.0.2.2:8080"],
  // What Bun shows then.
  ["/b", true, null],
  ["/b", false, null],
];

Deno.test("impliedHost() is the URL's, unless the runtime made it up", () => {
  const served = {
    scheme: "http",
    authority: "192.0.2.1:8080",
    direct: true,
  } as const;
  for (const [url, pasted, host] of IMPLIED) {
    assert.equal(impliedHost(url, pasted, served), host, url);
  }
  assert.equal(impliedHost("http://localhost/b", true), null);
});

Deno.test("schemeOf() uses the server's scheme, not the client's", () => {
  // On Deno `GET https://a/b` on a connection without TLS was passed on as https.
  const cases: [
    url: string,
    served: "http" | "https" | undefined,
    told: string | undefined,
    scheme: string,
  ][] = [
    ["https://a/b", "http", undefined, "http"],
    ["http://a/b", "https", undefined, "https"],
    ["https://a/b", undefined, undefined, "https"],
    ["HTTPS://a/b", undefined, undefined, "https"],
    ["http://a/b", undefined, "https", "http"],
    ["http+unix://a/b", undefined, undefined, "http"],
    // Bun's bare target, whatever its fifth letter.
    ["/abcs", undefined, undefined, "http"],
    ["/abcs", undefined, "https", "https"],
    ["/abcs", "https", undefined, "https"],
  ];
  for (const [url, served, told, scheme] of cases) {
    const own = served &&
      { scheme: served, authority: undefined, direct: true };
    const source = { schemeOf: () => told };
    assert.equal(schemeOf(url, own, source, {}), scheme, url);
  }
  assert.equal(schemeOf("/a", undefined, {}, undefined), "http");
});

Deno.test("destinationClimbs() looks at COPY and MOVE alone, and at the path alone", () => {
  for (const text of [...CLIMBING, "/../a", "/a/..", "/..\\a"]) {
    for (const destination of [text, `http://h${text}`]) {
      const headers = new Headers({ destination });
      assert.equal(destinationClimbs("MOVE", headers), true, destination);
      assert.equal(destinationClimbs("COPY", headers), true, destination);
      assert.equal(destinationClimbs("PUT", headers), false, destination);
    }
  }
  for (const text of [...STAYING, "/a?/../b", "/a#/../b", ""]) {
    const headers = new Headers({ destination: `http://h${text}` });
    assert.equal(destinationClimbs("MOVE", headers), false, text);
  }
  assert.equal(destinationClimbs("MOVE", new Headers()), false);
});

const FRAMINGS: [
  method: string,
  length: string | null,
  coding: string | null,
  status: number | undefined,
][] = [
  ["GET", null, null, undefined],
  ["GET", "0", null, undefined],
  ["GET", "00", null, undefined],
  ["GET", "1", null, 400],
  ["GET", null, "chunked", 400],
  ["HEAD", "1", null, 400],
  ["POST", null, null, undefined],
  ["POST", "12", null, undefined],
  ["POST", null, "chunked", undefined],
  ["POST", null, "Chunked", undefined],
  ["POST", null, "gzip, chunked", 501],
  ["POST", null, "chunked, chunked", 501],
  ["POST", null, "identity", 501],
  ["POST", null, "", 501],
  ["POST", "+1", null, 400],
  ["POST", "-1", null, 400],
  ["POST", "0x1", null, 400],
  ["POST", "1, 1", null, 400],
  ["POST", "1 1", null, 400],
  ["POST", "", null, 400],
  ["POST", "9007199254740991", null, undefined],
  ["POST", "9007199254740992", null, 400],
];

Deno.test("refuseFraming() takes a length or chunks, and neither on GET", () => {
  for (const [method, length, coding, status] of FRAMINGS) {
    assert.equal(
      refuseFraming(method, length, coding)?.status,
      status,
      `${method} ${length} ${coding}`,
    );
  }
});

Deno.test("logsConnectionIn() knows the schemes that log a connection in", () => {
  for (const field of ["NTLM", "ntlm TlRM", "Negotiate YII", "NEGOTIATE"]) {
    assert.equal(logsConnectionIn(field), true, field);
  }
  for (const field of [null, "", "Basic bnRsbQ==", "NTLMX a", "Bearer ntlm"]) {
    assert.equal(logsConnectionIn(field), false, String(field));
  }
});

Deno.test("refuseAsterisk() refuses OPTIONS * alone", () => {
  assert.equal(refuseAsterisk("OPTIONS", "/*")?.status, 400);
  assert.equal(refuseAsterisk("OPTIONS", "/"), undefined);
  assert.equal(refuseAsterisk("GET", "/*"), undefined);
});

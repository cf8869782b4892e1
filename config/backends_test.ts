import assert from "node:assert/strict";
import { parseBackend, parseBackends, parseBackendUrl } from "./backends.ts";

Deno.test("parseBackendUrl() brings a URL into its normal form", () => {
  const cases: [written: string, normal: string][] = [
    ["http://a", "http://a"],
    ["http://a/", "http://a"],
    ["HTTP://A.Test:80/", "http://a.test"],
    ["https://a:443/Base/", "https://a/Base"],
    ["http://a:443", "http://a:443"],
    ["http://a:03000", "http://a:3000"],
    ["http://a_b.test.", "http://a_b.test."],
    ["http://10.0.0.5:3000/v1", "http://10.0.0.5:3000/v1"],
    ["http://[0:0::1]:3000", "http://[::1]:3000"],
    ["http://a/%7e/@scope;v=1", "http://a/%7e/@scope;v=1"],
    ["unix:/run/app.sock", "unix:/run/app.sock"],
  ];
  for (const [written, normal] of cases) {
    assert.deepEqual(parseBackendUrl(written), { value: normal }, written);
  }
});

Deno.test("parseBackendUrl() says what to write instead", () => {
  const cases: [written: string, wanted: RegExp][] = [
    ["a", /write http:\/\/a$/],
    ["https:a:3000", /write https:\/\/a:3000$/],
    ["http:/a", /write http:\/\/a$/],
    ["mailto:x", /write http:\/\/127\.0\.0\.1:3000$/],
    ["http://münchen.test", /means xn--mnchen-3ya\.test/],
    ["http://010.1", /means 8\.0\.0\.1/],
    ["http://a:", /has an invalid port/],
    ["http://[fe80::1%eth0]", /neither a name nor an address/],
    ["http://a/ä", /percent-encoded/],
    ["http://a/%zz", /percent-encoded/],
    ["http://a//", /empty path segment/],
    ["unix:///run/app.sock", /plain absolute path/],
    ["unix:/run/../app.sock", /plain absolute path/],
    [`unix:/${"a".repeat(107)}`, /at most 107 bytes/],
  ];
  for (const [written, wanted] of cases) {
    const result = parseBackendUrl(written);
    assert.match("wanted" in result ? result.wanted : "", wanted, written);
  }
});

Deno.test("parseBackend() reads the words after the URL", () => {
  assert.deepEqual(
    parseBackend(" http://a  weight=0 backup\tmax_conns=100 resolve "),
    {
      value: {
        url: "http://a",
        weight: 0,
        backup: true,
        maxConns: 100,
        resolve: true,
      },
    },
  );
});

Deno.test("parseBackends() reads commas, lines and comments", () => {
  const text = "\uFEFF# all\r\nhttp://a, http://b weight=2,\n\n" +
    "  http://c # not http://d, nor http://e\n";
  assert.deepEqual(parseBackends(text), {
    backends: [
      { url: "http://a" },
      { url: "http://b", weight: 2 },
      { url: "http://c" },
    ],
    faults: [],
  });
});

Deno.test("parseBackend() reads a name of any visible characters but a few", () => {
  // `name` was in the options, and ignored.
  for (const name of ["web-1", "a", "eu.web_2", "x=y", "a@b:80", "#1", "!"]) {
    assert.deepEqual(parseBackends(`http://a name=${name} weight=2`), {
      backends: [{ url: "http://a", name, weight: 2 }],
      faults: [],
    });
  }
  for (
    const name of ['"', "'", "`", "a/b", "a\\b", "\u00fc", "", "x".repeat(65)]
  ) {
    const { faults } = parseBackends(`http://a name=${name}`);
    assert.match(faults[0]!.wanted, /^has an invalid name, .* 1 to 64/, name);
  }
  assert.match(parseBackends("http://a name").faults[0]!.wanted, /invalid/);
  assert.match(
    parseBackends("http://a name=x name=y").faults[0]!.wanted,
    /has name twice/,
  );
});

Deno.test("parseBackends() refuses a name that another backend has", () => {
  const { backends, faults } = parseBackends(
    "http://a name=web\nhttp://b name=web\nhttp://c name=other",
  );
  assert.deepEqual(backends.map(({ url }) => url), ["http://a", "http://c"]);
  assert.deepEqual(faults, [{
    line: 2,
    entry: "http://b name=web",
    wanted: "uses a name that is taken, web: choose another name",
  }]);
});

Deno.test("parseBackends() names the line and keeps the rest", () => {
  const { backends, faults } = parseBackends("http://a\n\nb:80,http://c");
  assert.deepEqual(backends, [{ url: "http://a" }, { url: "http://c" }]);
  assert.deepEqual(faults, [
    { line: 3, entry: "b:80", wanted: "has no scheme: write http://b" },
  ]);
});

Deno.test("parseBackends() takes a pool of backups only", () => {
  assert.deepEqual(parseBackends("http://a backup,http://b backup").faults, []);
});

Deno.test("parseBackends() shows no password, however an entry is malformed", () => {
  const lists = [
    "http://user:hunter2@a",
    "http://user:hunter2@a?b weight=x",
    "http://user:hunter,2@a",
    "http://user:hun/ter2@a",
    "http://user:hunter#@a",
    "http:user:hunter2@a",
    "//user:hunter2@a",
    "user:hunter2@a:3000",
    "user:hunter2",
    "ftp://user:hunter2@a",
    "http://user:hunter2 @a",
  ];
  for (const list of lists) {
    const { backends, faults } = parseBackends(list);
    assert.deepEqual(backends, [], list);
    assert.doesNotMatch(JSON.stringify(faults), /hunter|ter2/, list);
  }
});

// `http://127.0.0.1:abc` was shown as `http://127.0.0.1:***`, which hides the one
// thing that is wrong.
Deno.test("parseBackends() hides nothing but the text before an @", () => {
  const entries = [
    "http://127.0.0.1:abc",
    "127.0.0.1:abc",
    "localhost:http",
    "app.test:http",
    "http://a:99999/me@home",
    "http://[::1]:x",
    "http://a.test/x?y=1",
    "unix:/run/me@home.sock/../x",
  ];
  for (const entry of entries) {
    assert.deepEqual(
      parseBackends(entry).faults.map((fault) => fault.entry),
      [entry],
    );
  }
  assert.deepEqual(
    parseBackends("http://me:a@a.test, http://b:x, http://c").faults
      .map((fault) => fault.entry),
    ["http://***@a.test", "http://b:x"],
  );
});

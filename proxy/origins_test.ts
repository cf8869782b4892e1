import assert from "node:assert/strict";
import { originKey, splitUrl } from "./origins.ts";

Deno.test("originKey() spells equal origins alike", () => {
  for (
    const [scheme, authority, key] of [
      ["http", "a.test", "http://a.test"],
      ["HTTP", "A.Test", "http://a.test"],
      ["http", "a.test:80", "http://a.test"],
      ["https", "a.test:443", "https://a.test"],
      ["http", "a.test:", "http://a.test"],
      ["http", "a.test:443", "http://a.test:443"],
      ["https", "a.test:80", "https://a.test:80"],
      ["http", "a.test:8080", "http://a.test:8080"],
      ["http", "[::80]", "http://[::80]"],
      ["http", "[::1]:80", "http://[::1]"],
    ] as const
  ) assert.equal(originKey(scheme, authority), key);
});

Deno.test("splitUrl() splits a URL where every parser does", () => {
  for (
    const [url, origin, rest] of [
      ["http://a.test/b?c", "http://a.test", "/b?c"],
      ["HTTPS://A.test:443", "https://a.test", ""],
      ["http://a.test?b", "http://a.test", "?b"],
      ["http://a.test#b", "http://a.test", "#b"],
      ["http://u@a.test/", "http://u@a.test", "/"],
    ] as const
  ) assert.deepEqual(splitUrl(url), { origin, rest }, url);
  for (
    const url of ["", "/a", "a", "//a/b", "ftp://a/b", "http:a", "http:/a"]
  ) assert.equal(splitUrl(url), undefined, url);
  // Browsers take `\` for a slash, other readers for a part of the host.
  assert.equal(splitUrl("http://a.test\\@evil.test/"), undefined);
});

import assert from "node:assert/strict";
import { plain, urlHost } from "./text.ts";

Deno.test("plain() leaves nothing that ends a line or controls a terminal", () => {
  assert.equal(
    plain("a\r\nb\x1b[2J\x7f\x85\u2028\u2029c ü"),
    "a??b?[2J????c ü",
  );
});

Deno.test("urlHost() puts IPv6 addresses in brackets, and nothing else", () => {
  for (const host of ["127.0.0.1", "localhost", "0.0.0.0"]) {
    assert.equal(urlHost(host), host);
  }
  assert.equal(urlHost("::1"), "[::1]");
});

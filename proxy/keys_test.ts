import assert from "node:assert/strict";
import { Lines } from "./fields.ts";
import { cookieOf, keyOf } from "./keys.ts";

const facts = (
  { client = "192.0.2.1", target = "/", headers = {} }: {
    client?: string;
    target?: string;
    headers?: Record<string, string>;
  },
) => ({
  client,
  target,
  // As Deno gives them: in lower case, and found in no other.
  headers: new Lines(Object.entries(headers)),
});

Deno.test("keyOf() takes the key that its policy is named after", () => {
  for (
    const [policy, given, key] of [
      ["ip_hash", {}, "192.0.2.1"],
      ["ip_hash", { client: "-" }, undefined],
      ["uri_hash", { target: "/a/b?c=d?e" }, "/a/b"],
      ["uri_hash", { target: "/a/b" }, "/a/b"],
      ["header:X-Tenant", { headers: { "x-tenant": "blue" } }, "blue"],
      ["header:X-Tenant", { headers: { "x-tenant": "" } }, undefined],
      ["header:X-Tenant", {}, undefined],
      ["cookie:id", { headers: { cookie: "a=1; id=7" } }, "7"],
      ["cookie:id", { headers: { cookie: "idx=1; ID=2" } }, undefined],
    ] as const
  ) assert.equal(keyOf(policy)!(facts(given)), key, policy);
});

Deno.test("keyOf() takes no key for policies that hash nothing", () => {
  for (const policy of ["round_robin", "p2c", "sticky:id"]) {
    assert.equal(keyOf(policy), undefined);
  }
});

Deno.test("cookieOf() finds a cookie by its exact name, the first of two", () => {
  for (
    const [cookie, value] of [
      ["id=1", "1"],
      ["a=id=1; id=2", "2"],
      ["xid=1; id = 2 ;id=3", "2"],
      ["id", undefined],
      ["id=", ""],
      ["id=a=b==", "a=b=="],
      ["", undefined],
    ] as const
  ) {
    assert.equal(cookieOf(new Headers({ cookie }), "id"), value, cookie);
  }
  assert.equal(cookieOf(new Headers(), "id"), undefined);
});

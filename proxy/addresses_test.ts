import assert from "node:assert/strict";
import { cachedMatcher, peerOf, plainAddress } from "./addresses.ts";

const PLAIN: [text: string, plain: string][] = [
  ["192.0.2.1", "192.0.2.1"],
  ["192.0.2.1:8080", "192.0.2.1"],
  ["2001:db8::1", "2001:db8::1"],
  ["[2001:db8::1]", "2001:db8::1"],
  ["[2001:db8::1]:8080", "2001:db8::1"],
  ["::1", "::1"],
  ["::ffff:192.0.2.1", "192.0.2.1"],
  ["::FFFF:192.0.2.1", "192.0.2.1"],
  ["[::ffff:192.0.2.1]:80", "192.0.2.1"],
  ["fe80::1%eth0", "fe80::1"],
  ["unknown", "unknown"],
  ["_hidden", "_hidden"],
  ["", ""],
];

Deno.test("plainAddress() leaves port, brackets, zone and mapping away", () => {
  for (const [text, plain] of PLAIN) assert.equal(plainAddress(text), plain);
});

Deno.test("cachedMatcher() asks once for each address", () => {
  const asked: string[] = [];
  const matches = cachedMatcher((address) => {
    asked.push(address);
    return address === "a";
  });
  assert.deepEqual(["a", "b", "a", "b"].map(matches), [
    true,
    false,
    true,
    false,
  ]);
  assert.deepEqual(asked, ["a", "b"]);
});

Deno.test("cachedMatcher() is bounded", () => {
  let asked = 0;
  const matches = cachedMatcher(() => {
    asked++;
    return true;
  });
  for (let i = 0; i < 5_000; i++) matches(`${i}`);
  assert.equal(asked, 5_000);
  // The first one was forgotten long ago; asked for again, it is known again.
  matches("0");
  matches("0");
  assert.equal(asked, 5_001);
});

const PEERS: [
  promise: string,
  told: string | null | undefined,
  connection: unknown,
  peer: string | null | undefined,
][] = [
  ["made in code", "192.0.2.1", undefined, undefined],
  ["made in code", "192.0.2.1", null, undefined],
  ["from a server", "192.0.2.1", {}, "192.0.2.1"],
  ["on a socket of both kinds", "::ffff:192.0.2.1", {}, "192.0.2.1"],
  ["from a server, v6", "2001:db8::1", {}, "2001:db8::1"],
  // The client has left: Bun says nothing, Deno an address that is none.
  ["gone", null, {}, null],
  ["gone", "0.0.0.0", {}, null],
  ["gone", "::", {}, null],
  ["gone", "::ffff:0.0.0.0", {}, null],
  // A Unix domain socket has no addresses.
  ["from a Unix domain socket", undefined, {}, undefined],
  ["told", undefined, { clientAddress: "192.0.2.1" }, "192.0.2.1"],
  ["told", undefined, { clientAddress: "::ffff:192.0.2.1" }, "192.0.2.1"],
  ["told that it is gone", undefined, { clientAddress: null }, null],
  ["told that it is gone", undefined, { clientAddress: "0.0.0.0" }, null],
  ["told none", undefined, { clientAddress: undefined }, undefined],
  ["told none", undefined, { clientAddress: "" }, undefined],
  ["told none", undefined, { clientAddress: "-" }, undefined],
];

Deno.test("peerOf() distinguishes a disconnected client from one without an address", () => {
  // A client that resets right behind its request was forwarded without one.
  for (const [promise, told, connection, peer] of PEERS) {
    const source = { peerOf: () => told };
    const request = {} as Request;
    assert.equal(peerOf(source, request, connection), peer, promise);
  }
});

Deno.test("cachedMatcher() does not cache texts too long for an address", () => {
  let asked = 0;
  const matches = cachedMatcher(() => {
    asked++;
    return true;
  });
  for (let i = 0; i < 2; i++) matches("1".repeat(46));
  assert.equal(asked, 2);
  for (let i = 0; i < 2; i++) matches("1".repeat(45));
  assert.equal(asked, 3);
});

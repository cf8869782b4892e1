import assert from "node:assert/strict";
import type { Fields } from "../proxy/headers.ts";
import { BunTransport } from "./bun.ts";
import { DenoTransport } from "./deno.ts";

const IDENTITY: [string, string] = ["accept-encoding", "identity"];
const NAMELESS: [string, string] = ["user-agent", ""];

const ON_DENO: [promise: string, sent: Fields, leaves: Fields][] = [
  ["asks for no coding of its own", [], [IDENTITY, NAMELESS]],
  [
    "keeps the client's codings as a second line",
    [["accept-encoding", "gzip"]],
    [IDENTITY, ["accept-encoding", "gzip"], NAMELESS],
  ],
  [
    "adds nothing to a client's own identity",
    [["accept-encoding", "Identity"]],
    [["accept-encoding", "Identity"], NAMELESS],
  ],
  [
    "adds nothing where a range keeps fetch from decoding",
    [["accept-encoding", "gzip"], ["range", "bytes=0-1"]],
    [["accept-encoding", "gzip"], ["range", "bytes=0-1"], NAMELESS],
  ],
  [
    "leaves a user agent alone",
    [["user-agent", "a/1"]],
    [IDENTITY, ["user-agent", "a/1"]],
  ],
];

for (const [promise, sent, leaves] of ON_DENO) {
  Deno.test(`forFetch() on Deno ${promise}`, () => {
    assert.deepEqual(new DenoTransport().forFetch([...sent]), leaves);
  });
}

Deno.test("forFetch() on Bun empties a user agent that nobody sent, and no more", () => {
  const transport = new BunTransport();
  assert.deepEqual(transport.forFetch([["accept-encoding", "gzip"]]), [
    ["accept-encoding", "gzip"],
    NAMELESS,
  ]);
  assert.deepEqual(transport.forFetch([["user-agent", "a/1"]]), [
    ["user-agent", "a/1"],
  ]);
});

Deno.test("handsOver() on Bun wants a type, since Bun would invent one", () => {
  const transport = new BunTransport();
  const typed = new Response(null, { headers: { "content-type": "a/b" } });
  assert.equal(transport.handsOver(typed), true);
  assert.equal(transport.handsOver(new Response(null)), false);
});

Deno.test("respond() on Deno makes a 205 a 204, whose end is certain", () => {
  const transport = new DenoTransport();
  const given = new Response(null, { status: 205, headers: { "x-a": "1" } });
  const answer = transport.respond(given, undefined, null, false);
  assert.equal(answer.status, 204);
  assert.equal(answer.headers.get("x-a"), "1");
  const other = new Response(null, { status: 204 });
  assert.equal(transport.respond(other, undefined, null, false), other);
});

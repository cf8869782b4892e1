import assert from "node:assert/strict";
import type { Fields } from "../proxy/headers.ts";
import { BunFetch } from "./bun/fetch.ts";
import { DenoFetch } from "./deno/fetch.ts";
import { DenoServer } from "./deno/server.ts";

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
    assert.deepEqual(new DenoFetch().forFetch([...sent]), leaves);
  });
}

Deno.test("forFetch() on Bun empties a user agent that the client did not send, and changes nothing else", () => {
  const transport = new BunFetch();
  assert.deepEqual(transport.forFetch([["accept-encoding", "gzip"]]), [
    ["accept-encoding", "gzip"],
    NAMELESS,
  ]);
  assert.deepEqual(transport.forFetch([["user-agent", "a/1"]]), [
    ["user-agent", "a/1"],
  ]);
});

Deno.test("canPassThrough() on Bun wants a type, since Bun would invent one", () => {
  const { native } = new BunFetch();
  const typed = new Response(null, { headers: { "content-type": "a/b" } });
  assert.equal(native.canPassThrough!(typed), true);
  assert.equal(native.canPassThrough!(new Response(null)), false);
});

Deno.test("respond() on Deno makes a 205 a 204, whose end is certain", () => {
  const server = new DenoServer();
  const answer = server.respond(205, [["x-a", "1"]], null, false);
  assert.equal(answer.status, 204);
  assert.equal(answer.headers.get("x-a"), "1");
});

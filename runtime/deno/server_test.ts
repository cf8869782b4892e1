import assert from "node:assert/strict";
import { DenoServer } from "./server.ts";

Deno.test("DenoServer.respond() copies a body that is given as bytes", async () => {
  // What it was read into is used again at once: for what other clients get.
  const server = new DenoServer();
  assert.ok(server.copiesBodies);
  for (const size of [1, 13, 4_096, 65_536]) {
    const room = new Uint8Array(80 * 1024).fill(7);
    const answer = server.respond(200, [], room.subarray(0, size), false);
    room.fill(9);
    const bytes = await answer.bytes();
    assert.equal(bytes.length, size);
    assert.ok(bytes.every((byte) => byte === 7));
  }
});

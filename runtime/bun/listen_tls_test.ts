import assert from "node:assert/strict";
import { type Generation, isOver } from "./listen_tls.ts";

function generation(): Generation & {
  server: { pendingRequests: number; pendingWebSockets: number };
} {
  return {
    server: {
      port: 1,
      pendingRequests: 0,
      pendingWebSockets: 0,
      stop: () => Promise.resolve(),
    },
    requests: 7,
    checkedRequests: 0,
    quiet: 0,
  };
}

// Bun ends a connection on which nothing happens for 255 s: five looks, of
// which the first may have come just after the last request.
Deno.test("isOver() gives a server the time that its last connection may be idle", () => {
  const one = generation();
  const looks = Array.from({ length: 7 }, () => isOver(one));
  assert.deepEqual(looks, [false, false, false, false, false, false, true]);
});

Deno.test("isOver() starts over with each request", () => {
  const one = generation();
  for (let i = 0; i < 6; i++) assert.equal(isOver(one), false);
  one.requests++;
  for (let i = 0; i < 6; i++) assert.equal(isOver(one), false);
  assert.equal(isOver(one), true);
});

Deno.test("isOver() waits for what is under way, however long", () => {
  const one = generation();
  one.server.pendingWebSockets = 1;
  for (let i = 0; i < 100; i++) assert.equal(isOver(one), false);
  one.server.pendingWebSockets = 0;
  one.server.pendingRequests = 1;
  for (let i = 0; i < 100; i++) assert.equal(isOver(one), false);
});

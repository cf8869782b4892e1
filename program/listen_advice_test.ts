import assert from "node:assert/strict";
import { withAdvice } from "./listen_advice.ts";

// What Deno 2.9.6 and Bun 1.4.5 say.
for (
  const [reason, advice] of [
    ["Address already in use (os error 98)", /: choose another port/],
    // Of a host that is not this machine's, too.
    [
      "Failed to start server. Is port 80 in use?",
      /: choose another port.*an address of this machine/,
    ],
    ["Permission denied (os error 13)", /: choose a port from 1024/],
    ["permission denied 0.0.0.0:80", /: choose a port from 1024/],
    ["Cannot assign requested address (os error 99)", /: set the host/],
    ["something else", /else$/],
  ] as const
) {
  Deno.test(`withAdvice() of "${reason}"`, () => {
    assert.ok(withAdvice(reason).startsWith(reason));
    assert.match(withAdvice(reason), advice);
  });
}

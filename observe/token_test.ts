import assert from "node:assert/strict";
import { tokenCheck } from "./token.ts";

Deno.test("tokenCheck() takes the token, and nothing near it or of any length", () => {
  const token = "0123456789abcdef";
  const knows = tokenCheck(token);
  assert.equal(knows(token), true);
  for (
    const given of [
      "",
      token.slice(1),
      token.slice(0, -1),
      `${token} `,
      token.toUpperCase(),
      token + token,
      token.repeat(4096),
    ]
  ) assert.equal(knows(given), false);
  assert.equal(tokenCheck("x".repeat(512))("x".repeat(512)), true);
});

import assert from "node:assert/strict";
import { compareAnswers } from "../testing/compare_answers.ts";

Deno.test("Client passes no answer that a second strict reader refuses or reads otherwise", async () => {
  const count = 3_000;
  const { refused, stricter, kept } = await compareAnswers(1, count);
  // The mutations are worth something only if they hit, and if much passes.
  assert.ok(refused > count / 10 && refused < count * 9 / 10, `${refused}`);
  assert.ok(kept > count / 10, `${kept}`);
  // And it refuses nothing that is right.
  assert.equal(stricter, 0);
});

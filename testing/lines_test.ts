import assert from "node:assert/strict";
import { linesIn } from "./lines.ts";

Deno.test("linesIn() counts as code what is no comment and not empty", () => {
  const text =
    "/**\n * A.\n */\n\nconst a = 1; // one\n// two\nconst b = `\n`;\n";
  assert.deepEqual(linesIn(text), { all: 8, code: 3 });
});

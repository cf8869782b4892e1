import assert from "node:assert/strict";
import { env, envNames, hushSignalRemark, plainLine } from "./process.ts";

// Unit tests have no permissions, which is what these two are about: reading
// without one would throw, or ask a person who is not there.

Deno.test("env() takes a variable that may not be read to be unset", () => {
  assert.equal(env("HOME"), undefined);
});

Deno.test("envNames() gives nothing where names may not be listed", () => {
  assert.equal(envNames(), undefined);
});

Deno.test("hushSignalRemark() keeps back one remark and no other", () => {
  const { warn } = console;
  const said: unknown[][] = [];
  console.warn = (...data: unknown[]) => void said.push(data);
  try {
    hushSignalRemark();
    console.warn(
      "Deno.serve: request.signal aborts on successful responses (legacy behavior).",
    );
    console.warn("something else", 1);
    console.warn({ an: "object" });
  } finally {
    console.warn = warn;
  }
  assert.deepEqual(said, [["something else", 1], [{ an: "object" }]]);
});

Deno.test("plainLine() lets nothing end a line or move a cursor", () => {
  assert.equal(
    plainLine("a\nb\r\x1b[2Jc\u2028d\x9be\tf\x7f"),
    "a?b??[2Jc?d?e?f?",
  );
  assert.equal(
    plainLine("plain, größer – and 日本"),
    "plain, größer – and 日本",
  );
});

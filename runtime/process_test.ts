import assert from "node:assert/strict";
import { env, envNames, suppressSignalWarning } from "./process.ts";

// Unit tests have no permissions, which is what these two are about: reading
// without one would throw, or prompt where no terminal is.

Deno.test("env() takes a variable that may not be read to be unset", () => {
  assert.equal(env("HOME"), undefined);
});

Deno.test("envNames() gives nothing where names may not be listed", () => {
  assert.equal(envNames(), undefined);
});

Deno.test("suppressSignalWarning() keeps back one remark and no other", () => {
  const { warn } = console;
  const said: unknown[][] = [];
  console.warn = (...data: unknown[]) => void said.push(data);
  try {
    suppressSignalWarning();
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

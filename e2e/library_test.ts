/**
 * The proxy in a program of somebody's own, and what it leaves behind.
 *
 * @module
 */

import assert from "node:assert/strict";
import { rawBackend } from "./harness/backend.ts";
import { runProgram } from "./harness/proxy.ts";
import { forBoth } from "./harness/suite.ts";

forBoth("a program ends by itself after stop()", async (runtime) => {
  await using good = await rawBackend();
  // So that there is an ejection to end, too.
  await using bad = await rawBackend(async (conn) => await conn.reset());
  const { code, stdout, stderr } = await runProgram(runtime, {
    entry: "e2e/chaos/ends.ts",
    env: { BACKENDS: `${good.url},${bad.url}` },
  });
  assert.equal(stdout, "answered 20\n", stderr);
  assert.equal(code, 0);
});

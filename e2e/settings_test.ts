/**
 * Settings that cannot be used, each with the real program: exit code 2, one
 * line for the fault, at once, and nothing listens.
 *
 * @module
 */

import assert from "node:assert/strict";
import { WRONG_SETTINGS } from "../config/wrong_settings.ts";
import { ROOT } from "../testing/tools.ts";
import { rawBackend } from "./harness/backend.ts";
import { runProgram } from "./harness/proxy.ts";
import { forBoth } from "./harness/suite.ts";

/** Processes at once; each keeps a core busy while it starts. */
const AT_ONCE = 3;

forBoth(
  `${WRONG_SETTINGS.length} wrong settings end it with 2 and one line`,
  { timeoutMs: 600_000 },
  async (runtime, t) => {
    const times: number[] = [];
    const left = [...WRONG_SETTINGS];
    const run = async () => {
      for (let row; (row = left.shift()) !== undefined;) {
        const { name, env, args = [], wants } = row;
        const began = performance.now();
        const { code, stdout, stderr } = await runProgram(runtime, {
          // Without permission to use the network it could not listen, and
          // would end in another way if it tried.
          denoFlags: ["--no-prompt", "--allow-env", "--allow-read"],
          env: { PORT: undefined, HOST: undefined, ...env },
          args,
          startMs: 60_000,
        });
        times.push(performance.now() - began);
        const lines = stderr.split("\n").slice(0, -1);
        assert.equal(code, 2, `${name}: ${stderr}`);
        assert.equal(stdout, "", name);
        assert.equal(lines.length, 1, `${name}: ${stderr}`);
        assert.match(lines[0]!, wants, name);
        assert.doesNotMatch(stderr, /hunter2/, name);
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, run));
    assert.equal(times.length, WRONG_SETTINGS.length);
    times.sort((a, b) => a - b);
    const median = times[times.length >> 1]!;
    console.log(
      `${t.name}: median ${median.toFixed(0)} ms, longest ${
        times.at(-1)!.toFixed(0)
      } ms, ${AT_ONCE} at once`,
    );
    // Under a second on a quiet machine; others are tested beside this, so only
    // the quickest are looked at.
    const quick = times[Math.floor(times.length / 10)]!;
    assert.ok(quick < 2_000, `${quick} ms`);
  },
);

forBoth("all faults are reported together, one line each", async (runtime) => {
  const { code, stderr } = await runProgram(runtime, {
    env: {
      BACKENDS: "http://127.0.0.1:3001,ftp://a",
      TIMEOUT: "5",
      RETRIES: "many",
    },
    args: ["--prot", "80"],
  });
  assert.equal(code, 2);
  const lines = stderr.trimEnd().split("\n");
  assert.equal(lines.length, 4, stderr);
  assert.deepEqual(
    lines.map((line) => /^"?[\w-]+/.exec(line)?.[0]).sort(),
    ['"--prot', "BACKENDS", "RETRIES", "TIMEOUT"],
  );
});

forBoth("a wrong setting is found before any probe", async (
  runtime,
) => {
  await using backend = await rawBackend();
  const { code } = await runProgram(runtime, {
    env: { BACKENDS: backend.url, DRAIN_TIMEOUT: "soon" },
  });
  assert.equal(code, 2);
  assert.equal(backend.connections.opened, 0);
});

forBoth("an empty variable is an unset one", async (runtime) => {
  const { code, stderr } = await runProgram(runtime, {
    env: { BACKENDS: "", HEALTH_PATH: "", TIMEOUT: "" },
  });
  assert.equal(code, 2);
  assert.match(stderr, /^BACKENDS: is not set: [^\n]*\n$/);
});

forBoth("docs/settings.md shows a fault as it is printed", async (runtime) => {
  const page = await Deno.readTextFile(`${ROOT}/docs/settings.md`);
  const [line, name, value] = /^([A-Z_]+): "(.*)" .+$/m.exec(page)!;
  const { code, stderr } = await runProgram(runtime, {
    env: { BACKENDS: "http://127.0.0.1:3000", [name!]: value },
  });
  assert.equal(code, 2);
  assert.equal(stderr, `${line}\n`);
});

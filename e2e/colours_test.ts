/**
 * Colours: on a terminal, and nowhere else.
 *
 * @module
 */

import assert from "node:assert/strict";
import { bunPath, denoPath, ROOT } from "../testing/tools.ts";
import { rawBackend } from "./harness/backend.ts";
import { runProgram, type Runtime } from "./harness/proxy.ts";
import { forBoth, skippedWithout } from "./harness/suite.ts";

/** What the program prints on a terminal, as emulated by `script`. */
async function onTerminal(
  runtime: Runtime,
  args: string,
  env: Record<string, string>,
): Promise<string> {
  const program = runtime === "bun"
    ? `${await bunPath()} run`
    : `${await denoPath()} run --no-prompt --allow-net --allow-env`;
  const { stdout } = await new Deno.Command("script", {
    args: ["-qec", `${program} mod.ts ${args}`, "/dev/null"],
    cwd: ROOT,
    clearEnv: true,
    env: {
      PATH: Deno.env.get("PATH") ?? "",
      HOME: Deno.env.get("HOME") ?? "",
      TERM: "xterm",
      ...env,
    },
    stdin: "null",
  }).output();
  return new TextDecoder().decode(stdout);
}

const ESCAPE = "\x1b[";

forBoth(
  "--help and --check have colours on a terminal only, and none with NO_COLOR",
  skippedWithout("script"),
  async (runtime) => {
    await using backend = await rawBackend();
    const BACKENDS = backend.url;
    for (
      const [flag, coloured] of [
        ["--help", "\x1b[1mHealth probes:\x1b[0m"],
        ["--check", "\x1b[32mok\x1b[0m"],
      ] as const
    ) {
      const seen = await onTerminal(runtime, flag, { BACKENDS });
      assert.ok(seen.includes(coloured), JSON.stringify(seen));
      const plain = await onTerminal(runtime, flag, {
        BACKENDS,
        NO_COLOR: "1",
      });
      assert.ok(plain.includes("Sluice") || plain.includes("ok"));
      assert.ok(!plain.includes(ESCAPE), JSON.stringify(plain));
      const { stdout } = await runProgram(runtime, {
        env: { BACKENDS, NO_COLOR: undefined },
        args: [flag],
      });
      assert.ok(!stdout.includes(ESCAPE), JSON.stringify(stdout));
    }
  },
);

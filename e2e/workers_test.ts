/**
 * More than one listener on a port: why not, and that it is said.
 */

import assert from "node:assert/strict";
import { denoPath } from "../testing/tools.ts";
import { runProgram } from "./harness/proxy.ts";
import { forBoth, forOnce } from "./harness/suite.ts";

forBoth(
  "WORKERS: more than one ends the program with 2 and says what to do",
  async (runtime) => {
    const { code, stderr } = await runProgram(runtime, {
      env: { BACKENDS: "http://127.0.0.1:3000", WORKERS: "2" },
    });
    assert.equal(code, 2, stderr);
    assert.match(
      stderr,
      /^WORKERS: "2" cannot be had: .*; write 1, and start/m,
    );
    assert.equal(stderr.trim().split("\n").length, 1, stderr);
  },
);

// When this fails, Deno has made it stable, and `runtime/workers.ts` is to be
// written: the smallest program that shows why it cannot be today.
forOnce(
  "WORKERS: Deno ends a process that shares a port without a flag",
  async () => {
    const program = (body: string) => async (...flags: string[]) => {
      const child = new Deno.Command(await denoPath(), {
        args: ["eval", ...flags, body],
        stdin: "null",
        stdout: "null",
        stderr: "piped",
      });
      const { code, stderr } = await child.output();
      return { code, stderr: new TextDecoder().decode(stderr) };
    };
    const serve = program(`
    try {
      const server = Deno.serve(
        { port: 0, hostname: "127.0.0.1", reusePort: true, onListen() {} },
        () => new Response("a"),
      );
      await server.shutdown();
    } catch {
      Deno.exit(3); // it could be caught
    }
  `);
    const refused = await serve();
    assert.equal(refused.code, 70);
    assert.match(refused.stderr, /reusePort.*--unstable-net/s);
    assert.equal((await serve("--unstable-net")).code, 0);
  },
);

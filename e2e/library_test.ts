/**
 * The proxy in a user's program, and what it leaves behind.
 *
 * @module
 */

import assert from "node:assert/strict";
import { rawBackend } from "./harness/backend.ts";
import { rawRequest, requestText } from "./harness/client.ts";
import { runProgram, startProxy } from "./harness/proxy.ts";
import { forBoth } from "./harness/suite.ts";
import { until } from "./harness/wait.ts";

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

// The first chunk of a body without a length is read before the body is sent.
// One above 512 KB was lost, and the backend took the rest for the whole body.
forBoth(
  "a request made in code has its body sent whole, however large its first piece is",
  async (runtime) => {
    const { code, stdout, stderr } = await runProgram(runtime, {
      entry: "e2e/library/large.ts",
    });
    const sizes = [1, 65_536, 524_224, 524_225, 5_000_000];
    assert.deepEqual(
      stdout.trim().split("\n"),
      sizes.map((size) => `${size} ${size + 10} 1 2`),
      stderr,
    );
    assert.equal(code, 0);
  },
);

for (const how of ["throws", "rejects"]) {
  forBoth(
    `a program in which every callback ${how} keeps working, and drains`,
    {
      timeoutMs: 60_000,
    },
    async (runtime) => {
      // An unhandled rejection ends the process, on both runtimes; and a log
      // function that threw kept an ejected backend from coming back.
      await using good = await rawBackend();
      await using bad = await rawBackend(async (conn) => await conn.reset());
      const gate = Promise.withResolvers<void>();
      good.handler = async (conn, request) => {
        if (request.path === "/slow") await gate.promise;
        await conn.reply({ body: "ok" });
      };
      await using proxy = await startProxy(runtime, {
        entry: "e2e/library/throwing.ts",
        env: { BACKENDS: `${good.url},${bad.url}`, HOW: how },
      });
      const heard = (type: string) => proxy.stdout.includes(type);
      await until(async () => {
        const answer = await rawRequest(proxy.port, requestText("GET", "/"));
        assert.equal(answer.status, 200, proxy.log);
        return heard("ejected");
      }, { timeoutMs: 20_000 });
      await proxy.waitForLine(/^readmitted$/, 20_000);
      bad.health = 500;
      await proxy.waitForLine(/^down$/, 20_000);
      bad.health = 200;
      await proxy.waitForLine(/^up$/, 20_000);
      const slow = rawRequest(proxy.port, requestText("GET", "/slow"));
      await until(() =>
        good.requests.some(({ path }) => path === "/slow") ||
        bad.requests.some(({ path }) => path === "/slow")
      );
      proxy.signal("SIGTERM");
      gate.resolve();
      assert.equal((await slow).status, 200);
      assert.deepEqual(await proxy.waitForExit(20_000), {
        code: 0,
        signal: null,
      });
      assert.equal(proxy.stdout.at(-1), "stopped");
      assert.doesNotMatch(proxy.log, /fault|rror/);
    },
  );
}

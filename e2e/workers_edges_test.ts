/**
 * Edge cases of several workers: the first process's own handler, backends that
 * workers cannot have, and more backends than can be counted.
 *
 * @module
 */

import assert from "node:assert/strict";
import { ADMIN_ENV, adminUrl, TOKEN } from "./harness/admin.ts";
import { rawBackend } from "./harness/backend.ts";
import { rawRequest, requestText } from "./harness/client.ts";
import { runProgram } from "./harness/proxy.ts";
import { forBoth } from "./harness/suite.ts";
import { startWorkers, withWorkers } from "./harness/workers.ts";

forBoth(
  "WORKERS: proxy.fetch works in the first process too, and counts with them",
  {
    timeoutMs: 60_000,
  },
  async (runtime) => {
    // It was a 500, and the shared count stayed one too high for ever. What was
    // in flight before the workers started is counted as well.
    let gate = Promise.withResolvers<void>();
    let held = 0;
    await using backend = await rawBackend(async (conn, request) => {
      if (request.path === "/count") {
        return await conn.reply({ body: `${held}` });
      }
      if (request.path === "/release") {
        gate.resolve();
        gate = Promise.withResolvers();
      }
      if (request.path === "/held") {
        held++;
        await gate.promise;
      }
      await conn.reply();
    });
    const { stdout, stderr } = await runProgram(
      runtime,
      withWorkers({
        entry: "e2e/workers/first.ts",
        env: { BACKEND: backend.url },
        startMs: 40_000,
      }),
    );
    assert.notEqual(stdout, "", stderr);
    assert.deepEqual(JSON.parse(stdout), {
      here: 200,
      there: 200,
      fullHere: 503,
      fullThere: [503, 503, 503],
      inFlight: 2,
      held: [200, 200],
      after: [200, 200],
      left: 0,
      requests: 6,
      refused:
        "TypeError: Cannot add a backend: a function cannot be handed to " +
        "a worker",
      metrics: "0",
      stopped: 200,
    });
  },
);

/** So many backends that do not listen, as lines. */
function many(count: number, port = 20_000): string {
  return Array.from(
    { length: count },
    (_, i) => `http://127.1.${i >> 8}.${i & 255}:${port}\n`,
  ).join("");
}

forBoth("WORKERS: a list of too many backends ends with exit code 2", async (
  runtime,
) => {
  const folder = await Deno.makeTempDir({ prefix: "sluice-" });
  const file = `${folder}/backends`;
  try {
    await Deno.writeTextFile(file, many(8192));
    const { code, stderr } = await runProgram(
      runtime,
      withWorkers({ env: { BACKENDS_FILE: file }, reads: [folder] }),
    );
    assert.equal(code, 2);
    assert.equal(
      stderr,
      "BACKENDS_FILE: has 8192 backends: with WORKERS write at most 8191\n",
    );
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

forBoth("WORKERS: too many backends are refused, and the old ones stay", {
  timeoutMs: 120_000,
}, async (runtime) => {
  // One more than the table of common counts had room for ended the program: at
  // the start, by a reload, and by a POST.
  await using backend = await rawBackend();
  const folder = await Deno.makeTempDir({ prefix: "sluice-" });
  const file = `${folder}/backends`;
  try {
    await Deno.writeTextFile(file, backend.url);
    await using proxy = await startWorkers(runtime, {
      env: { BACKENDS_FILE: file, HEALTH_PATH: "off", ...ADMIN_ENV },
      reads: [folder],
    });
    const admin = await adminUrl(proxy);
    const works = async () => {
      const answer = await rawRequest(proxy.port, requestText("GET", "/"));
      assert.equal(answer.status, 200, proxy.log);
    };
    const size = async () => {
      const response = await fetch(`${admin}/backends`);
      return (await response.json()).backends.length;
    };
    const add = async (url: string) => {
      const response = await fetch(`${admin}/backends`, {
        method: "POST",
        headers: { authorization: `Bearer ${TOKEN}` },
        body: JSON.stringify({ url, weight: 0 }),
      });
      return [response.status, await response.text()] as const;
    };
    const put = (text: string) => Deno.writeTextFile(file, text);

    await put(`${backend.url}\n${many(8191)}`);
    proxy.signal("SIGHUP");
    await proxy.waitForLine(/BACKENDS_FILE: has 8192 backends: with WORKERS/);
    await proxy.waitForLine(/BACKENDS_FILE was refused: the backends stay/);
    assert.equal(await size(), 1);
    await works();

    // As many as can be listed; and then others in their place.
    const rest = (port: number) =>
      many(8190, port).replaceAll("\n", " weight=0\n");
    await put(`${backend.url}\n${rest(20_000)}`);
    proxy.signal("SIGHUP");
    await proxy.waitForLine(/BACKENDS_FILE read: 8191 backends/, 60_000);
    await works();
    await put(`${backend.url}\n${rest(20_001)}`);
    proxy.signal("SIGHUP");
    await proxy.waitForLine(/8190 added, 8190 removed/, 60_000);
    await works();

    // A POST may go past the list, up to the end of the table.
    const [status, text] = await add("http://127.2.0.1:20000");
    assert.equal(status, 201, text);
    await works();
    assert.equal(await size(), 8192);
    assert.doesNotMatch(proxy.log, /has died/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

forBoth("serve() refuses options that cannot be handed to a worker", async (
  runtime,
) => {
  // They were sent to the first worker that connected, and that error ended the
  // program.
  const { code, stdout, stderr } = await runProgram(
    runtime,
    withWorkers({
      entry: "e2e/workers/library.ts",
      env: { ODD: "unknown", BACKENDS: "http://127.0.0.1:3000" },
    }),
  );
  assert.equal(code, 0, stderr);
  assert.match(
    stdout,
    /^TypeError: Cannot serve: workers is 2, and an option /,
  );
});

forBoth(
  "serve() refuses hooks, a policy and a handler that workers would have to call",
  async (
    runtime,
  ) => {
    const { code, stdout, stderr } = await runProgram(
      runtime,
      withWorkers({
        entry: "e2e/workers/library.ts",
        env: { ODD: "hooks", BACKENDS: "http://127.0.0.1:3000" },
      }),
    );
    assert.equal(code, 0, stderr);
    const refusal = (name: string) =>
      `RangeError: Cannot serve: workers is 2, and ${name} holds a function, ` +
      "which cannot be handed to a worker";
    const hooks = [
      "onRequest",
      "onResponse",
      "onError",
      "onSettled",
      "key",
      "policy",
    ];
    assert.deepEqual(stdout.trim().split("\n"), [
      ...hooks.map((name) => `${name}: ${refusal(name)}`),
      refusal("fetch"),
    ]);
  },
);

forBoth(
  "health.check() is called in the first process, for all workers",
  async (
    runtime,
  ) => {
    await using first = await rawBackend((conn) =>
      conn.reply({ body: "first" })
    );
    await using second = await rawBackend();
    await using proxy = await startWorkers(runtime, {
      entry: "e2e/workers/library.ts",
      env: { ODD: "check", BACKENDS: `${first.url},${second.url}` },
    });
    for (let i = 0; i < 6; i++) {
      const { text } = await rawRequest(proxy.port, requestText("GET", "/"));
      assert.equal(text, "first");
    }
    assert.match(proxy.log, /is down \(health\.check: not the first\)/);
  },
);

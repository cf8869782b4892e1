/**
 * `mod.ts` as a library, imported by programs of somebody else's: by path on
 * both runtimes, by URL on Deno, and as the bundle.
 *
 * @module
 */

import assert from "node:assert/strict";
import { ROOT } from "../testing/tools.ts";
import { rawBackend } from "./harness/backend.ts";
import { runProgram } from "./harness/proxy.ts";
import { forBoth } from "./harness/suite.ts";

/** Runs a program that imports `from`, and gives what it printed. */
async function run(
  runtime: "deno" | "bun",
  from: string,
  program: string,
  denoFlags: readonly string[] = ["--no-prompt", "--allow-net", "--allow-env"],
): Promise<string> {
  const folder = await Deno.makeTempDir();
  try {
    const entry = `${folder}/main.ts`;
    await Deno.writeTextFile(entry, program.replaceAll("MOD", from));
    const { code, stdout, stderr } = await runProgram(runtime, {
      entry,
      cwd: folder,
      denoFlags,
      env: { DENO_DIR: `${folder}/cache`, NO_COLOR: "1" },
    });
    assert.equal(code, 0, stderr);
    return stdout + stderr;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

forBoth("an import does nothing, and needs no permission", async (runtime) => {
  const said = await run(
    runtime,
    `${ROOT}/mod.ts`,
    `import "MOD"; console.log("done");`,
    ["--no-prompt"],
  );
  assert.equal(said, "done\n");
});

/** Uses all of it and ends by itself. */
const USES = (backend: string) => `
  import { createProxy, serve, VERSION } from "MOD";
  {
    await using proxy = createProxy({ backends: ["${backend}"] });
    await proxy.ready;
    const made = await proxy.fetch(
      new Request("http://sluice.test/made", { method: "POST", body: "in code" }),
    );
    console.log(made.status, await made.text());
    const server = serve(proxy, { port: 0, host: "127.0.0.1" });
    const response = await fetch(server.url + "/served", { method: "PUT", body: "by wire" });
    console.log(response.status, await response.text());
    await server.stop();
    await server.stop();
    await server.finished;
  }
  console.log(/^\\d+\\.\\d+\\.\\d+$/.test(VERSION));
`;

/** A backend that says what it was sent, and what it must have said. */
const echo = () =>
  rawBackend(async (conn, request) =>
    conn.reply({
      body: `${request.method} ${request.target} ${await request.text()}`,
    })
  );
const SAID = "200 POST /made in code\n200 PUT /served by wire\ntrue\n";

forBoth("a program that uses it ends by itself", async (runtime) => {
  await using backend = await echo();
  const said = await run(runtime, `${ROOT}/mod.ts`, USES(backend.url));
  assert.equal(said, SAID);
  assert.equal(backend.requests.length, 2);
});

forBoth("a proxy that nobody stops does not keep a program alive", async (
  runtime,
) => {
  await using backend = await echo();
  const said = await run(
    runtime,
    `${ROOT}/mod.ts`,
    `import { createProxy } from "MOD";
     const proxy = createProxy({ backends: ["${backend.url}"] });
     await proxy.ready;
     const response = await proxy.fetch(new Request("http://sluice.test/"));
     console.log(await response.text());`,
  );
  assert.equal(said, "GET / \n");
});

// Bun imports nothing from a URL.
forBoth("it is imported by URL", { runtimes: ["deno"] }, async (runtime) => {
  await using backend = await echo();
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    async (request) =>
      new Response(
        await Deno.readTextFile(`${ROOT}${new URL(request.url).pathname}`),
        { headers: { "content-type": "application/typescript" } },
      ),
  );
  try {
    const host = `127.0.0.1:${server.addr.port}`;
    const said = await run(
      runtime,
      `http://${host}/mod.ts`,
      USES(backend.url),
      [
        "--no-prompt",
        "--quiet",
        "--allow-net",
        "--allow-env",
        `--allow-import=${host}`,
      ],
    );
    assert.equal(said, SAID);
  } finally {
    await server.shutdown();
  }
});

forBoth("a port in use is thrown by serve()", async (runtime) => {
  await using taken = await rawBackend();
  const said = await run(
    runtime,
    `${ROOT}/mod.ts`,
    `import { createProxy, serve } from "MOD";
     await using proxy = createProxy({ backends: [() => new Response("x")] });
     try {
       serve(proxy, { port: ${taken.port}, host: "127.0.0.1" });
     } catch (error) {
       console.log("thrown", error instanceof Error);
     }`,
  );
  assert.equal(said, "thrown true\n");
});

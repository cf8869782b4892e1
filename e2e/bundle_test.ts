/**
 * The bundle of `deno task bundle`, as a program and as a library. This is the
 * short form; `SLUICE_ENTRY=dist/sluice.js deno task test e2e` runs all tests.
 *
 * @module
 */

import assert from "node:assert/strict";
import { BUDGET, bundle, sizeOf } from "../testing/bundle.ts";
import { compile } from "../testing/compile.ts";
import { TYPESCRIPT } from "../testing/declarations.ts";
import { denoPath, npmTool } from "../testing/tools.ts";
import { ADMIN_ENV, adminUrl } from "./harness/admin.ts";
import { hang, rawBackend } from "./harness/backend.ts";
import { RawConnection, rawRequest, requestText } from "./harness/client.ts";
import { type ProxyOptions, runProgram, startProxy } from "./harness/proxy.ts";
import { forBoth, forOnce } from "./harness/suite.ts";
import { until } from "./harness/wait.ts";
import { Numbered } from "./harness/workers.ts";
import { granting } from "./websocket/granting.ts";
import { ask } from "./websocket/raw.ts";

const folder = await Deno.makeTempDir({ prefix: "sluice-bundle-" });
globalThis.addEventListener(
  "unload",
  () => Deno.removeSync(folder, { recursive: true }),
);

/** The file. The bundler and the compiler come from npm the first time. */
await bundle(folder);
const entry = `${folder}/sluice.js`;

/** Starts it outside the checkout, as it must not need its `deno.json`. */
function alone(env: Record<string, string>): ProxyOptions {
  return { entry, cwd: folder, env };
}

/** Runs Deno, or another command, in the folder of the file. */
async function run(
  command: string,
  args: readonly string[],
): Promise<{ success: boolean; output: string }> {
  const { success, stdout, stderr } = await new Deno.Command(command, {
    args: [...args],
    cwd: folder,
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).output();
  const decoder = new TextDecoder();
  const output = decoder.decode(stdout) + decoder.decode(stderr);
  return { success, output };
}

forBoth("the bundle is the program: it proxies, drains and exits 0", async (
  runtime,
) => {
  const gate = Promise.withResolvers<void>();
  await using backend = await rawBackend(async (conn, request) => {
    if (request.path === "/slow") await gate.promise;
    await conn.reply({ body: "ok" });
  });
  await using proxy = await startProxy(
    runtime,
    alone({ BACKENDS: backend.url }),
  );
  const answer = await rawRequest(proxy.port, requestText("GET", "/"));
  assert.equal(answer.text, "ok");
  const slow = rawRequest(proxy.port, requestText("GET", "/slow"));
  await until(() => backend.requests.some(({ path }) => path === "/slow"));
  proxy.signal("SIGTERM");
  await proxy.waitForLine(/draining/);
  gate.resolve();
  assert.equal((await slow).text, "ok");
  assert.equal((await proxy.waitForExit()).code, 0);
});

forBoth("the bundle carries a WebSocket", async (runtime) => {
  const { backend, next } = await granting();
  await using _backend = backend;
  await using proxy = await startProxy(
    runtime,
    alone({ BACKENDS: backend.url }),
  );
  await using asked = await ask(proxy.port);
  assert.equal(asked.status, 101);
  const frames = await next();
  await asked.frames.text("there");
  assert.equal(await frames.shown(), "text there");
  await frames.text("and back");
  assert.equal(await asked.frames.shown(), "text and back");
});

forBoth("the bundle's workers are the bundle", async (runtime) => {
  await using backends = await Numbered.start(2);
  const options = alone({ BACKENDS: backends.urls(), WORKERS: "2" });
  await using proxy = await startProxy(runtime, {
    ...options,
    permissions: [`--allow-read=${folder}`],
  });
  for (let i = 0; i < 8; i++) {
    const answer = await rawRequest(proxy.port, requestText("GET", "/"));
    assert.equal(answer.status, 200, proxy.log);
  }
  assert.ok(backends.counts.every((count) => count > 0));
  proxy.signal("SIGTERM");
  assert.equal((await proxy.waitForExit()).code, 0, proxy.log);
});

forBoth("the bundle has its dashboard, its metrics and its admin API", async (
  runtime,
) => {
  await using backend = await rawBackend();
  await using proxy = await startProxy(
    runtime,
    alone({ BACKENDS: backend.url, ...ADMIN_ENV }),
  );
  const admin = await adminUrl(proxy);
  const page = await (await fetch(`${admin}/`)).text();
  assert.match(page, /<script/);
  assert.match(page, /<style/);
  const metrics = await (await fetch(`${admin}/metrics`)).text();
  assert.match(metrics, /^sluice_backend_up\{.*\} 1$/m);
  const list = await (await fetch(`${admin}/backends`)).json();
  assert.equal(list.backends[0].url, backend.url);
});

forBoth("the bundle knows --help, --version and --check", async (runtime) => {
  await using backend = await rawBackend();
  const options = alone({ BACKENDS: backend.url });
  const said = async (flag: string) => {
    const done = await runProgram(runtime, { ...options, args: [flag] });
    assert.equal(done.code, 0, done.stderr);
    return done.stdout;
  };
  assert.match(await said("--help"), /--health-path/);
  assert.match(await said("--version"), /^sluice \d+\.\d+\.\d+\n$/);
  assert.match(await said("--check"), /status 200/);
  assert.equal(backend.probes.length, 1);
});

forBoth("the executable is the program, and its workers are too", {
  runtimes: ["bun"],
}, async (runtime) => {
  const executable = `${folder}/sluice`;
  await compile(executable);
  await using backends = await Numbered.start(2);
  for (const args of [[], ["--workers", "2"]]) {
    await using proxy = await startProxy(runtime, {
      executable,
      args,
      cwd: folder,
      env: { BACKENDS: backends.urls() },
    });
    for (let i = 0; i < 4; i++) {
      const answer = await rawRequest(proxy.port, requestText("GET", "/"));
      assert.equal(answer.status, 200, proxy.log);
    }
    proxy.signal("SIGTERM");
    assert.equal((await proxy.waitForExit()).code, 0, proxy.log);
  }
});

const LIBRARY = `
import { createProxy, VERSION } from "./sluice.js";
const backend = () => new Response("from a function");
const proxy = createProxy({ backends: [backend], health: false });
const answer = await proxy.fetch(new Request("http://sluice.test/"));
console.log(VERSION, await answer.text());
await proxy.stop();
`;

forBoth("imported, the bundle does nothing by itself", async (runtime) => {
  await Deno.writeTextFile(`${folder}/library.ts`, LIBRARY);
  // With a setting that the program would accept, or refuse.
  const { code, stdout, stderr } = await runProgram(runtime, {
    ...alone({ BACKENDS: "http://127.0.0.1:1" }),
    entry: `${folder}/library.ts`,
    denoFlags: ["--no-prompt"],
  });
  assert.match(stdout, /^\d+\.\d+\.\d+ from a function\n$/);
  assert.equal(stderr, "");
  assert.equal(code, 0);
});

/** Serves the folder. */
function served(): AsyncDisposable & { url: string } {
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    async (request) => {
      const { pathname } = new URL(request.url);
      const type = pathname.endsWith(".js") ? "javascript" : "typescript";
      return new Response(await Deno.readTextFile(folder + pathname), {
        headers: { "content-type": `application/${type}` },
      });
    },
  );
  return {
    url: `http://127.0.0.1:${server.addr.port}`,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

// Bun imports nothing from a URL.
forBoth("the bundle is imported and run by URL", { runtimes: ["deno"] }, async (
  runtime,
) => {
  await using files = served();
  const { host } = new URL(files.url);
  const file = `${folder}/by_url.ts`;
  const url = `${files.url}/sluice.js`;
  await Deno.writeTextFile(file, LIBRARY.replace("./sluice.js", url));
  const { stdout, stderr } = await runProgram(runtime, {
    ...alone({ DENO_DIR: `${folder}/cache`, NO_COLOR: "1" }),
    entry: file,
    // Checked, so that its types are found by its URL too.
    denoFlags: ["--no-prompt", "--check", `--allow-import=${host}`],
  });
  assert.match(stdout, /from a function/, stderr);
  await using backend = await rawBackend(hang);
  await using proxy = await startProxy(runtime, {
    ...alone({
      BACKENDS: backend.url,
      DENO_DIR: `${folder}/cache`,
      HEALTH_PATH: "off",
    }),
    entry: url,
  });
  await using client = await RawConnection.connect(proxy.port);
  await client.write(requestText("GET", "/by-url"));
  await until(() => backend.requests[0]?.path === "/by-url");
});

const TYPED = `
import {
  type Backend,
  createProxy,
  type PoolEvent,
  type ProxyOptions,
  serve,
} from "./sluice.js";

const options: ProxyOptions = {
  backends: ["http://127.0.0.1:3000", { url: "http://127.0.0.1:3001", weight: 3 }],
  policy: "p2c",
  onRequest(headers, context) {
    headers.set("x-backend", context.backend.url);
  },
};
const proxy = createProxy(options);
const backend: Backend | undefined = proxy.pool.get("web");
proxy.pool.subscribe((event: PoolEvent) => console.log(event.type));
export const port: number = serve(proxy, { port: 0 }).port;
export const weight: number | undefined = backend?.weight;
// @ts-expect-error There is no such option.
createProxy({ backends: [], nothing: true });
`;

forOnce("a program in TypeScript is checked against the bundle", {
  timeoutMs: 120_000,
}, async () => {
  await Deno.writeTextFile(`${folder}/typed.ts`, TYPED);
  const deno = await denoPath();
  const checked = await run(deno, ["check", "typed.ts"]);
  assert.ok(checked.success, checked.output);
  await Deno.writeTextFile(
    `${folder}/tsconfig.json`,
    JSON.stringify({
      compilerOptions: {
        strict: true,
        exactOptionalPropertyTypes: true,
        module: "nodenext",
        target: "esnext",
        lib: ["esnext", "dom"],
        types: [],
        noEmit: true,
      },
      files: ["typed.ts"],
    }),
  );
  await Deno.writeTextFile(`${folder}/package.json`, '{"type":"module"}');
  const { modules } = await npmTool("typescript", TYPESCRIPT);
  const tsc = `${modules}/typescript/bin/tsc`;
  const compiled = await run(deno, ["run", "-A", tsc, "-p", folder]);
  assert.ok(compiled.success, compiled.output);
});

forOnce(
  "the bundle keeps to its budget and needs nothing of Node's",
  async () => {
    const { bytes, gzipped } = await sizeOf(entry);
    assert.ok(bytes <= BUDGET.bytes, `${bytes} bytes`);
    assert.ok(gzipped <= BUDGET.gzipped, `${gzipped} bytes with gzip`);
    const text = await Deno.readTextFile(entry);
    assert.doesNotMatch(text, /^import\b/m);
    assert.doesNotMatch(text, /\bfrom\s*"node:/);
  },
);

/**
 * The program as a whole: it starts by the README's commands, by URL and as the
 * bundle, logs what it should, and exits as it should.
 *
 * @module
 */

import assert from "node:assert/strict";
import { FOREIGN_VARIABLES } from "../config/foreign.ts";
import { denoPath, ROOT } from "../testing/tools.ts";
import { deadPort, rawBackend } from "./harness/backend.ts";
import { rawRequest, requestText } from "./harness/client.ts";
import { PROGRAM, runProgram, startProxy } from "./harness/proxy.ts";
import { forBoth, forOnce } from "./harness/suite.ts";
import { until } from "./harness/wait.ts";

/** The README's command of a runtime, as words. */
function readmeCommand(runtime: string): string[] {
  const readme = Deno.readTextFileSync(`${ROOT}/README.md`);
  const line = new RegExp(`^BACKENDS=\\S+ (${runtime} run .*mod\\.ts)$`, "m")
    .exec(readme);
  assert.ok(line, `the README has a command for ${runtime}`);
  return line[1]!.split(" ");
}

forBoth("the README's command starts it, with one line", async (runtime) => {
  const words = readmeCommand(runtime);
  await using backend = await rawBackend();
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: backend.url },
    denoFlags: words.slice(2, -1),
    entry: words.at(-1)!,
  });
  const response = await rawRequest(proxy.port, requestText("GET", "/"));
  assert.equal(response.status, 200);
  assert.equal(response.text, "ok");
  assert.equal(backend.probes.length, 1);
  assert.equal(proxy.stderr.length, 1, proxy.log);
  assert.match(
    proxy.log,
    /^sluice \d+\.\d+\.\d+ listening on http:\/\/127\.0\.0\.1:\d+ \(1 backend\)$/,
  );
  assert.deepEqual(proxy.stdout, []);
});

forBoth("flags do what variables do, and win over them", async (runtime) => {
  await using backend = await rawBackend();
  const dead = await deadPort();
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: `http://127.0.0.1:${dead}`, HEALTH_PATH: "/never" },
    args: ["--backends", backend.url, "--health-path=/health"],
  });
  const response = await rawRequest(proxy.port, requestText("GET", "/"));
  assert.equal(response.text, "ok");
  assert.equal(backend.probes.length, 1);
});

for (
  const [flag, wanted] of [
    ["--help", /^Sluice \d+\.\d+\.\d+: [\s\S]*--health-path [\s\S]*--check /],
    ["--version", /^sluice \d+\.\d+\.\d+\n$/],
  ] as const
) {
  forBoth(`${flag} prints and exits 0, whatever else is set`, async (
    runtime,
  ) => {
    const { code, stdout, stderr } = await runProgram(runtime, {
      env: { BACKENDS: "nonsense" },
      args: [flag],
    });
    assert.equal(code, 0);
    assert.match(stdout, wanted);
    assert.equal(stderr, "");
  });
}

forBoth("it listens once every backend was probed or timed out", async (
  runtime,
) => {
  await using good = await rawBackend();
  await using hung = await rawBackend(undefined, { health: "hang" });
  const dead = await deadPort();
  await using proxy = await startProxy(runtime, {
    env: {
      BACKENDS: `${good.url},${hung.url},http://127.0.0.1:${dead}`,
      HEALTH_TIMEOUT: "300ms",
    },
  });
  assert.match(proxy.log, /listening on .* \(3 backends\)$/m);
  await proxy.waitForLines(/ is down /, 2);
  // The first probes end before the first request can come.
  for (let i = 0; i < 6; i++) {
    const response = await rawRequest(proxy.port, requestText("GET", "/"));
    assert.equal(response.status, 200);
  }
  assert.equal(good.requests.length, 6);
});

forBoth("a port in use ends it with 1 and a sentence", async (runtime) => {
  await using backend = await rawBackend();
  await using taken = await rawBackend();
  const { code, stderr, stdout } = await runProgram(runtime, {
    env: { BACKENDS: backend.url, PORT: String(taken.port) },
  });
  assert.equal(code, 1);
  assert.equal(stdout, "");
  const lines = stderr.trimEnd().split("\n");
  assert.equal(lines.length, 1, stderr);
  assert.match(
    lines[0]!,
    /^sluice: cannot listen on 127\.0\.0\.1:\d+: .*in use/i,
  );
  assert.ok(lines[0]!.includes(String(taken.port)), stderr);
});

// The sentence named HOST and PORT, which were free.
forBoth(
  "an admin port in use ends it with 1, and is named",
  async (runtime) => {
    await using backend = await rawBackend();
    await using taken = await rawBackend();
    const { code, stderr } = await runProgram(runtime, {
      env: { BACKENDS: backend.url, ADMIN_PORT: String(taken.port) },
    });
    assert.equal(code, 1);
    assert.match(
      stderr,
      new RegExp(
        `^sluice: cannot listen .*admin port ${taken.port}: .*in use.*\n$`,
        "i",
      ),
    );
  },
);

for (const signal of ["SIGTERM", "SIGINT"] as const) {
  forBoth(`${signal} ends an idle program with 0`, async (runtime) => {
    await using backend = await rawBackend();
    await using proxy = await startProxy(runtime, {
      env: { BACKENDS: backend.url },
    });
    proxy.signal(signal);
    assert.deepEqual(await proxy.waitForExit(), { code: 0, signal: null });
    await assert.rejects(rawRequest(proxy.port, requestText("GET", "/")));
  });
}

forBoth("SIGTERM before it listens ends it with 0", async (runtime) => {
  await using backend = await rawBackend(undefined, { health: "hang" });
  const running = runProgram(runtime, {
    env: {
      BACKENDS: backend.url,
      HEALTH_INTERVAL: "20s",
      HEALTH_TIMEOUT: "15s",
    },
  });
  // The probe shows that it has got so far; the process has no handle here, so
  // it is found by the probe's connection.
  await until(() => backend.probes.length === 1, { timeoutMs: 15_000 });
  const pid = await childOf(Deno.pid, PROGRAM, backend.url);
  Deno.kill(pid, "SIGTERM");
  const { code, stderr } = await running;
  assert.equal(code, 0, stderr);
  assert.doesNotMatch(stderr, /listening/);
});

/** Finds a child process by its arguments and environment. */
async function childOf(
  parent: number,
  argument: string,
  variable: string,
): Promise<number> {
  const text = await Deno.readTextFile(
    `/proc/${parent}/task/${parent}/children`,
  );
  const threads = [text];
  for await (const { name } of Deno.readDir(`/proc/${parent}/task`)) {
    threads.push(
      await Deno.readTextFile(`/proc/${parent}/task/${name}/children`)
        .catch(() => ""),
    );
  }
  for (const pid of new Set(threads.join(" ").trim().split(/\s+/))) {
    const args = await Deno.readTextFile(`/proc/${pid}/cmdline`)
      .catch(() => "");
    const env = await Deno.readTextFile(`/proc/${pid}/environ`)
      .catch(() => "");
    if (args.includes(argument) && env.includes(variable)) return Number(pid);
  }
  throw new Error(`No child of ${parent} runs "${argument}"`);
}

forBoth("Bun's limit of 256 requests at once is lifted, by the same process", {
  runtimes: ["bun"],
}, async (runtime) => {
  await using backend = await rawBackend();
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: backend.url },
    args: ["--timeout", "20s"],
  });
  const read = (name: string) =>
    Deno.readTextFileSync(`/proc/${proxy.pid}/${name}`);
  assert.match(read("environ"), /BUN_CONFIG_MAX_HTTP_REQUESTS=65535\0/);
  assert.match(read("environ"), /MIMALLOC_PURGE_DELAY=10000\0/);
  assert.ok(read("cmdline").endsWith(`${PROGRAM}\0--timeout\x0020s\0`));
});

forBoth("SIGHUP without anything to reload logs that", async (runtime) => {
  await using backend = await rawBackend();
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: backend.url },
  });
  proxy.signal("SIGHUP");
  await proxy.waitForLine(/^sluice: SIGHUP has nothing to read again/);
  const response = await rawRequest(proxy.port, requestText("GET", "/"));
  assert.equal(response.status, 200);
});

// Bun imports nothing from a URL.
forBoth(
  "it runs by URL, from files that are published and no others",
  { runtimes: ["deno"] },
  async (runtime) => {
    const asked: string[] = [];
    await using server = fileServer(asked);
    await using backend = await rawBackend();
    const cache = await Deno.makeTempDir();
    try {
      await using proxy = await startProxy(runtime, {
        entry: `${server.url}/mod.ts`,
        denoFlags: ["--no-prompt", "--allow-net", "--allow-env"],
        env: { BACKENDS: backend.url, DENO_DIR: cache, NO_COLOR: "1" },
        cwd: cache,
      });
      const response = await rawRequest(proxy.port, requestText("GET", "/"));
      assert.equal(response.text, "ok");
    } finally {
      await Deno.remove(cache, { recursive: true });
    }
    const { publish } = JSON.parse(
      await Deno.readTextFile(`${ROOT}/deno.json`),
    );
    assert.ok(asked.includes("/mod.ts") && asked.length > 10);
    for (const path of asked) {
      assert.ok(
        publish.include.some((entry: string) => path.startsWith(`/${entry}`)) &&
          !path.endsWith("_test.ts"),
        `${path} is not published`,
      );
    }
  },
);

// Bun has no permissions.
forBoth(
  "the narrow permissions of docs/production.md are enough",
  { runtimes: ["deno"] },
  async (runtime) => {
    const page = await Deno.readTextFile(`${ROOT}/docs/production.md`);
    const line = /^deno run (.*--allow-net=\S+.*) mod\.ts$/m.exec(page);
    assert.ok(line, "there is a command with narrow permissions");
    assert.ok(
      line[1]!.includes(
        ` --allow-env=${["BACKENDS", ...FOREIGN_VARIABLES].join()}`,
      ),
      "it names the variables that --check names",
    );
    await using a = await rawBackend();
    await using b = await rawBackend();
    const port = await deadPort();
    const flags = line[1]!
      .replace("0.0.0.0:8080", `127.0.0.1:${port}`)
      .replace("10.0.0.5:3000", a.authority)
      .replace("10.0.0.6:3000", b.authority)
      // Where this test has it listen.
      .replace("--allow-env=", "--allow-env=PORT,HOST,");
    await using proxy = await startProxy(runtime, {
      denoFlags: flags.split(" "),
      env: { BACKENDS: `${a.url},${b.url}`, PORT: String(port) },
    });
    for (let i = 0; i < 2; i++) {
      const response = await rawRequest(proxy.port, requestText("GET", "/"));
      assert.equal(response.status, 200, proxy.log);
    }
    assert.equal(proxy.stderr.length, 1, proxy.log);
  },
);

forBoth("a unix: backend needs the permissions in docs/http.md", {
  runtimes: ["deno"],
}, async (runtime) => {
  const folder = await Deno.makeTempDir();
  try {
    await using backend = await rawBackend(undefined, {
      unix: `${folder}/app.sock`,
    });
    await using proxy = await startProxy(runtime, {
      permissions: ["--allow-read", "--allow-write"],
      env: { BACKENDS: backend.url },
    });
    const response = await rawRequest(proxy.port, requestText("GET", "/"));
    assert.equal(response.text, "ok", proxy.log);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

/** Serves the checkout as a plain file server would. */
function fileServer(asked: string[]): AsyncDisposable & { url: string } {
  const server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    async (request) => {
      const { pathname } = new URL(request.url);
      asked.push(pathname);
      try {
        return new Response(await Deno.readTextFile(`${ROOT}${pathname}`), {
          headers: { "content-type": "application/typescript" },
        });
      } catch {
        return new Response("not found", { status: 404 });
      }
    },
  );
  return {
    url: `http://127.0.0.1:${server.addr.port}`,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

// Why mod.ts has no default export: a program that listens by itself and has
// one listens twice under both runtimes' own servers, or is mistaken for one
// that should be served.
forOnce("a program that also exports a handler is served twice", {
  timeoutMs: 60_000,
}, async () => {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.writeTextFile(
      `${folder}/both.ts`,
      `console.log("main", import.meta.main);
       export default { port: 0, fetch: () => new Response("x") };
       if (import.meta.main) setTimeout(() => process.exit(0), 100);`,
    );
    const run = async (args: string[]) => {
      const { stdout, stderr } = await new Deno.Command(await denoPath(), {
        args: [...args, `${folder}/both.ts`],
        env: { NO_COLOR: "1" },
        stdin: "null",
        stdout: "piped",
        stderr: "piped",
      }).output();
      const decoder = new TextDecoder();
      return decoder.decode(stdout) + decoder.decode(stderr);
    };
    // Deno warns at each `deno run`, and `deno serve` runs the main part too.
    assert.match(await run(["run", "-A"]), /deno serve/);
    const served = await run(["serve", "-A", "--port=0"]);
    assert.match(served, /main true/);
    assert.match(served, /Listening on/);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

forBoth(
  "Bun also serves a program's default export",
  { runtimes: ["bun"] },
  async (runtime) => {
    const folder = await Deno.makeTempDir();
    try {
      await Deno.writeTextFile(
        `${folder}/both.ts`,
        `let calls = 0;
         const { serve } = Bun;
         Bun.serve = (options) => {
           console.log("served", ++calls);
           return serve({ ...options, port: 0 });
         };
         Bun.serve({ fetch: () => new Response("main") });
         export default { port: 0, fetch: () => new Response("default") };
         setTimeout(() => process.exit(0), 200);`,
      );
      const { stdout } = await runProgram(runtime, {
        entry: `${folder}/both.ts`,
      });
      assert.deepEqual(stdout.match(/served \d/g), ["served 1", "served 2"]);
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  },
);

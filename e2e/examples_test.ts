/**
 * Every example runs as its own comment says.
 *
 * @module
 */

import assert from "node:assert/strict";
import { bunPath, denoPath, ROOT } from "../testing/tools.ts";
import { deadPort, type RawBackend, rawBackend } from "./harness/backend.ts";
import { rawRequest, requestText } from "./harness/client.ts";
import { ProxyProcess, type Runtime } from "./harness/proxy.ts";
import { type CaseOptions, forBoth, forOnce } from "./harness/suite.ts";
import { until } from "./harness/wait.ts";

/** Commands that a comment gives for an example, without their variables. */
function commandsOf(example: string): string[][] {
  const text = Deno.readTextFileSync(`${ROOT}/examples/${example}.ts`);
  const block = /```sh\n([\s\S]*?)```/.exec(text)?.[1] ?? "";
  return block.trim().split("\n").map((line) =>
    line.replace(/^ \* /, "").trim().split(" ")
      .filter((word) => word !== "" && word !== "*" && !/^[A-Z]+=/.test(word))
  ).filter((words) => words.length > 0);
}

/** Starts an example by its command for a runtime and waits until it answers. */
async function start(
  runtime: Runtime,
  example: string,
  env: Record<string, string>,
): Promise<ProxyProcess> {
  const words = commandsOf(example).find(([first]) => first === runtime);
  assert.ok(words, `examples/${example}.ts has a command for ${runtime}`);
  const port = await deadPort();
  // `deno serve` does not read PORT.
  if (words[1] === "serve") {
    words.splice(2, 0, `--port=${port}`, "--host=127.0.0.1");
  }
  const child = new Deno.Command(
    runtime === "bun" ? await bunPath() : await denoPath(),
    {
      args: words.slice(1),
      cwd: ROOT,
      clearEnv: true,
      env: {
        PATH: Deno.env.get("PATH") ?? "",
        HOME: Deno.env.get("HOME") ?? "",
        PORT: String(port),
        ...env,
      },
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    },
  ).spawn();
  const program = new ProxyProcess(runtime, child);
  program.port = port;
  try {
    await until(async () => {
      assert.equal(program.exited, undefined, program.log);
      try {
        return await rawRequest(port, requestText("GET", "/")) !== undefined;
      } catch {
        return false;
      }
    }, { timeoutMs: 20_000, what: () => `an answer; ${program.log}` });
    return program;
  } catch (error) {
    await program.abandon();
    throw error;
  }
}

async function ask(
  program: ProxyProcess,
  target: string,
): Promise<{ status: number; text: string; field: string | undefined }> {
  const response = await rawRequest(program.port, requestText("GET", target));
  const { status, text } = response;
  return { status, text, field: response.header("x-served-by") };
}

function named(name: string): Promise<RawBackend> {
  return rawBackend((conn, { target }) =>
    conn.reply({ body: `${name} ${target}` })
  );
}

const tested = new Set<string>();

/** A test of an example under a runtime of its commands, or under both. */
function example(
  name: string,
  runtimes: readonly Runtime[],
  body: (runtime: Runtime) => Promise<void>,
): void {
  tested.add(name);
  const options: CaseOptions = { runtimes, timeoutMs: 60_000 };
  forBoth(`examples/${name}.ts`, options, body);
}

for (const runtime of ["deno", "bun"] as const) {
  example(runtime, [runtime], async () => {
    await using backend = await named("a");
    await using program = await start(runtime, runtime, {
      BACKENDS: backend.url,
    });
    const { text, field } = await ask(program, "/x");
    assert.equal(text, "a /x");
    if (runtime === "deno") {
      assert.equal(field, "sluice");
      assert.equal((await ask(program, "/about")).text, "answered here\n");
    }
    const { headers } = backend.requests.at(-1)!;
    assert.ok(
      headers.some(([name, value]) =>
        name.toLowerCase() === "x-forwarded-for" && value === "127.0.0.1"
      ),
    );
  });
}

example("bun_websocket", ["bun"], async (runtime) => {
  await using backend = await named("a");
  await using program = await start(runtime, "bun_websocket", {
    BACKEND: backend.url,
  });
  assert.equal((await ask(program, "/x")).text, "a /x");
  assert.equal((await ask(program, "/about")).text, "answered here\n");
});

example("deno_serve", ["deno", "bun"], async (runtime) => {
  await using a = await named("a");
  await using b = await named("b");
  await using program = await start(runtime, "deno_serve", {
    BACKENDS: `${a.url},${b.url}`,
  });
  const texts = [await ask(program, "/x"), await ask(program, "/x")];
  assert.deepEqual(texts.map(({ text }) => text).sort(), ["a /x", "b /x"]);
});

example("router", ["deno", "bun"], async (runtime) => {
  await using api = await named("api");
  await using site = await named("site");
  await using program = await start(runtime, "router", {
    API: api.url,
    SITE: site.url,
  });
  assert.equal((await ask(program, "/api/x?y")).text, "api /api/x?y");
  assert.equal((await ask(program, "/x")).text, "site /x");
  assert.match((await ask(program, "/robots.txt")).text, /^User-agent/);
});

example("hosts", ["deno", "bun"], async (runtime) => {
  await using api = await named("api");
  await using site = await named("site");
  await using program = await start(runtime, "hosts", {
    API: api.url,
    SITE: site.url,
  });
  for (const [host, name] of [["api.test", "api"], ["www.test", "site"]]) {
    const { text } = await rawRequest(
      program.port,
      requestText("GET", "/x", { host: host! }),
    );
    assert.equal(text, `${name} /x`);
  }
});

example("headers", ["deno", "bun"], async (runtime) => {
  await using backend = await rawBackend((conn) =>
    conn.reply({ headers: { "X-Powered-By": "steam" }, body: "a" })
  );
  await using program = await start(runtime, "headers", {
    BACKENDS: backend.url,
  });
  const answer = await rawRequest(
    program.port,
    requestText("GET", "/", { headers: { cookie: "a=b" } }),
  );
  assert.equal(answer.header("x-powered-by"), undefined);
  assert.match(answer.header("strict-transport-security") ?? "", /^max-age=/);
  const seen = backend.requests.at(-1)!;
  assert.equal(seen.header("cookie"), undefined);
  assert.equal(seen.header("x-api-key"), "only-the-backend-sees-this");
});

example("zones", ["deno", "bun"], async (runtime) => {
  await using near = await named("near");
  await using far = await named("far");
  await using program = await start(runtime, "zones", {
    NEAR: near.url,
    FAR: far.url,
  });
  for (let i = 0; i < 6; i++) {
    assert.equal((await ask(program, "/")).text, "near /");
  }
  await near.kill();
  await program.waitForLine(/ is down /, 20_000);
  assert.equal((await ask(program, "/")).text, "far /");
});

example("maintenance", ["deno", "bun"], async (runtime) => {
  await using backend = await named("a");
  await using program = await start(runtime, "maintenance", {
    BACKENDS: backend.url,
  });
  assert.equal((await ask(program, "/")).text, "a /");
  await backend.kill();
  await program.waitForLine(/ is down /, 20_000);
  const { status, text } = await ask(program, "/");
  assert.equal(status, 503);
  assert.match(text, /Back soon/);
  await backend.restart();
  await program.waitForLine(/ is up /, 20_000);
  assert.equal((await ask(program, "/")).text, "a /");
});

example("prefixes", ["deno", "bun"], async (runtime) => {
  await using api = await named("api");
  await using site = await named("site");
  await using program = await start(runtime, "prefixes", {
    API: api.url,
    SITE: site.url,
  });
  assert.equal((await ask(program, "/api/x?y")).text, "api /x?y");
  assert.equal((await ask(program, "/apix")).text, "site /apix");
  const seen = api.requests.at(-1)!;
  assert.equal(seen.header("x-forwarded-prefix"), "/api");
  // Also of a Request that the handler has made, on Bun too.
  assert.equal(seen.header("x-forwarded-for"), "127.0.0.1");
  assert.equal(site.requests.at(-1)!.header("x-forwarded-prefix"), undefined);
  const body = "b".repeat(300_000);
  const { status } = await rawRequest(
    program.port,
    requestText("POST", "/api/upload", { body }),
  );
  assert.equal(status, 200);
  const upload = api.requests.at(-1)!;
  assert.equal(upload.path, "/upload");
  assert.equal(upload.length, 300_000);
});

example("login", ["deno", "bun"], async (runtime) => {
  await using backend = await named("a");
  await using program = await start(runtime, "login", {
    BACKENDS: backend.url,
    LOGIN: "me:secret",
  });
  const [, admin] = await program.waitForLine(/dashboard is at (http:\S+)\/$/);
  const known = requestText("GET", "/x", {
    headers: { authorization: `Basic ${btoa("me:secret")}` },
  });
  const refused = await ask(program, "/x");
  assert.deepEqual([refused.status, refused.text], [401, "Log in first\n"]);
  assert.equal(backend.requests.length, 0);
  const { text } = await rawRequest(program.port, known);
  assert.equal(text, "a /x");
  assert.equal(backend.requests[0]!.header("authorization"), undefined);
  const readiness = async () => {
    const answer = await fetch(`${admin}/readyz`);
    await answer.body?.cancel();
    return answer.status;
  };
  assert.equal(await readiness(), 200);

  // Requests in flight are answered after the signal, and no more are accepted.
  const gate = Promise.withResolvers<void>();
  backend.handler = async (conn) => {
    await gate.promise;
    await conn.reply({ body: "late" });
  };
  const late = rawRequest(program.port, known);
  await backend.waitForRequests(2);
  program.signal("SIGTERM");
  await until(async () => await readiness() === 503);
  // The program's own responses also close the connection now.
  const last = await rawRequest(program.port, requestText("GET", "/x"));
  assert.equal(last.status, 401);
  assert.match(last.header("connection") ?? "", /close/);
  gate.resolve();
  assert.equal((await late).text, "late");
  assert.equal((await program.waitForExit()).code, 0);
});

example("capacity", ["deno", "bun"], async (runtime) => {
  const capable = async (name: string, capacity: number) => {
    const backend = await named(name);
    backend.health = (conn) =>
      conn.reply({ headers: { "X-Capacity": String(capacity) } });
    return backend;
  };
  await using small = await capable("small", 1);
  await using large = await capable("large", 9);
  await using program = await start(runtime, "capacity", {
    BACKENDS: `${small.url},${large.url}`,
  });
  const shares = { small: 0, large: 0 };
  for (let i = 0; i < 100; i++) {
    const { text } = await ask(program, "/");
    shares[text.split(" ")[0] as "small" | "large"]++;
  }
  // 10 and 90 are expected; below 60 has a probability of 1 in 10^15.
  assert.ok(shares.large > 60, JSON.stringify(shares));
  large.health = 500;
  await program.waitForLine(/is down \(health\.check: status 500\)/, 20_000);
  assert.match((await ask(program, "/")).text, /^small/);
});

/** The demo's line about its dashboard. */
async function shown(program: ProxyProcess): Promise<{ adminUrl: string }> {
  const [, adminUrl] = await program.waitForLine(/^The dashboard: +(http\S+)/);
  return { adminUrl: adminUrl! };
}

tested.add("demo");
forOnce("deno task demo", { timeoutMs: 60_000 }, async () => {
  const port = await deadPort();
  const child = new Deno.Command(await denoPath(), {
    args: ["task", "demo"],
    cwd: ROOT,
    env: { PORT: String(port), NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  await using program = new ProxyProcess("deno", child);
  program.port = port;
  await program.waitForLine(
    new RegExp(`^Watch in a browser: +http://127\\.0\\.0\\.1:${port}/$`),
    30_000,
  );
  const { adminUrl } = await shown(program);
  const { backends } = await (await fetch(`${adminUrl}backends`)).json();
  assert.deepEqual(
    backends.map(({ name }: { name: string }) => name),
    ["amber", "birch", "cedar"],
  );
  const names = async (count: number) => {
    const seen = new Set<string>();
    for (let i = 0; i < count; i++) {
      const { status, text } = await ask(program, "/");
      assert.equal(status, 200);
      seen.add(text.split(" ")[0]!);
    }
    return [...seen].sort();
  };
  assert.deepEqual(await names(6), ["amber", "birch", "cedar"]);
  const stopped = (await ask(program, "/stop")).text.split(" ")[0]!;
  // No client sees an error, not even at once.
  const left = await names(6);
  assert.equal(left.length, 2);
  assert.ok(!left.includes(stopped));
  await program.waitForLine(
    new RegExp(`backend ${stopped} is down `),
    10_000,
  );
  await program.waitForLine(new RegExp(`backend ${stopped} is up `), 30_000);
  await until(async () => (await names(3)).length === 3, {
    timeoutMs: 20_000,
    what: "all three again",
  });
});

forOnce("every example has a test", () => {
  for (const { name, isFile } of Deno.readDirSync(`${ROOT}/examples`)) {
    // Those of a folder are in `deploy_test.ts`.
    if (!isFile) continue;
    assert.ok(tested.has(name.replace(/\.ts$/, "")), name);
  }
});

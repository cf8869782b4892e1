/**
 * The commands and programs of the documents, run unchanged.
 *
 * @module
 */

import assert from "node:assert/strict";
import { readSettings } from "../config/config.ts";
import { type Block, documents, parts } from "../testing/documents.ts";
import { bunPath, denoPath, npmTool, ROOT } from "../testing/tools.ts";
import { Scene } from "./docs/scene.ts";
import { type RawBackend, rawBackend } from "./harness/backend.ts";
import { rawRequest, requestText } from "./harness/client.ts";
import { startNginx } from "./harness/nginx.ts";
import { ProxyProcess, type Runtime } from "./harness/proxy.ts";
import {
  type CaseOptions,
  forBoth,
  forOnce,
  skippedWithout,
} from "./harness/suite.ts";
import { until } from "./harness/wait.ts";
import { childrenOf } from "./harness/workers.ts";

const BLOCKS = documents().flatMap((document) => parts(document).blocks);

/** Blocks that a test runs, here or elsewhere. */
const tested = new Set<Block>();

/** The blocks of one kind under a heading, which a test runs. */
function blocksOf(path: string, heading: string, info = "sh"): Block[] {
  const found = BLOCKS.filter((block) =>
    block.path === path && block.heading === heading && block.info === info
  );
  assert.ok(found.length > 0, `${path} has a block under "${heading}"`);
  for (const block of found) tested.add(block);
  return found;
}

/** Registers a test of the blocks under a heading of the recipes. */
function recipe(
  heading: string,
  options: CaseOptions,
  body: (runtime: Runtime, blocks: Block[]) => Promise<void>,
): void {
  const blocks = blocksOf("docs/recipes.md", heading);
  forBoth(
    `docs/recipes.md: ${heading}`,
    { timeoutMs: 60_000, ...options },
    (runtime) => body(runtime, blocks),
  );
}

function named(name: string): Promise<RawBackend> {
  return rawBackend((conn) => conn.reply({ body: name }));
}

async function ask(
  { port }: { port: number },
  headers: Record<string, string> = {},
  method = "GET",
): ReturnType<typeof rawRequest> {
  return await rawRequest(port, requestText(method, "/", { headers }));
}

recipe("Maintenance page", {}, async (runtime, [start]) => {
  await using app = await named("app");
  await using page = await named("page");
  await using scene = await Scene.make(runtime, [
    app.authority,
    page.authority,
  ]);
  await using proxy = await scene.start(start!);
  for (let i = 0; i < 4; i++) assert.equal((await ask(proxy)).text, "app");
  await app.kill();
  await proxy.waitForLine(/ is down /, 20_000);
  assert.equal((await ask(proxy)).text, "page");
});

recipe("Sticky sessions", {}, async (runtime, [start]) => {
  await using a = await named("a");
  await using b = await named("b");
  await using scene = await Scene.make(runtime, [a.authority, b.authority]);
  await using proxy = await scene.start(start!);
  const first = await ask(proxy);
  const cookie = first.header("set-cookie")!.split(";")[0]!;
  assert.match(cookie, /^lb=/);
  for (let i = 0; i < 6; i++) {
    assert.equal((await ask(proxy, { cookie })).text, first.text);
  }
});

recipe("Canary by weight", skippedWithout("curl"), async (runtime, blocks) => {
  const [start, compare, raise] = blocks;
  await using stable = await named("stable");
  await using canary = await named("canary");
  await using scene = await Scene.make(runtime, [
    stable.authority,
    canary.authority,
  ]);
  await using proxy = await scene.start(start!);
  for (let i = 0; i < 40; i++) await ask(proxy);
  assert.equal(canary.requests.length, 2);
  const figures = await scene.run(compare!);
  assert.match(
    figures,
    /^sluice_backend_requests_total\{backend="canary",code="200"\} 2$/m,
  );
  assert.match(
    figures,
    /^sluice_backend_header_seconds_sum\{backend="stable"/m,
  );
  const { weight, name } = JSON.parse(await scene.run(raise!));
  assert.deepEqual({ weight, name }, { weight: 50, name: "canary" });
});

recipe("Retries and idempotency", {}, async (runtime, [start]) => {
  // The backend that gets it first reads it and breaks the connection.
  let broken = 0;
  const breaking = () =>
    rawBackend(async (conn, request) => {
      await request.body();
      return broken++ === 0 ? conn.reset() : conn.reply({ body: "done" });
    });
  await using a = await breaking();
  await using b = await breaking();
  await using scene = await Scene.make(runtime, [a.authority, b.authority]);
  await using proxy = await scene.start(start!);
  const put = await ask(proxy, {}, "PUT");
  assert.deepEqual([put.status, put.text, broken], [200, "done", 2]);
  broken = 0;
  assert.deepEqual([(await ask(proxy, {}, "POST")).status, broken], [502, 1]);
});

recipe("Event streams and LLM streaming", {}, async (runtime, [start]) => {
  const gate = Promise.withResolvers<void>();
  const streaming = () =>
    rawBackend(async (conn) => {
      await conn.send(
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n" +
          "Transfer-Encoding: chunked\r\n\r\n",
      );
      await conn.chunk("data: one\n\n");
      await gate.promise;
      await conn.chunk("data: two\n\n");
      await conn.lastChunk();
    });
  await using a = await streaming();
  await using b = await streaming();
  await using scene = await Scene.make(runtime, [a.authority, b.authority]);
  await using proxy = await scene.start(start!);
  const response = await fetch(proxy.url);
  const reader = response.body!.pipeThrough(new TextDecoderStream())
    .getReader();
  // It has arrived while the backend holds back the rest.
  assert.equal((await reader.read()).value, "data: one\n\n");
  gate.resolve();
  assert.equal((await reader.read()).value, "data: two\n\n");
  assert.ok((await reader.read()).done);
});

recipe("WebSocket", {}, async (runtime, [start]) => {
  const echo = () =>
    Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
      if (request.headers.get("upgrade") !== "websocket") {
        return new Response();
      }
      const { socket, response } = Deno.upgradeWebSocket(request);
      socket.onmessage = ({ data }) => socket.send(`echo ${data}`);
      return response;
    });
  await using a = echo();
  await using b = echo();
  await using scene = await Scene.make(
    runtime,
    [a, b].map(({ addr }) => `127.0.0.1:${addr.port}`),
  );
  await using proxy = await scene.start(start!);
  const socket = new WebSocket(proxy.url.replace("http:", "ws:"));
  const heard = Promise.withResolvers<unknown>();
  const closed = Promise.withResolvers<number>();
  socket.onmessage = ({ data }) => heard.resolve(data);
  socket.onclose = ({ code }) => closed.resolve(code);
  socket.onopen = () => socket.send("hello");
  assert.equal(await heard.promise, "echo hello");
  socket.send("x".repeat(1024 * 1024 + 1));
  assert.equal(await closed.promise, 1009);
});

recipe("Rate limit", {}, async (runtime, [start]) => {
  await using a = await named("a");
  await using b = await named("b");
  await using scene = await Scene.make(runtime, [a.authority, b.authority]);
  await using proxy = await scene.start(start!);
  let answer = await ask(proxy);
  let allowed = 0;
  // More are allowed than the burst where this machine is slow.
  for (; answer.status === 200 && allowed < 1_000; allowed++) {
    answer = await ask(proxy);
  }
  assert.ok(allowed >= 10);
  assert.equal(answer.status, 429);
  assert.match(answer.header("retry-after") ?? "", /^\d+$/);
  // Another client, according to a trusted proxy; loopback is not one.
  const other = await ask(proxy, { "x-forwarded-for": "203.0.113.9" });
  assert.equal(other.status, 429);
});

recipe(
  "TLS with renewal",
  skippedWithout("openssl", "curl"),
  async (runtime, [make, start, get, renew]) => {
    await using backend = await named("app");
    await using scene = await Scene.make(runtime, [backend.authority]);
    await scene.run(make!);
    await using proxy = await scene.start(start!);
    assert.equal(await scene.run(get!), "app");
    await scene.run(renew!);
    await proxy.waitForLine(/TLS_CERT.* read.* localhost/, 10_000);
    // With the new certificate, the only one that it trusts now.
    assert.equal(await scene.run(get!), "app");
  },
);

const [NGINX] = blocksOf("docs/recipes.md", "Behind another proxy", "nginx");
recipe(
  "Behind another proxy",
  skippedWithout("nginx"),
  async (runtime, [start]) => {
    await using backend = await named("app");
    await using scene = await Scene.make(runtime, [backend.authority]);
    await using proxy = await scene.start(start!, { ACCESS_LOG: "json" });
    await using nginx = await startNginx(scene.text(NGINX!));
    const answer = await rawRequest(
      nginx.port,
      requestText("GET", "/x", {
        host: "shop.example",
        headers: { "x-forwarded-for": "203.0.113.9" },
      }),
    );
    assert.equal(answer.text, "app");
    const seen = backend.requests.findLast(({ target }) => target === "/x")!;
    assert.equal(seen.header("host"), "shop.example");
    assert.equal(seen.header("x-forwarded-proto"), "http");
    await proxy.waitForLine(/"client":"203\.0\.113\.9".*"target":"\/x"/);
  },
);

forOnce("docs/recipes.md: Kubernetes headless Service", () => {
  const [block] = blocksOf(
    "docs/recipes.md",
    "Kubernetes headless Service",
    "yaml",
  );
  // The whole is in `deploy_test.ts`.
  const manifests = Deno.readTextFileSync(
    `${ROOT}/examples/deploy/kubernetes.yaml`,
  );
  assert.ok(manifests.includes(block!.text), block!.text);
});

forOnce("docs/recipes.md: systemd", () => {
  const [block] = blocksOf("docs/recipes.md", "systemd", "ini");
  const env = new Map(
    block!.text.trim().split("\n").map((line) => {
      const [, name, value] = /^([A-Z_]+)=(.*)$/.exec(line)!;
      return [name!, value!];
    }),
  );
  const config = readSettings(
    [],
    (name) => env.get(name),
    [...env.keys()],
    () => {
      throw new Error("No file is named");
    },
  );
  assert.equal(config.kind, "run", JSON.stringify(config));
  const unit = Deno.readTextFileSync(`${ROOT}/examples/deploy/sluice.service`);
  assert.match(unit, /^EnvironmentFile=\/etc\/sluice\/sluice\.env$/m);
});

const [HONO] = blocksOf("docs/recipes.md", "Inside a Hono app", "ts ignore");
forBoth("docs/recipes.md: Inside a Hono app", {
  // Hono is installed from npm the first time.
  timeoutMs: 120_000,
}, async (runtime) => {
  await using backend = await named("app");
  await using scene = await Scene.make(runtime, [backend.authority]);
  const { modules } = await npmTool("hono", "4.13.19");
  await Deno.symlink(modules, `${scene.folder}/node_modules`);
  await Deno.writeTextFile(
    `${scene.folder}/package.json`,
    '{"dependencies":{"hono":"4.13.19"}}',
  );
  const bundled = await new Deno.Command(await denoPath(), {
    args: ["bundle", "-q", "-o", `${scene.folder}/sluice.js`, "mod.ts"],
    cwd: ROOT,
  }).output();
  assert.ok(bundled.success);
  const program = scene.text(HONO!)
    .replace("port: 8080", `port: ${scene.port("8080")}`);
  await Deno.writeTextFile(`${scene.folder}/app.ts`, program);
  const child = new Deno.Command(
    runtime === "bun" ? await bunPath() : await denoPath(),
    {
      args: runtime === "bun"
        ? ["run", "app.ts"]
        : ["run", "--no-prompt", "--allow-net", "--allow-env", "app.ts"],
      cwd: scene.folder,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    },
  ).spawn();
  await using app = new ProxyProcess(runtime, child);
  app.port = scene.port("8080");
  const get = (target: string) =>
    rawRequest(app.port, requestText("GET", target));
  const text = await until(async () => {
    assert.equal(app.exited, undefined, app.log);
    try {
      return (await get("/about")).text;
    } catch {
      return undefined;
    }
  }, { timeoutMs: 20_000, what: () => app.log });
  assert.equal(text, "answered by Hono\n");
  assert.equal((await get("/api/x")).text, "app");
  assert.equal(backend.requests[0]!.header("x-forwarded-for"), "127.0.0.1");
  assert.equal((await get("/other")).status, 404);
});

/** The process at the end of a chain of which each has started the next. */
function youngestOf(pid: number): number {
  const [child] = childrenOf(pid);
  return child === undefined ? pid : youngestOf(child);
}

const START = blocksOf("README.md", "Start");
forBoth("README.md: Start", { timeoutMs: 120_000 }, async (runtime) => {
  await using a = await named("a");
  await using b = await named("b");
  await using scene = await Scene.make(runtime, [a.authority, b.authority]);
  // One is of the demo (`examples_test.ts`); three start it, the last of them
  // where there is neither runtime.
  const [, onDeno, onBun, onNode, check] = START;
  for (const block of runtime === "bun" ? [onBun!] : [onDeno!, onNode!]) {
    await using proxy = await scene.start(block);
    const texts = [await ask(proxy), await ask(proxy)].map(({ text }) => text);
    assert.deepEqual(texts.sort(), ["a", "b"]);
    // npx passes no SIGTERM on, and would leave the proxy behind. It ends with it.
    Deno.kill(youngestOf(proxy.pid), "SIGTERM");
    await proxy.waitForExit();
  }
  assert.match(await scene.run(check!), /^deno run --no-prompt /m);
});

const [BACKENDS] = blocksOf(
  "docs/policies-and-health.md",
  "Weights, backups and limits",
);
forBoth(
  "docs/policies-and-health.md: words after a backend",
  async (runtime) => {
    await using a = await named("a");
    await using b = await named("b");
    await using c = await named("c");
    await using scene = await Scene.make(
      runtime,
      [a, b, c].map(({ authority }) => authority),
    );
    assert.match(await scene.run(BACKENDS!), /^big http.*\nsmall http/m);
  },
);

const CHANGES = blocksOf("docs/observability.md", "Change backends");
const EXPLAINED = blocksOf("docs/observability.md", "Explain one request");
const TOKEN_FILE = blocksOf(
  "docs/observability.md",
  "Security of the admin port",
);
forBoth(
  "docs/observability.md: a token from a file, changes, an explanation",
  skippedWithout("curl"),
  async (runtime) => {
    await using app = await named("app");
    await using scene = await Scene.make(runtime, [app.authority]);
    const ADMIN_TOKEN = "a-token-of-this-test";
    const secret = `${scene.folder}/token`;
    await Deno.writeTextFile(secret, ADMIN_TOKEN);
    const [{ text, ...block }] = TOKEN_FILE as [Block];
    const start = text.replace("/run/secrets/sluice_token", secret)
      .replace(
        "bun run",
        runtime === "bun" ? "bun run" : "deno run --allow-net --allow-env",
      );
    await using proxy = await scene.start({ ...block, text: start }, {
      BACKENDS: app.url,
      ADMIN_PORT: String(scene.port("9090")),
    });
    const answers = await scene.run(CHANGES[0]!, { ADMIN_TOKEN });
    assert.match(answers, /"state":"draining".*\n?.*"weight":5/s);
    const { backends } = await (
      await fetch(`http://127.0.0.1:${scene.port("9090")}/backends`)
    ).json();
    assert.equal(backends.length, 1);
    assert.match(
      await scene.run(EXPLAINED[0]!, { ADMIN_TOKEN }),
      /^server-timing: sluice/mi,
    );
    assert.equal(proxy.exited, undefined, proxy.log);
  },
);

// `deno test --doc` runs them on Deno.
forOnce("the programs of the documents run on Bun", {
  timeoutMs: 60_000,
}, async () => {
  const programs = BLOCKS.filter(({ info }) => info === "ts");
  assert.ok(programs.length > 0);
  const folder = await Deno.makeTempDir({ prefix: "sluice-docs-" });
  try {
    for (const [i, { path, heading, text }] of programs.entries()) {
      const file = `${folder}/${i}.ts`;
      await Deno.writeTextFile(
        file,
        text.replace(/"\.\.?\/mod\.ts"/, `"${ROOT}/mod.ts"`),
      );
      const { success, stderr } = await new Deno.Command(await bunPath(), {
        args: ["run", file],
        cwd: folder,
        stdin: "null",
      }).output();
      const said = new TextDecoder().decode(stderr);
      assert.ok(success && said === "", `${path}, ${heading}: ${said}`);
    }
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

/** Blocks that are run by tests in other files, by a text in them. */
const ELSEWHERE: readonly [path: string, heading: string, test: string][] = [
  ["docs/production.md", "Before you start", "e2e/bundle_test.ts"],
  ["docs/production.md", "Permissions on Deno", "e2e/start_test.ts"],
  ["docs/production.md", "Bun", "e2e/environment_test.ts"],
];

forOnce(
  "each sh block of the documents is run by a test or marked as ignored",
  () => {
    for (const [path, heading, test] of ELSEWHERE) {
      blocksOf(path, heading);
      Deno.statSync(`${ROOT}/${test}`);
    }
    const missed = BLOCKS.filter((block) =>
      block.info === "sh" && !tested.has(block) &&
      /^(?:README|docs\/)/.test(block.path)
    );
    assert.deepEqual(missed, []);
  },
);

/**
 * WebSocket stacks that others wrote, through the proxy and without it: what
 * they see has to be the same.
 */

import assert from "node:assert/strict";
import { npmTool, ROOT } from "../../testing/tools.ts";
import { rawBackend } from "../harness/backend.ts";
import { ended, opened } from "../harness/cleanup.ts";
import {
  type ProxyProcess,
  type Runtime,
  startProxy,
} from "../harness/proxy.ts";
import { type CaseOptions, forBoth, skippedWithout } from "../harness/suite.ts";
import { until, within } from "../harness/wait.ts";
import { ask, closing, grant } from "./raw.ts";

const WS = "8.21.0";
const HERE = `${ROOT}/e2e/websocket`;

/** The folder of npm `ws`. */
async function wsFolder(): Promise<string> {
  return `${(await npmTool("ws", WS)).modules}/ws`;
}

/** A program that runs beside a test. */
class Program implements AsyncDisposable {
  readonly label: string;
  readonly lines: string[] = [];
  readonly #child: Deno.ChildProcess;
  readonly #reading: Promise<void>;

  constructor(command: string, args: string[], cwd?: string) {
    this.label = command;
    const child = this.#child = new Deno.Command(command, {
      args,
      stdin: "null",
      stdout: "piped",
      stderr: "null",
      ...(cwd === undefined ? {} : { cwd }),
    }).spawn();
    this.#reading = (async () => {
      let rest = "";
      const text = child.stdout.pipeThrough(new TextDecoderStream());
      for await (const piece of text) {
        const parts = (rest + piece).split("\n");
        rest = parts.pop()!;
        this.lines.push(...parts);
      }
    })();
    opened(this);
  }

  /** Waits for a line that begins so; gives the rest of it. */
  async line(start: string, timeoutMs = 20_000): Promise<string> {
    const line = await until(
      () => this.lines.find((line) => line.startsWith(start)),
      { timeoutMs, what: `a line "${start}…" of ${this.label}` },
    );
    return line!.slice(start.length);
  }

  async abandon(): Promise<void> {
    ended(this);
    try {
      this.#child.kill("SIGKILL");
    } catch {
      // It has exited.
    }
    await this.#child.status;
    await this.#reading;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.abandon();
  }
}

async function wsServer(): Promise<{ server: Program; port: number }> {
  const server = new Program("node", [
    `${HERE}/ws_server.mjs`,
    await wsFolder(),
  ]);
  return { server, port: Number(await server.line("port ")) };
}

/** Runs a client to its end; returns its output, parsed as JSON. */
async function ran(command: string, args: string[]): Promise<unknown> {
  const { stdout, stderr } = await new Deno.Command(command, {
    args,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
    signal: AbortSignal.timeout(60_000),
  }).output();
  const text = new TextDecoder().decode(stdout);
  assert.notEqual(text, "", new TextDecoder().decode(stderr));
  return JSON.parse(text);
}

function proxyTo(
  runtime: Runtime,
  port: number,
): Promise<ProxyProcess> {
  return startProxy(runtime, {
    env: { BACKENDS: `http://127.0.0.1:${port}` },
  });
}

const NODE: CaseOptions = {
  ...skippedWithout("node", "npm"),
  timeoutMs: 90_000,
};

forBoth(
  "npm ws on both ends sees the same as without the proxy",
  NODE,
  async (runtime) => {
    const { server, port } = await wsServer();
    await using _server = server;
    await using proxy = await proxyTo(runtime, port);
    const client = `${HERE}/ws_client.mjs`;
    const direct = await ran("node", [
      client,
      await wsFolder(),
      `ws://127.0.0.1:${port}`,
    ]);
    const through = await ran("node", [
      client,
      await wsFolder(),
      `ws://127.0.0.1:${proxy.port}`,
    ]);
    assert.deepEqual(through, direct);
    assert.ok((direct as unknown[]).length > 9);
    // The server's view: each close arrives, the client's sudden leave too.
    await until(() => server.lines.length >= 1 + 2 * 11, {
      what: () => `all closes: ${server.lines.join("; ")}`,
    });
    const closes = server.lines.slice(1);
    assert.deepEqual(closes.slice(11).sort(), closes.slice(0, 11).sort());
  },
);

const PYTHON = "/usr/bin/python3";
const hasPython = (() => {
  try {
    Deno.statSync("/usr/lib/python3/dist-packages/websockets/client.py");
    return true;
  } catch {
    return false;
  }
})();

forBoth("Python's websockets sees the same as without the proxy", {
  ...NODE,
  ...(hasPython ? {} : { skip: "python3-websockets not installed" }),
}, async (runtime) => {
  const { server, port } = await wsServer();
  await using _server = server;
  await using proxy = await proxyTo(runtime, port);
  const seen = (to: number) =>
    ran(PYTHON, [`${HERE}/client.py`, `ws://127.0.0.1:${to}`]);
  const direct = await seen(port);
  assert.deepEqual(await seen(proxy.port), direct);
  assert.match(JSON.stringify(direct), /closed 4000 why/);
});

forBoth("websocketd as a backend", {
  ...skippedWithout("websocketd"),
  timeoutMs: 60_000,
}, async (runtime) => {
  // It does not accept port 0, and does not print its port.
  const port = 20_000 + Math.floor(Math.random() * 12_000);
  await using _server = new Program("websocketd", [
    `--port=${port}`,
    "--address=127.0.0.1",
    "sh",
    "-c",
    'while read -r line; do echo "got $line"; [ "$line" = end ] && exit; done',
  ]);
  await until(
    () =>
      Deno.connect({ port }).then((conn) => (conn.close(), true), () => false),
    { timeoutMs: 20_000 },
  );
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: `http://127.0.0.1:${port}`, HEALTH_PATH: "off" },
  });
  await using asked = await ask(proxy.port, "/", [
    ["Origin", "http://sluice.test"],
  ]);
  assert.equal(asked.status, 101);
  await asked.frames.text("hello");
  assert.equal(await asked.frames.shown(), "text got hello");
  await asked.frames.text("end");
  assert.equal(await asked.frames.shown(), "text got end");
  assert.match(await asked.frames.shown(), /^close|^fin/);
});

forBoth("Chromium as a client", {
  ...skippedWithout("chromium", "node", "npm"),
  timeoutMs: 120_000,
}, async (runtime) => {
  const { server, port } = await wsServer();
  await using _server = server;
  await using proxy = await proxyTo(runtime, port);
  const profile = await Deno.makeTempDir();
  try {
    await using _browser = new Program("chromium", [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-dev-shm-usage",
      "--no-first-run",
      "--remote-debugging-port=0",
      `--user-data-dir=${profile}`,
      `http://127.0.0.1:${proxy.port}/page`,
    ]);
    assert.deepEqual(JSON.parse(await server.line("result ", 90_000)), [
      ["open b", "hi", "binary 70000", "bye", "close 4321 grüße true"],
      ["open ", "hello", "ä€😀", "close 4000 why true"],
      ["open ", "close 1005  true"],
      ["open ", "close 1011 e true"],
    ]);
  } finally {
    // Its helpers may write for a moment after it was killed.
    await until(
      () =>
        Deno.remove(profile, { recursive: true }).then(() => true, () => false),
      { timeoutMs: 5_000 },
    );
  }
});

/** Bytes of frames with the mask 1, 2, 3, 4 are made in `raw.ts`. */
type Step = [first: number, payload?: string | Uint8Array];

/**
 * What a client sends to an echo server, in the manner of Autobahn's cases. The
 * replies are compared with and without the proxy, except the reason of a
 * close, which differs by server.
 */
const FROM_CLIENT: [name: string, steps: Step[]][] = [
  ["text", [[0x81, "a"], [0x88]]],
  ["empty messages", [[0x81], [0x82], [0x88]]],
  ["sizes", [
    ...[125, 126, 127, 128, 65_535, 65_536, 131_072].flatMap((n): Step[] => [
      [0x81, "*".repeat(n)],
      [0x82, new Uint8Array(n)],
    ]),
    [0x88],
  ]],
  ["ping", [[0x89, "p"], [0x81, "a"], [0x88]]],
  ["ping of 125 bytes", [[0x89, "p".repeat(125)], [0x81, "a"], [0x88]]],
  ["ten pings", [
    ...Array.from({ length: 10 }, (_, i): Step => [0x89, `${i}`]),
    [0x88],
  ]],
  ["unasked pong", [[0x8a, "p"], [0x81, "a"], [0x88]]],
  ["ping of 126 bytes", [[0x89, "p".repeat(126)]]],
  ["fragments", [[0x01, "a"], [0x00, "b"], [0x80, "c"], [0x88]]],
  ["empty fragments", [[0x01], [0x00], [0x80], [0x88]]],
  ["ping within fragments", [[0x01, "a"], [0x89, "p"], [0x80, "c"], [0x88]]],
  ["pong within fragments", [[0x01, "a"], [0x8a, "p"], [0x80, "c"], [0x88]]],
  ["close within fragments", [[0x01, "a"], [0x88, closing(1000)]]],
  ["fragmented ping", [[0x09, "a"], [0x80, "b"]]],
  ["continuation of nothing", [[0x80, "a"]]],
  ["text within fragments", [[0x01, "a"], [0x81, "b"]]],
  ["reserved bit 1", [[0xc1, "a"]]],
  ["reserved bit 2", [[0xa1, "a"]]],
  ["reserved bit 3", [[0x91, "a"]]],
  ["opcode 3", [[0x83, "a"]]],
  ["opcode 11", [[0x8b, "a"]]],
  ["UTF-8", [[0x81, "Hello-µ@ßöäüàá-😀"], [0x88]]],
  ["UTF-8 in halves", [
    [0x01, new Uint8Array([0xce])],
    [0x80, new Uint8Array([0xba])],
    [0x88],
  ]],
  ["bad UTF-8", [[0x81, new Uint8Array([0xce, 0xba, 0xed, 0xa0, 0x80])]]],
  ["overlong UTF-8", [[0x81, new Uint8Array([0xc0, 0xaf])]]],
  ["cut UTF-8", [[0x81, new Uint8Array([0xf0, 0x9f, 0x98])]]],
  ["bad UTF-8 in fragments", [
    [0x01, new Uint8Array([0xce])],
    [0x80, new Uint8Array([0x28])],
  ]],
  ["close without a code", [[0x88]]],
  ["close of one byte", [[0x88, new Uint8Array([3])]]],
  ["close with bad UTF-8", [[0x88, new Uint8Array([3, 232, 0xff])]]],
  ["close and then text", [[0x88, closing(1000)], [0x81, "a"]]],
  ...[
    1000,
    1001,
    1002,
    1003,
    1007,
    1008,
    1009,
    1010,
    1011,
    1012,
    1013,
    1014,
    3000,
    3999,
    4000,
    4999,
    0,
    999,
    1004,
    1005,
    1006,
    1015,
    1016,
    1100,
    2000,
    2999,
    5000,
    65_535,
  ].map((code): [string, Step[]] => [`close ${code}`, [[
    0x88,
    closing(code),
  ]]]),
];

/**
 * Where the client gets a different code from the one of the backend's server.
 * Deno's server ends the connection of a client that violates the protocol
 * without a code.
 */
const TOLD_NOTHING: Record<Runtime, RegExp> = {
  deno:
    /126|fragmented ping|of nothing|text within|reserved|opcode|bad UTF|overlong|cut UTF|of one byte/,
  bun: /^$/,
};
/** Codes that Deno answers with 1002 or the end, and others with themselves. */
const EXCEPTIONS: Record<Runtime, Record<string, string[]>> = {
  deno: { "close 1014": ["close 1002", "fin"] },
  bun: {},
};

async function verdict(port: number, steps: Step[]): Promise<string[]> {
  await using asked = await ask(port, "/echo");
  assert.equal(asked.status, 101);
  const seen: string[] = [];
  let echoes = 0;
  for (const [first, payload] of steps) {
    if (first === 0x88) {
      // Each of the two connections has its own close handshake, so what a
      // backend sends after its close is lost: the echoes come first.
      while (seen.length < echoes) seen.push(await asked.frames.shown());
    } else if ((first & 0x80) !== 0 && (first & 0x0f) < 10) echoes++;
    await asked.frames.send(first, payload).catch(() => {});
  }
  seen.push(...await within(asked.frames.rest(), 5_000, "the end"));
  return seen.map((shown) =>
    shown.startsWith("close")
      ? shown.split(" ", 2).join(" ")
      : shown === "reset"
      ? "fin"
      : shown.slice(0, 60)
  );
}

forBoth(
  "a client's frames, right and wrong, get the same verdicts as without the proxy",
  NODE,
  async (runtime) => {
    const { server, port } = await wsServer();
    await using _server = server;
    await using proxy = await proxyTo(runtime, port);
    const differing: string[] = [];
    for (const [name, steps] of FROM_CLIENT) {
      const direct = await verdict(port, steps);
      const through = await verdict(proxy.port, steps);
      const expected = EXCEPTIONS[runtime][name] ??
        (TOLD_NOTHING[runtime].test(name) ? ["fin"] : direct);
      if (JSON.stringify(through) !== JSON.stringify(expected)) {
        differing.push(
          `${name}: ${JSON.stringify(through)}, not ${
            JSON.stringify(expected)
          }`,
        );
      }
    }
    assert.deepEqual(differing, []);
  },
);

/** What a backend sends, and how npm `ws` as a client receives it. */
const FROM_BACKEND: [name: string, steps: Step[]][] = [
  ["text", [[0x81, "a"], [0x88, closing(1000, "x")]]],
  ["fragments", [[0x01, "a"], [0x89, "p"], [0x80, "b"], [0x88]]],
  ["binary", [[0x82, new Uint8Array(70_000)], [0x88, closing(4000)]]],
  ["masked", [[0x81, "a"], [0x81, "masked"]]],
  ["bad UTF-8", [[0x81, "a"], [0x81, new Uint8Array([0xff])]]],
  ["reserved bit", [[0x81, "a"], [0xc1, "b"]]],
  ["opcode 3", [[0x81, "a"], [0x83, "b"]]],
  ["continuation of nothing", [[0x81, "a"], [0x80, "b"]]],
  ["ping of 126 bytes", [[0x81, "a"], [0x89, "p".repeat(126)]]],
  ["close 1005", [[0x81, "a"], [0x88, closing(1005)]]],
  ["close 2999", [[0x81, "a"], [0x88, closing(2999)]]],
];

forBoth(
  "a backend's frames, right and wrong, get the same verdicts as without the proxy",
  NODE,
  async (runtime) => {
    const told = new Map<string, string>();
    await using backend = await rawBackend(async (conn, request) => {
      const frames = await grant(conn, request);
      const index = Number(request.path.slice(1));
      const [name, steps] = FROM_BACKEND[index]!;
      for (const [first, payload] of steps) {
        if (payload === "masked") {
          await conn.send(new Uint8Array([first, 0x81, 1, 2, 3, 4, 0x60]));
        } else await frames.send(first, payload);
      }
      const seen = (await frames.rest()).filter((one) =>
        !one.startsWith("pong")
      );
      const key = `${request.header("via") === undefined ? "-" : "+"}${name}`;
      told.set(key, seen[0]!.split(" ", 2).join(" "));
      await conn.close();
    });
    await using proxy = await startProxy(runtime, {
      env: { BACKENDS: backend.url },
    });
    const folder = await wsFolder();
    const [direct, through] = await Promise.all(
      [backend.port, proxy.port].map((port) =>
        ran("node", [
          `${HERE}/ws_client.mjs`,
          folder,
          `ws://127.0.0.1:${port}`,
          ...FROM_BACKEND.keys().map((index) => `/${index}`),
        ]) as Promise<string[][]>
      ),
    );
    for (const [index, [name]] of FROM_BACKEND.entries()) {
      await until(() => told.has(`+${name}`) && told.has(`-${name}`));
      // The backend gets the same.
      assert.equal(told.get(`+${name}`), told.get(`-${name}`), name);
      // The client, which would fail by itself, sees an end without a close
      // frame; Deno can only send 1014.
      const seen = direct![index]!.filter((one) => one !== "error").map((one) =>
        runtime === "deno" && one === "close 1006 " ? "close 1014 " : one
      );
      assert.deepEqual(through![index], seen, name);
    }
  },
);

// How fast is Sluice beside the runtime's bare `fetch`, and beside other
// proxies? Run by `deno task bench`, in under a minute with `--quick`.
//
// Everything runs on this machine: nginx as the backends, wrk as the load. A
// machine has its moods, so contenders take turns (A B C A B C) and what counts
// is the ratio of medians in one run; single figures from two runs say nothing.

import process from "node:process";
import { startProxy } from "../e2e/harness/proxy.ts";
import { bunPath, denoPath, inPath, ROOT, VERSIONS } from "../testing/tools.ts";
import { PEERS } from "./peers.ts";

/** What is asked for. */
interface Row {
  name: string;
  path: string;
  /** wrk's script, for anything that is not a plain GET. */
  script?: string;
}

const ROWS: readonly Row[] = [
  { name: "GET 13 B", path: "/small" },
  {
    name: "POST 1 KB",
    path: "/post",
    script: 'wrk.method="POST"\nwrk.body=string.rep("x",1024)\n',
  },
  { name: "GET 64 KB", path: "/64k" },
  { name: "GET 1 MB", path: "/1m" },
];

/** A program that takes requests. */
interface Contender {
  name: string;
  /** Whom its ratio is taken to. */
  against?: string;
  start(port: number): Promise<Running>;
}

interface Running extends AsyncDisposable {
  port: number;
  pid: number;
}

/** What one turn showed. */
interface Turn {
  rps: number;
  p50: number;
  p99: number;
  /** Microseconds of processor time for each request. */
  cpu: number;
  errors: number;
  rssMB: number;
}

const quick = Deno.args.includes("--quick");
const only = Deno.args.find((arg) => arg.startsWith("--only="))?.slice(7);
const wanted = Deno.args.find((arg) => arg.startsWith("--rows="))?.slice(7);
const SECONDS = Number(
  Deno.args.find((arg) => arg.startsWith("--seconds="))?.slice(10) ??
    (quick ? 1 : 4),
);
const TURNS = Number(
  Deno.args.find((arg) => arg.startsWith("--turns="))?.slice(8) ??
    (quick ? 2 : 5),
);
const CONNECTIONS = 64;

const TICKS_PER_SECOND = 100;

async function freePort(): Promise<number> {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  await Promise.resolve();
  return port;
}

async function answers(port: number, path = "/small"): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    try {
      const response = await fetch(`http://127.0.0.1:${port}${path}`);
      await response.body?.cancel();
      if (response.ok) return;
    } catch {
      // Not there yet.
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`Cannot measure: nothing answers on port ${port}`);
}

function child(command: string, args: string[], port: number): Running {
  const process = new Deno.Command(command, {
    args,
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  return {
    port,
    pid: process.pid,
    async [Symbol.asyncDispose]() {
      try {
        process.kill("SIGKILL");
      } catch {
        // Ended by itself.
      }
      await process.status;
    },
  };
}

/** Two backends in one nginx, so that there is something to choose from. */
async function startBackends(
  folder: string,
): Promise<Running & { urls: string[] }> {
  const ports = [await freePort(), await freePort()];
  await Deno.writeFile(`${folder}/64k`, new Uint8Array(64 * 1024).fill(97));
  await Deno.writeFile(`${folder}/1m`, new Uint8Array(1024 * 1024).fill(97));
  await Deno.mkdir(`${folder}/tmp`, { recursive: true });
  const servers = ports.map((port) =>
    `server { listen 127.0.0.1:${port} backlog=4096; root ${folder};
      location /small { default_type text/plain; return 200 "Hello, world!"; }
      location /post { default_type text/plain; return 200 "Hello, world!"; }
      location /health { return 200 "ok"; } }`
  ).join("\n");
  const temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((name) => `${name}_temp_path ${folder}/tmp/${name};`).join(" ");
  await Deno.writeTextFile(
    `${folder}/nginx.conf`,
    `daemon off; worker_processes 1; pid ${folder}/nginx.pid;
     error_log ${folder}/error.log; user root;
     events { worker_connections 16384; }
     http { access_log off; keepalive_requests 100000000; sendfile on;
     tcp_nopush on; ${temp} ${servers} }`,
  );
  const nginx = inPath("nginx");
  if (nginx === undefined) {
    throw new Error("Cannot measure: install nginx, which plays the backends");
  }
  const running = child(nginx, [
    "-p",
    folder,
    "-c",
    `${folder}/nginx.conf`,
  ], ports[0]!);
  for (const port of ports) await answers(port);
  return {
    ...running,
    urls: ports.map((port) => `http://127.0.0.1:${port}`),
    async [Symbol.asyncDispose]() {
      // nginx ends its workers itself when it is asked to stop.
      Deno.kill(running.pid, "SIGTERM");
      await new Promise((resolve) => setTimeout(resolve, 200));
      await running[Symbol.asyncDispose]();
    },
  };
}

/** Processor time of a process and its children so far, in seconds. */
async function cpuSeconds(pid: number): Promise<number> {
  const stat = await Deno.readTextFile(`/proc/${pid}/stat`);
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND;
}

async function rssMB(pid: number): Promise<number> {
  const status = await Deno.readTextFile(`/proc/${pid}/status`);
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024;
}

function toMs(text: string): number {
  const [, value, unit] = /([\d.]+)(us|ms|s)/.exec(text) ?? [];
  return Number(value) * (unit === "us" ? 0.001 : unit === "s" ? 1000 : 1);
}

async function load(
  running: Running,
  row: Row,
  folder: string,
  seconds: number,
): Promise<Turn> {
  const args = [
    "-t1",
    `-c${CONNECTIONS}`,
    `-d${seconds}s`,
    "--latency",
  ];
  if (row.script !== undefined) {
    await Deno.writeTextFile(`${folder}/load.lua`, row.script);
    args.push("-s", `${folder}/load.lua`);
  }
  const before = await cpuSeconds(running.pid);
  const { stdout } = await new Deno.Command("wrk", {
    args: [...args, `http://127.0.0.1:${running.port}${row.path}`],
  }).output();
  const used = await cpuSeconds(running.pid) - before;
  const text = new TextDecoder().decode(stdout);
  const requests = Number(/(\d+) requests in/.exec(text)?.[1] ?? 0);
  const bad = Number(/Non-2xx or 3xx responses: (\d+)/.exec(text)?.[1] ?? 0);
  const socket = (/Socket errors: (.*)/.exec(text)?.[1] ?? "")
    .match(/\d+/g)?.map(Number).reduce((a, b) => a + b, 0) ?? 0;
  return {
    rps: Number(/Requests\/sec:\s+([\d.]+)/.exec(text)?.[1] ?? 0),
    p50: toMs(/50%\s+(\S+)/.exec(text)?.[1] ?? ""),
    p99: toMs(/99%\s+(\S+)/.exec(text)?.[1] ?? ""),
    cpu: requests === 0 ? NaN : used / requests * 1e6,
    errors: bad + socket,
    rssMB: await rssMB(running.pid),
  };
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1
    ? sorted[middle]!
    : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

function contenders(backends: string[]): Contender[] {
  const list: Contender[] = [];
  for (const runtime of ["deno", "bun"] as const) {
    const five = `five-liner, ${runtime}`;
    list.push({
      name: five,
      async start(port) {
        const file = `${ROOT}/bench/five_liner.ts`;
        const rest = [file, String(port), ...backends];
        const running = runtime === "deno"
          ? child(await denoPath(), ["run", "-A", ...rest], port)
          : child(await bunPath(), ["run", ...rest], port);
        await answers(port);
        return running;
      },
    }, {
      name: `Sluice, ${runtime}`,
      against: five,
      async start() {
        return await startProxy(runtime, {
          env: { BACKENDS: backends.join(",") },
        });
      },
    });
  }
  for (const peer of PEERS) {
    list.push({
      name: peer.name,
      ...(peer.against === undefined ? {} : { against: peer.against }),
      async start(port) {
        const { command, args } = await peer.command(port, backends);
        const running = child(command, args, port);
        await answers(port);
        return running;
      },
    });
  }
  return only === undefined
    ? list
    : list.filter(({ name }) => only.split(",").some((o) => name.includes(o)));
}

/** A figure; a dash where wrk said none. */
function shown(value: number, digits: number): string {
  return Number.isNaN(value) ? "–" : value.toFixed(digits);
}

const folder = await Deno.makeTempDir({ prefix: "sluice-bench-" });
await Deno.chmod(folder, 0o755);
const lines: string[] = [];
const print = (line = "") => {
  console.log(line);
  lines.push(line);
};

{
  await using stack = new AsyncDisposableStack();
  const backends = stack.use(await startBackends(folder));
  const running = new Map<Contender, Running>();
  for (const contender of contenders(backends.urls)) {
    try {
      running.set(
        contender,
        stack.use(await contender.start(await freePort())),
      );
    } catch (error) {
      console.error(`left out: ${contender.name} (${String(error)})`);
    }
  }
  const cpu = /model name\s*:\s*(.*)/.exec(
    await Deno.readTextFile("/proc/cpuinfo"),
  )?.[1];
  print(
    `Measured ${new Date().toISOString().slice(0, 10)}, ` +
      `${navigator.hardwareConcurrency} cores (${cpu}), ${process.platform}; ` +
      `Deno ${VERSIONS.deno}, Bun ${VERSIONS.bun}; ${CONNECTIONS} connections, ` +
      `${TURNS} turns of ${SECONDS} s each, load (wrk) and backends (nginx) on the same machine.`,
  );
  const rows = wanted === undefined
    ? ROWS
    : ROWS.filter(({ name }) =>
      wanted.split(",").some((w) => name.includes(w))
    );
  for (const row of rows) {
    const turns = new Map<Contender, Turn[]>();
    // One short turn that does not count: connections, compilers, caches.
    for (const one of running.values()) await load(one, row, folder, 1);
    for (let turn = 0; turn < TURNS; turn++) {
      for (const [contender, one] of running) {
        const result = await load(one, row, folder, SECONDS);
        turns.set(contender, [...(turns.get(contender) ?? []), result]);
      }
    }
    print();
    print(`### ${row.name}`);
    print();
    print(
      "| | requests/s | spread | of its five-liner | p50 ms | p99 ms | p99 ratio | CPU µs/request | MB | errors |",
    );
    print("|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    const of = (name: string) =>
      [...turns].find(([contender]) => contender.name === name)?.[1];
    for (const [{ name, against }, results] of turns) {
      const pick = (key: keyof Turn) =>
        median(results.map((result) => result[key]));
      const base = against === undefined ? undefined : of(against);
      const ratio = (key: keyof Turn) =>
        base === undefined
          ? ""
          : shown(pick(key) / median(base.map((b) => b[key])), 2);
      const rates = results.map(({ rps }) => rps);
      const spread = (Math.max(...rates) - Math.min(...rates)) / pick("rps");
      print(
        `| ${name} | ${pick("rps").toFixed(0)} | ${
          (spread * 100).toFixed(0)
        } % | ${ratio("rps")} | ${shown(pick("p50"), 2)} | ${
          shown(pick("p99"), 2)
        } | ${ratio("p99")} | ${shown(pick("cpu"), 1)} | ${
          pick("rssMB").toFixed(0)
        } | ${results.reduce((sum, { errors }) => sum + errors, 0)} |`,
      );
    }
  }
}
await Deno.remove(folder, { recursive: true });
if (!quick && only === undefined && wanted === undefined) {
  await Deno.writeTextFile(
    `${ROOT}/bench/RESULTS.md`,
    "# The last full run of `deno task bench`\n\n" + lines.join("\n") + "\n",
  );
}

// Shared by all measurements: backends (nginx), programs that run in turn, a
// load (wrk), and the kernel's accounting of each process.

import process from "node:process";
import { startProxy } from "../e2e/harness/proxy.ts";
import { bunPath, denoPath, inPath, ROOT, VERSIONS } from "../testing/tools.ts";

/** The two runtimes. */
export const RUNTIMES = ["deno", "bun"] as const;
/** One of the runtimes. */
export type Runtime = typeof RUNTIMES[number];

/** A program that serves requests. */
export interface Contender {
  name: string;
  /** The name of its baseline, which precedes it in the list. */
  against?: string;
  start(): Promise<Running>;
}

/** It does. */
export interface Running extends AsyncDisposable {
  port: number;
  pid: number;
}

/** Stops a program; resolves when it has exited. */
export interface Child extends Running {
  end(): Promise<void>;
}

/** What to request. */
export interface Asked {
  path: string;
  /** wrk's script, for everything except a plain GET. */
  script?: string;
  /** @default {64} */
  connections?: number;
}

/** An upload of so many bytes. */
function upload(bytes: number): Asked {
  return {
    path: "/post",
    script: `wrk.method="POST"\nwrk.body=string.rep("x",${bytes})\n`,
  };
}

/** What the promised figures are of. */
export const ROWS: readonly (Asked & { name: string })[] = [
  { name: "GET 13 B", path: "/small" },
  { name: "POST 1 KB", ...upload(1024) },
  { name: "GET 64 KB", path: "/64k" },
  { name: "GET 1 MB", path: "/1m" },
  { name: "POST 64 KB", ...upload(64 * 1024) },
  { name: "POST 1 MB", ...upload(1024 ** 2) },
];

/** The result of one turn. */
export interface Turn {
  rps: number;
  /** Milliseconds. */
  p50: number;
  p99: number;
  /** Microseconds of processor time for each request. */
  cpu: number;
  /** Processors used by the load itself. */
  load: number;
  errors: number;
  rssMB: number;
  requests: number;
}

/** The value of `--name=value`. */
export function option(name: string): string | undefined {
  const start = `--${name}=`;
  return Deno.args.find((arg) => arg.startsWith(start))?.slice(start.length);
}

/** Whether `--name` is there. */
export function flag(name: string): boolean {
  return Deno.args.includes(`--${name}`);
}

/** A free port. */
export function freePort(): number {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  return port;
}

function wait(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Waits until a request succeeds. */
export async function answers(port: number, path = "/small"): Promise<void> {
  for (let tries = 0; tries < 200; tries++) {
    try {
      const response = await fetch(`http://127.0.0.1:${port}${path}`);
      await response.body?.cancel();
      if (response.ok) return;
    } catch {
      // Not listening yet.
    }
    await wait(50);
  }
  throw new Error(`Cannot measure: nothing answers on port ${port}`);
}

/** Programs that run now. */
const alive = new Set<number>();

// Otherwise they would outlive an interrupted measurement, some of them
// stopped, and keep their ports. A signal listener does not keep the program
// running.
for (const name of ["SIGINT", "SIGTERM"] as const) {
  Deno.addSignalListener(name, () => {
    for (const pid of alive) {
      try {
        Deno.kill(pid, "SIGKILL");
      } catch {
        // It has exited.
      }
    }
    Deno.exit(1);
  });
}

/** Starts a program. */
export function child(
  command: string,
  args: readonly string[],
  port: number,
  env: Record<string, string> = {},
): Child {
  const started = new Deno.Command(command, {
    args: [...args],
    env,
    stdin: "null",
    stdout: "null",
    stderr: "null",
  }).spawn();
  alive.add(started.pid);
  started.status.then(() => alive.delete(started.pid));
  return {
    port,
    pid: started.pid,
    async end() {
      started.kill("SIGTERM");
      await started.status;
    },
    async [Symbol.asyncDispose]() {
      try {
        started.kill("SIGKILL");
      } catch {
        // It has exited.
      }
      await started.status;
    },
  };
}

/** What backends serve, in addition to `/small`, `/post` and `/health`. */
const FILES: readonly (readonly [name: string, bytes: number])[] = [
  ["0", 0],
  ["1k", 1024],
  ["64k", 64 * 1024],
  ["1m", 1024 ** 2],
  ["16m", 16 * 1024 ** 2],
  ["256m", 256 * 1024 ** 2],
  ["1g", 1024 ** 3],
];

/**
 * nginx as `count` backends, each on its own port. Without `tcp_nopush`: with it,
 * one of a hundred responses of 64 KB takes 30 to 40 ms, also if wrk asks nginx
 * directly.
 */
export async function startBackends(
  count = 2,
): Promise<AsyncDisposable & { urls: string[]; pid: number }> {
  const nginx = inPath("nginx");
  if (nginx === undefined) {
    throw new Error("Cannot measure: install nginx, which plays the backends");
  }
  const folder = await Deno.makeTempDir({ prefix: "sluice-bench-" });
  await Deno.chmod(folder, 0o755);
  for (const [name, bytes] of FILES) {
    const file = await Deno.create(`${folder}/${name}`);
    // A hole in a file is read as zeros and uses no space.
    await file.truncate(bytes);
    file.close();
  }
  await Deno.mkdir(`${folder}/tmp`);
  const ports = new Set<number>();
  while (ports.size < count) ports.add(freePort());
  const temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
    .map((name) => `${name}_temp_path ${folder}/tmp/${name};`).join(" ");
  const listens = [...ports]
    .map((port) => `listen 127.0.0.1:${port} backlog=4096;`).join(" ");
  await Deno.writeTextFile(
    `${folder}/nginx.conf`,
    `daemon off; master_process off; worker_processes 1;
     pid ${folder}/nginx.pid; error_log ${folder}/error.log; user root;
     worker_rlimit_nofile 20000;
     events { worker_connections 18000; }
     http { access_log off; keepalive_requests 100000000;
     keepalive_timeout 1h; sendfile on; ${temp}
     large_client_header_buffers 8 32k;
     server { ${listens} root ${folder};
      location /small { default_type text/plain; return 200 "Hello, world!"; }
      location /post { default_type text/plain; return 200 "Hello, world!"; }
      location /health { return 200 "ok"; } } }`,
  );
  const args = ["-p", folder, "-c", `${folder}/nginx.conf`];
  const running = child(nginx, args, [...ports][0]!);
  await answers(running.port);
  return {
    urls: [...ports].map((port) => `http://127.0.0.1:${port}`),
    pid: running.pid,
    async [Symbol.asyncDispose]() {
      await running[Symbol.asyncDispose]();
      await Deno.remove(folder, { recursive: true });
    },
  };
}

/** The five-liner of a runtime; reading its uploads, if `reads` is set. */
export function fiveLiner(
  runtime: Runtime,
  backends: readonly string[],
  { reads = false } = {},
): Contender {
  return {
    name: `five-liner${reads ? " that reads" : ""}, ${runtime}`,
    ...(reads ? { against: `five-liner, ${runtime}` } : {}),
    async start() {
      const port = freePort();
      const rest = [`${ROOT}/bench/five_liner.ts`, String(port), ...backends];
      const env: Record<string, string> = reads ? { READ_UPLOADS: "1" } : {};
      const running = runtime === "deno"
        ? child(await denoPath(), ["run", "-A", ...rest], port, env)
        : child(await bunPath(), ["run", ...rest], port, env);
      await answers(port);
      return running;
    },
  };
}

/** A `serve` that answers a constant: the limit of any proxy on a runtime. */
export function constant(runtime: Runtime): Contender {
  return {
    name: `constant, ${runtime}`,
    against: `five-liner, ${runtime}`,
    async start() {
      const port = freePort();
      const rest = [`${ROOT}/bench/constant.ts`, String(port)];
      const running = runtime === "deno"
        ? child(await denoPath(), ["run", "-A", ...rest], port)
        : child(await bunPath(), ["run", ...rest], port);
      await answers(port);
      return running;
    },
  };
}

/** Sluice on a runtime, with its default settings and these. */
export function sluice(
  runtime: Runtime,
  backends: readonly string[],
  env: Record<string, string> = {},
  name = `Sluice, ${runtime}`,
  entry = "mod.ts",
): Contender {
  return {
    name,
    against: `five-liner, ${runtime}`,
    async start() {
      const proxy = await startProxy(runtime, {
        entry,
        env: { BACKENDS: backends.join(), ...env },
        permissions: [`--allow-read=${ROOT}`],
      });
      alive.add(proxy.pid);
      proxy.exit.then(() => alive.delete(proxy.pid));
      return proxy;
    },
  };
}

/** The numbers behind the name in `/proc/PID/stat`. */
function statOf(pid: number): number[] {
  const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
  // The program's name may hold spaces, so count from behind it.
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ").map(Number);
}

/** Adds up a figure of a process and of those that it has started. */
function sumOf(pid: number, figure: (pid: number) => number): number {
  let sum = figure(pid);
  for (const { name } of Deno.readDirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      if (statOf(Number(name))[1] === pid) sum += figure(Number(name));
    } catch {
      // It has ended meanwhile.
    }
  }
  return sum;
}

/** Processor time of a process and its children so far, in seconds. */
export function cpuSeconds(pid: number): number {
  return sumOf(pid, (pid) => {
    const fields = statOf(pid);
    // Clock ticks: 100 a second on every Linux that Deno and Bun run on.
    return (fields[11]! + fields[12]!) / 100;
  });
}

/** Memory of a process and its children in megabytes. */
export function rssMB(pid: number): number {
  return sumOf(pid, (pid) => {
    const status = Deno.readTextFileSync(`/proc/${pid}/status`);
    return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024;
  });
}

function toMs(text: string): number {
  const [, value, unit] = /([\d.]+)(us|ms|s)/.exec(text) ?? [];
  return Number(value) * (unit === "us" ? 0.001 : unit === "s" ? 1000 : 1);
}

/** One turn of wrk, which counts whole seconds. */
export async function load(
  running: Running,
  { path, script, connections = 64 }: Asked,
  seconds: number,
): Promise<Turn> {
  const wrk = inPath("wrk");
  if (wrk === undefined) throw new Error("Cannot measure: install wrk");
  const args = ["-t1", `-c${connections}`, `-d${seconds}s`, "--latency"];
  let file: string | undefined;
  if (script !== undefined) {
    file = await Deno.makeTempFile({ suffix: ".lua" });
    await Deno.writeTextFile(file, script);
    args.push("-s", file);
  }
  const before = cpuSeconds(running.pid);
  const began = performance.now();
  const started = new Deno.Command(wrk, {
    args: [...args, `http://127.0.0.1:${running.port}${path}`],
    stdin: "null",
    stdout: "piped",
    stderr: "null",
  }).spawn();
  // Read just before its end: afterwards the figure is not available.
  await wait(seconds * 1000 - 100);
  let own = NaN;
  try {
    own = cpuSeconds(started.pid) / ((performance.now() - began) / 1000);
  } catch {
    // On a busy machine it may have ended already.
  }
  const { stdout } = await started.output();
  const used = cpuSeconds(running.pid) - before;
  if (file !== undefined) await Deno.remove(file);
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
    load: own,
    errors: bad + socket,
    rssMB: rssMB(running.pid),
    requests,
  };
}

/** The middle of some values. */
export function median(values: readonly number[]): number {
  const sorted = values.filter((value) => !Number.isNaN(value))
    .sort((a, b) => a - b);
  if (sorted.length === 0) return NaN;
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1
    ? sorted[middle]!
    : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** How one did beside another. */
export interface Ratio {
  /** The median of the ratios of adjacent turns. */
  middle: number;
  /** The quartiles of the ratios. */
  low: number;
  high: number;
}

/**
 * The ratio of one to another, turn by turn. A machine that is slow for a while
 * is slow for both, so this varies far less than the ratio of two medians.
 */
export function ratio(
  turns: readonly Turn[],
  base: readonly Turn[] | undefined,
  key: keyof Turn,
): Ratio {
  const sorted = (base ?? [])
    .map((other, i) => turns[i]![key] / other[key])
    .filter(Number.isFinite)
    .sort((a, b) => a - b);
  const at = (share: number) =>
    sorted[Math.round(share * (sorted.length - 1))] ?? NaN;
  return { middle: median(sorted), low: at(0.25), high: at(0.75) };
}

/** Milliseconds that a program has before and after its turn. */
const SETTLE_MS = flag("quick") ? 50 : 150;

/** Milliseconds without a request before each round of turns. */
const PAUSE_MS = Number(option("pause") ?? 0) * 1000;

/**
 * Runs all in turn, A B C and then C B A, so that none always runs after the
 * same one; returns the results by name.
 *
 * With `--stop` all others are stopped (SIGSTOP) during a turn. Sixteen idle
 * ones still clean up and probe: together they used 5 % of a processor. But a
 * program that was stopped for long has to catch up: its probes are overdue,
 * and its kept connections were closed. Sluice on Deno, which keeps none for
 * more than 4 s, reached 0.75 of its five-liner that way and 0.94 without
 * stopping. A server is not stopped either, so that is the default.
 */
export async function interleaved(
  running: ReadonlyMap<Contender, Running>,
  asked: Asked,
  { turns, seconds, warmUp, lead = 0, stopped = flag("stop") }: {
    turns: number;
    seconds: number;
    /** Seconds of load before each turn that do not count. */
    lead?: number;
    /**
     * Seconds of load on each before the first turn: compilers, connections.
     */
    warmUp: number;
    /** `false` if something else runs during all turns. */
    stopped?: boolean;
  },
): Promise<Map<string, Turn[]>> {
  const signal = (one: Running, name: "SIGSTOP" | "SIGCONT") => {
    if (stopped) Deno.kill(one.pid, name);
  };
  const turnOf = async (one: Running, seconds: number, lead = 0) => {
    signal(one, "SIGCONT");
    await wait(SETTLE_MS);
    if (lead > 0) await load(one, asked, lead);
    const turn = await load(one, asked, seconds);
    await wait(SETTLE_MS);
    signal(one, "SIGSTOP");
    return turn;
  };
  const seen = new Map<string, Turn[]>();
  try {
    for (const one of running.values()) signal(one, "SIGSTOP");
    for (const one of running.values()) await turnOf(one, warmUp);
    for (let turn = 0; turn < turns; turn++) {
      await wait(PAUSE_MS);
      const order = turn % 2 === 0 ? [...running] : [...running].reverse();
      for (const [{ name }, one] of order) {
        const list = seen.get(name) ?? [];
        list.push(await turnOf(one, seconds, lead));
        seen.set(name, list);
      }
    }
  } finally {
    for (const one of running.values()) signal(one, "SIGCONT");
  }
  return seen;
}

/** Starts all of them; prints the reason for each that cannot start. */
export async function startAll(
  contenders: readonly Contender[],
  stack: AsyncDisposableStack,
  leftOut: (line: string) => void = console.error,
): Promise<Map<Contender, Running>> {
  const running = new Map<Contender, Running>();
  for (const contender of contenders) {
    try {
      running.set(contender, stack.use(await contender.start()));
    } catch (error) {
      const [reason] = String(error).split("\n");
      leftOut(`Left out: ${contender.name} (${reason}).`);
    }
  }
  return running;
}

/** A ratio with its quartiles. */
export function shownRatio({ middle, low, high }: Ratio): string {
  return Number.isFinite(middle)
    ? `${shown(middle)} (${shown(low)}–${shown(high)})`
    : "–";
}

/** A figure; a dash if there is none. */
export function shown(value: number, digits = 2): string {
  return Number.isFinite(value) ? value.toFixed(digits) : "–";
}

/** Date, machine and versions. */
export function where(): string {
  const cpu = /model name\s*:\s*(.*)/.exec(
    Deno.readTextFileSync("/proc/cpuinfo"),
  )?.[1];
  return `Measured ${new Date().toISOString().slice(0, 10)}, ` +
    `${navigator.hardwareConcurrency} cores (${cpu}), ${process.platform}; ` +
    `Deno ${VERSIONS.deno}, Bun ${VERSIONS.bun}; load (wrk, one thread) and ` +
    "backends (nginx) on the same machine";
}

/** Lines that are printed and can be saved. */
export class Page {
  readonly #lines: string[] = [];

  /** A line; an empty one without a text. */
  print(line = ""): void {
    console.log(line);
    this.#lines.push(line);
  }

  /** A table. */
  table(head: readonly string[], rows: readonly (readonly string[])[]): void {
    this.print();
    this.print(`| ${head.join(" | ")} |`);
    this.print(`| --- |${" --: |".repeat(head.length - 1)}`);
    for (const row of rows) this.print(`| ${row.join(" | ")} |`);
    this.print();
  }

  /** Writes all of it into a file of this folder, as `deno fmt` has it. */
  async keep(name: string, title: string): Promise<void> {
    const path = `${ROOT}/bench/${name}`;
    const text = [`# ${title}`, "", ...this.#lines].join("\n");
    await Deno.writeTextFile(path, `${text}\n`);
    await new Deno.Command(await denoPath(), {
      args: ["fmt", "-q", path],
    }).output();
  }
}

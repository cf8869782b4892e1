// What does watching cost? Requests a second with the access log, the metrics, a
// scrape every second and tracing, against the same program without them.
//
//   deno run -A bench/observe.ts [--seconds=3] [--turns=5]
//
// Contenders take turns in one run, since a machine has its moods; what counts
// is the ratio of medians. nginx plays the backend, wrk the clients, and the log
// goes to /dev/null, so that only its making and writing is measured.

import { bunPath, denoPath, inPath, ROOT } from "../testing/tools.ts";

/** One way to run the program. */
interface Contender {
  name: string;
  runtime: "deno" | "bun";
  env: Record<string, string>;
  scraped?: boolean;
}

const option = (name: string, otherwise: number) =>
  Number(
    Deno.args.find((arg) => arg.startsWith(`--${name}=`))?.split("=")[1] ??
      otherwise,
  );
const SECONDS = option("seconds", 3);
const TURNS = option("turns", 5);
const CONNECTIONS = 64;

const WAYS: Omit<Contender, "runtime">[] = [
  { name: "nothing", env: {} },
  { name: "ACCESS_LOG=json", env: { ACCESS_LOG: "json" } },
  { name: "ACCESS_LOG=combined", env: { ACCESS_LOG: "combined" } },
  { name: "ADMIN_PORT, nobody asks", env: { ADMIN_PORT: "0" } },
  {
    name: "ADMIN_PORT, scraped every second",
    env: { ADMIN_PORT: "0" },
    scraped: true,
  },
  { name: "TRACE=on", env: { TRACE: "on" } },
];

/** A program that runs. */
interface Running {
  pid: number;
  port: number;
  admin: string | undefined;
  stop(): Promise<void>;
}

/** What one turn showed. */
interface Turn {
  /** Requests a second. */
  rate: number;
  /** Microseconds of processor time for each, which a busy machine shifts less. */
  cpu: number;
}

/** Starts the program and waits until it says where it listens. */
async function start(
  { runtime, env }: Contender,
  backend: string,
): Promise<Running> {
  const child = new Deno.Command(
    runtime === "bun" ? await bunPath() : await denoPath(),
    {
      args: runtime === "bun"
        ? ["run", "mod.ts"]
        : ["run", "--no-prompt", "--allow-net", "--allow-env", "mod.ts"],
      cwd: ROOT,
      clearEnv: true,
      env: {
        PATH: Deno.env.get("PATH") ?? "",
        HOME: Deno.env.get("HOME") ?? "/",
        BACKENDS: backend,
        PORT: "0",
        HOST: "127.0.0.1",
        ...env,
      },
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    },
  ).spawn();
  let said = "";
  const reader = child.stderr.pipeThrough(new TextDecoderStream()).getReader();
  const enough = env.ADMIN_PORT === undefined
    ? /listening on \S+:(\d+)/
    : /listening on \S+:(\d+)[^]*dashboard at (http:\S+)\//;
  let match: RegExpExecArray | null = null;
  while ((match = enough.exec(said)) === null) {
    const { done, value } = await reader.read();
    if (done) throw new Error(`Cannot measure: it ended, saying ${said}`);
    said += value;
  }
  return {
    pid: child.pid,
    port: Number(match[1]),
    admin: match[2],
    async stop() {
      child.kill("SIGKILL");
      await child.status;
      await reader.cancel();
    },
  };
}

/** Processor time of a process so far, in seconds. */
async function cpuSeconds(pid: number): Promise<number> {
  const stat = await Deno.readTextFile(`/proc/${pid}/stat`);
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

async function load({ pid, port }: Running, seconds: number): Promise<Turn> {
  const before = await cpuSeconds(pid);
  const { stdout } = await new Deno.Command("wrk", {
    args: [
      "-t1",
      `-c${CONNECTIONS}`,
      `-d${seconds}s`,
      `http://127.0.0.1:${port}/some/path?with=a&query`,
    ],
  }).output();
  const text = new TextDecoder().decode(stdout);
  if (/Non-2xx|Socket errors/.test(text)) throw new Error(text);
  const used = await cpuSeconds(pid) - before;
  const requests = Number(/(\d+) requests in/.exec(text)?.[1]);
  return {
    rate: Number(/Requests\/sec:\s+([\d.]+)/.exec(text)?.[1]),
    cpu: used / requests * 1e6,
  };
}

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[values.length >> 1]!;
}

const folder = await Deno.makeTempDir({ prefix: "sluice-bench-" });
const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
const { port } = listener.addr;
listener.close();
const temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
  .map((name) => `${name}_temp_path ${folder}/${name};`).join(" ");
await Deno.writeTextFile(
  `${folder}/nginx.conf`,
  `daemon off; worker_processes 1; pid ${folder}/nginx.pid;
   error_log ${folder}/error.log; events { worker_connections 4096; }
   http { access_log off; keepalive_requests 100000000; ${temp}
   server { listen 127.0.0.1:${port} backlog=4096;
     location / { default_type text/plain; return 200 "Hello, world!"; } } }`,
);
const nginx = new Deno.Command(inPath("nginx")!, {
  args: ["-p", folder, "-c", `${folder}/nginx.conf`],
  stdout: "null",
  stderr: "null",
}).spawn();

try {
  for (const runtime of ["deno", "bun"] as const) {
    const contenders = WAYS.map((way) => ({ ...way, runtime }));
    const running = [];
    for (const contender of contenders) {
      running.push(await start(contender, `http://127.0.0.1:${port}`));
    }
    // Warm: compilers, connections, and backends proven to be good.
    for (const one of running) await load(one, 1);
    const turns = contenders.map((): Turn[] => []);
    for (let turn = 0; turn < TURNS; turn++) {
      for (const [i, one] of running.entries()) {
        const scraped = contenders[i]!.scraped === true;
        const timer = scraped
          ? setInterval(async () => {
            const response = await fetch(`${one.admin}/metrics`);
            await response.body?.cancel();
          }, 1000)
          : undefined;
        turns[i]!.push(await load(one, SECONDS));
        clearInterval(timer);
      }
    }
    const medians = turns.map((all) => ({
      rate: median(all.map(({ rate }) => rate)),
      cpu: median(all.map(({ cpu }) => cpu)),
    }));
    const base = medians[0]!;
    console.log(`\n${runtime}: ${TURNS} turns of ${SECONDS} s\n`);
    console.log("| | requests/s | ratio | CPU µs/request | ratio |");
    console.log("|---|--:|--:|--:|--:|");
    for (const [i, { rate, cpu }] of medians.entries()) {
      console.log(
        `| ${contenders[i]!.name} | ${rate.toFixed(0)} | ` +
          `${(rate / base.rate).toFixed(2)} | ${cpu.toFixed(0)} | ` +
          `${(cpu / base.cpu).toFixed(2)} |`,
      );
    }
    for (const one of running) await one.stop();
  }
} finally {
  nginx.kill("SIGTERM");
  await nginx.status;
  await Deno.remove(folder, { recursive: true });
}

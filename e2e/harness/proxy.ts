/**
 * The real program in its own process, started as the README says.
 *
 * ```ts ignore
 * await using proxy = await startProxy("bun", { env: { BACKENDS: backend.url } });
 * const answer = await rawRequest(proxy.port, requestText("GET", "/"));
 * ```
 *
 * @module
 */

import { bunPath, denoPath, ROOT } from "../../testing/tools.ts";
import { ended, opened } from "./cleanup.ts";
import { until, within } from "./wait.ts";

/** The two runtimes that the program promises to run on. */
export type Runtime = "deno" | "bun";

/** Both, in the order of the test names. */
export const RUNTIMES: readonly Runtime[] = ["deno", "bun"];

/** How requests are sent. `auto` is on Bun only: on Deno it is `socket`. */
export type SentBy = "auto" | "fetch" | "socket";

/** What a run of the tests is told: one of these, or `other`. */
const TOLD = Deno.env.get("TRANSPORT");

/** What the program is told, if the run is told: `other` than by default. */
export function transport(runtime: Runtime): string | undefined {
  if (TOLD !== "other") return TOLD;
  return runtime === "deno" ? "fetch" : "socket";
}

/** How requests are sent in this run. */
export function sentBy(runtime: Runtime): SentBy {
  const by = (transport(runtime) ?? "auto") as SentBy;
  return by === "auto" && runtime === "deno" ? "socket" : by;
}

/**
 * What is started: `mod.ts`, or another file, such as the bundle of
 * `deno task bundle`: `SLUICE_ENTRY=dist/sluice.js deno task test e2e`. A path
 * from the checkout's root.
 */
export const PROGRAM: string = Deno.env.get("SLUICE_ENTRY") ?? "mod.ts";

/** Options for {@linkcode startProxy} and {@linkcode runProgram}. */
export interface ProxyOptions {
  /**
   * Environment variables, in addition to PATH, HOME, `PORT=0` and
   * `HOST=127.0.0.1`; nothing else of the test's own environment reaches the
   * program. `undefined` removes one of those four.
   */
  env?: Record<string, string | undefined>;
  /** Flags after the program. */
  args?: readonly string[];
  /** More Deno permissions, such as `--allow-read=/tmp/x`; Bun has none. */
  permissions?: readonly string[];
  /** All flags between `deno run` and the program, instead of the usual ones. */
  denoFlags?: readonly string[];
  /** Flags between `bun run` and the program. */
  bunFlags?: readonly string[];
  /** Another program than {@linkcode PROGRAM}; a path from the checkout's root, or a URL. */
  entry?: string;
  /** An executable that needs no runtime, in place of runtime and program. */
  executable?: string;
  /** Working directory. @default {the checkout's root} */
  cwd?: string;
  /**
   * A command that gets the program's command as its last arguments, and runs
   * it: `["sh", "-c", 'ulimit -n 256; exec "$@"', "sh"]`.
   */
  through?: readonly string[];
  /** Time limit of the start. @default {20_000} */
  startMs?: number;
}

/** How a process ended. */
export interface Exit {
  code: number;
  signal: Deno.Signal | null;
}

/** A program that has run to its end. */
export interface Finished extends Exit {
  stdout: string;
  stderr: string;
}

const LISTENING = /listening on (https?):\/\/([^\s]+?):(\d+)/;

async function command(
  runtime: Runtime,
  options: ProxyOptions,
): Promise<Deno.Command> {
  const { env = {}, args = [], permissions = [], cwd = ROOT } = options;
  const { denoFlags, entry = PROGRAM, through = [] } = options;
  const flags = runtime === "bun"
    ? ["run", ...options.bunFlags ?? []]
    : ["run", ...denoFlags ?? ["--no-prompt", "--allow-net", "--allow-env"]];
  if (runtime === "deno") flags.push(...permissions);
  // From another working directory the program is still the checkout's.
  const program = cwd === ROOT || /^(\/|[a-z]+:)/.test(entry)
    ? entry
    : `${ROOT}/${entry}`;
  const clean: Record<string, string> = {};
  const given = {
    PATH: Deno.env.get("PATH"),
    HOME: Deno.env.get("HOME"),
    PORT: "0",
    HOST: "127.0.0.1",
    // A run with it set has every test over that transport.
    TRANSPORT: transport(runtime),
    ...env,
  };
  for (const [name, value] of Object.entries(given)) {
    if (value !== undefined) clean[name] = value;
  }
  const path = runtime === "bun" ? await bunPath() : await denoPath();
  const started = options.executable === undefined
    ? [path, ...flags, program]
    : [options.executable];
  const [first, ...rest] = [...through, ...started, ...args];
  return new Deno.Command(
    first!,
    {
      args: rest,
      cwd,
      clearEnv: true,
      env: clean,
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    },
  );
}

/** Splits a stream into lines as they come. */
async function collect(
  stream: ReadableStream<Uint8Array>,
  lines: string[],
  cut: Promise<unknown>,
): Promise<void> {
  const reader = stream.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  cut.then(() => reader.cancel()).catch(() => {});
  while (true) {
    const { done, value } = await reader.read();
    const parts = (rest + decoder.decode(value, { stream: !done })).split("\n");
    rest = parts.pop()!;
    lines.push(...parts);
    if (done) break;
  }
  if (rest !== "") lines.push(rest);
}

/** A running proxy. */
export class ProxyProcess implements AsyncDisposable {
  readonly label: string;
  readonly pid: number;
  /** Lines on standard output, each once it is complete. */
  readonly stdout: string[] = [];
  /** Lines on standard error, each once it is complete. */
  readonly stderr: string[] = [];
  /** Resolves when the process has ended and all its output was read. */
  readonly exit: Promise<Exit>;
  /** Set once `exit` has resolved. */
  exited: Exit | undefined;
  /** The port it listens on. */
  port = 0;
  /** Where it listens, without a slash at the end. */
  url = "";

  readonly #child: Deno.ChildProcess;
  readonly #unread = Promise.withResolvers<void>();

  constructor(readonly runtime: Runtime, child: Deno.ChildProcess) {
    this.#child = child;
    this.pid = child.pid;
    this.label = `proxy [${runtime}] ${child.pid}`;
    const status = child.status;
    // A process that the program started may hold the pipes open after it.
    let timer: ReturnType<typeof setTimeout> | undefined;
    const cut = Promise.race([
      this.#unread.promise,
      status.then(() =>
        new Promise<void>((resolve) => timer = setTimeout(resolve, 1_000))
      ),
    ]);
    const output = Promise.all([
      collect(child.stdout, this.stdout, cut),
      collect(child.stderr, this.stderr, cut),
    ]);
    this.exit = (async () => {
      const { code, signal } = await status;
      await output;
      clearTimeout(timer);
      ended(this);
      return this.exited = { code, signal };
    })();
    opened(this);
  }

  /** Standard error as one text, for messages. */
  get log(): string {
    return this.stderr.join("\n");
  }

  /**
   * Waits for a line on standard error or output, including earlier ones.
   *
   * @throws {Error} If none comes in `ms`, or the process exits without it.
   */
  async waitForLine(pattern: RegExp, ms = 5_000): Promise<RegExpExecArray> {
    const seen = new RegExp(pattern.source, pattern.flags.replace(/[gy]/g, ""));
    const find = () => {
      for (const lines of [this.stderr, this.stdout]) {
        for (const line of lines) {
          const match = seen.exec(line);
          if (match !== null) return match;
        }
      }
      return undefined;
    };
    return await until(() => {
      const match = find();
      if (match === undefined && this.exited !== undefined) {
        throw new Error(
          `No line matches ${pattern}: ${this.label} ended with code ${this.exited.code}, standard error:\n${this.log}`,
        );
      }
      return match;
    }, {
      timeoutMs: ms,
      what: () =>
        `a line that matches ${pattern} from ${this.label}; standard error:\n${this.log}`,
    }) as RegExpExecArray;
  }

  /** Waits until `count` lines match on either stream, and gives them. */
  async waitForLines(
    pattern: RegExp,
    count: number,
    ms = 5_000,
  ): Promise<string[]> {
    const seen = new RegExp(pattern.source, pattern.flags.replace(/[gy]/g, ""));
    const find = () =>
      [...this.stderr, ...this.stdout].filter((line) => seen.test(line));
    await until(() => find().length >= count, {
      timeoutMs: ms,
      what: () =>
        `${count} lines that match ${pattern}, not ${find().length}; standard error:\n${this.log}`,
    });
    return find();
  }

  /** Closes this end of both output pipes: what it writes then is refused. */
  hangUp(): void {
    this.#unread.resolve();
  }

  /** Sends a signal to this process; nothing if it has ended. */
  signal(signal: Deno.Signal): void {
    try {
      this.#child.kill(signal);
    } catch (error) {
      // It has exited, which is not the sender's concern.
      if (
        !(error instanceof TypeError || error instanceof Deno.errors.NotFound)
      ) {
        throw error;
      }
    }
  }

  /** Waits for the exit; fails after `ms`, with its last output. */
  waitForExit(ms = 10_000): Promise<Exit> {
    return within(
      this.exit,
      ms,
      () => `the end of ${this.label}; standard error:\n${this.log}`,
    );
  }

  /**
   * Stops it: SIGTERM, and SIGKILL if it still runs after `graceMs`. May be
   * called twice. The default is short, since what is left at the end of a test
   * is open connections without a reader; tests of draining call `signal()`.
   */
  async stop(graceMs = 500): Promise<Exit> {
    if (this.exited !== undefined) return this.exited;
    this.signal("SIGTERM");
    try {
      return await within(this.exit, graceMs, "the end");
    } catch {
      this.signal("SIGKILL");
      return await this.exit;
    }
  }

  /** For `cleanup.ts`. */
  async abandon(): Promise<void> {
    this.signal("SIGKILL");
    await this.exit;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** Resident memory in bytes. Linux only. */
  rss(): number {
    const status = Deno.readTextFileSync(`/proc/${this.pid}/status`);
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? NaN) * 1024;
  }

  /** Open file descriptors. Linux only. */
  fds(): number {
    return [...Deno.readDirSync(`/proc/${this.pid}/fd`)].length;
  }

  /** CPU time used up to now, user and system, in milliseconds. Linux only. */
  cpuMs(): number {
    const stat = Deno.readTextFileSync(`/proc/${this.pid}/stat`);
    // The program's name may hold spaces, so count from behind it.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    // Clock ticks: 100 a second on every Linux that Deno and Bun run on.
    return (Number(fields[11]) + Number(fields[12])) * 10;
  }
}

/**
 * Starts the program and waits until its port takes connections, for one whose
 * output cannot be read. `PORT` must be in `env`.
 *
 * @throws {Error} If it ends or does not listen in time.
 */
export async function startUnheard(
  runtime: Runtime,
  options: ProxyOptions & { env: { PORT: string } },
): Promise<ProxyProcess> {
  const child = (await command(runtime, options)).spawn();
  const proxy = new ProxyProcess(runtime, child);
  const port = Number(options.env.PORT);
  try {
    await until(async () => {
      if (proxy.exited !== undefined) {
        throw new Error(`${proxy.label} ended with ${proxy.exited.code}`);
      }
      const conn = await Deno.connect({ hostname: "127.0.0.1", port })
        .catch(() => undefined);
      conn?.close();
      return conn !== undefined;
    }, { timeoutMs: options.startMs ?? 20_000, what: `port ${port} to open` });
    proxy.port = port;
    proxy.url = `http://127.0.0.1:${port}`;
    return proxy;
  } catch (error) {
    await proxy.abandon();
    throw error;
  }
}

/**
 * Starts the program and waits until it listens.
 *
 * @throws {Error} If it exits or does not listen in time; the message has its
 * standard error.
 */
export async function startProxy(
  runtime: Runtime,
  options: ProxyOptions = {},
): Promise<ProxyProcess> {
  const { startMs = 20_000 } = options;
  const child = (await command(runtime, options)).spawn();
  const proxy = new ProxyProcess(runtime, child);
  try {
    const match = await proxy.waitForLine(LISTENING, startMs);
    const [, scheme, host, port] = match;
    proxy.port = Number(port);
    proxy.url = `${scheme}://${host}:${port}`;
    return proxy;
  } catch (error) {
    await proxy.abandon();
    throw error;
  }
}

/**
 * Runs the program until it exits by itself: `--help`, `--check`, bad settings.
 *
 * @throws {Error} If it has not exited after `startMs`; it is killed then.
 */
export async function runProgram(
  runtime: Runtime,
  options: ProxyOptions = {},
): Promise<Finished> {
  const { startMs = 20_000 } = options;
  const child = (await command(runtime, options)).spawn();
  const program = new ProxyProcess(runtime, child);
  try {
    const exit = await program.waitForExit(startMs);
    return {
      ...exit,
      stdout: joined(program.stdout),
      stderr: joined(program.stderr),
    };
  } catch (error) {
    await program.abandon();
    throw error;
  }
}

function joined(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join("");
}

/**
 * The program's process: arguments, environment, files, signals, output and
 * exit. On Deno by its own API, since Node's modules cost 10 ms at start.
 *
 * @module
 */

import { builtin } from "../base/builtin.ts";
import { plain } from "../base/text.ts";

/** The program's arguments. */
export function args(): string[] {
  return deno === undefined
    ? builtin("node:process").argv.slice(2)
    : [...deno.args];
}

/** The part of Deno's global that is used, in place of Node's modules. */
interface DenoGlobal {
  permissions: {
    querySync(descriptor: { name: "env"; variable?: string }): {
      state: string;
    };
  };
  args: readonly string[];
  env: {
    get(name: string): string | undefined;
    toObject(): Record<string, string>;
  };
  exit(code: number): never;
  noColor: boolean;
  addSignalListener(name: string, listener: () => void): void;
  readTextFileSync(path: string): string;
  stdout: { writeSync(bytes: Uint8Array): number; isTerminal(): boolean };
  stderr: { writeSync(bytes: Uint8Array): number };
}

const { Deno: deno } = globalThis as unknown as { Deno?: DenoGlobal };

/** Whether this is Deno. */
export const onDeno: boolean = deno !== undefined;

/** Whether this is Bun. */
export const onBun: boolean = "Bun" in globalThis;

/** Whether a variable, or without one all variables, may be read. */
export function mayRead(variable?: string): boolean {
  if (deno === undefined) return true;
  const name = variable === undefined ? {} : { variable };
  return deno.permissions.querySync({ name: "env", ...name }).state ===
    "granted";
}

/** An environment variable; `undefined` without permission. */
export function env(name: string): string | undefined {
  // Check first: reading without permission would throw or prompt.
  if (deno === undefined) return builtin("node:process").env[name];
  return mayRead(name) ? deno.env.get(name) : undefined;
}

/** The names of all variables, if they may be listed. */
export function envNames(): string[] | undefined {
  if (deno === undefined) return Object.keys(builtin("node:process").env);
  return mayRead() ? Object.keys(deno.env.toObject()) : undefined;
}

/** Reads a file as text. */
export function readText(path: string): string {
  return deno === undefined
    ? builtin("node:fs").readFileSync(path, "utf8")
    : deno.readTextFileSync(path);
}

/**
 * Writes a line to standard output or error. Control characters become `?`: a
 * line may contain data of a client or a backend, which must not end it.
 */
export function writeLine(to: "out" | "err", line: string): void {
  writeText(to, `${plain(line)}\n`);
}

/** Writes a line to standard error. */
export function printError(line: string): void {
  writeLine("err", `sluice: ${line}`);
}

/** Writes text unchanged. */
export function writeText(to: "out" | "err", text: string): void {
  try {
    if (deno === undefined) {
      builtin("node:fs").writeSync(to === "out" ? 1 : 2, text);
    } else {
      const bytes = new TextEncoder().encode(text);
      const file = to === "out" ? deno.stdout : deno.stderr;
      for (let at = 0; at < bytes.length;) {
        at += file.writeSync(bytes.subarray(at));
      }
    }
  } catch {
    // Closed, or a full pipe without a reader: a proxy continues without a log.
  }
}

/**
 * Whether standard output may have colours: it is a terminal, and `NO_COLOR` is
 * not set (https://no-color.org).
 */
export function showsColours(): boolean {
  // Deno reports whether the variable is set without a permission for it.
  if (deno !== undefined) return deno.stdout.isTerminal() && !deno.noColor;
  const { stdout, env } = builtin("node:process");
  return stdout.isTTY === true && !env.NO_COLOR;
}

/** Calls `listener` on each signal of this name. */
export function onSignal(
  name: "SIGTERM" | "SIGINT" | "SIGHUP",
  listener: () => void,
): void {
  if (deno === undefined) builtin("node:process").on(name, listener);
  else deno.addSignalListener(name, listener);
}

/** Facts about this process. */
export function processFacts(): {
  runtime: string;
  runtimeVersion: string;
  memoryBytes: number;
  cpuSeconds: number;
  startedSeconds: number;
} {
  const runtime = onBun ? "bun" : "deno";
  const process = builtin("node:process");
  const versions: Record<string, string | undefined> = process.versions;
  const { user, system } = process.cpuUsage();
  return {
    runtime,
    runtimeVersion: versions[runtime] ?? "unknown",
    memoryBytes: residentBytes(),
    cpuSeconds: (user + system) / 1e6,
    startedSeconds: performance.timeOrigin / 1000,
  };
}

/** Resident memory; 0 without a free descriptor. */
function residentBytes(): number {
  try {
    return builtin("node:process").memoryUsage.rss();
  } catch {
    // Bun reads it from `/proc` and throws; Deno returns 0.
    return 0;
  }
}

/**
 * Keeps the process running until the result is called, for a time without a
 * listener: our timers do not keep it running.
 */
export function stayAlive(): () => void {
  // The longest possible timer, 24 days.
  const timer = setInterval(() => {}, 2 ** 31 - 1);
  return () => clearInterval(timer);
}

/** Ends the process. */
export function exit(code: number): never {
  return deno === undefined
    ? builtin("node:process").exit(code)
    : deno.exit(code);
}

/**
 * Keeps an unhandled rejection from ending the process: an error in one
 * response must not end a proxy.
 */
export function surviveRejections(log: (line: string) => void): void {
  const survive = (reason: unknown) =>
    log(`unhandled error: ${String(reason)}`);
  if (deno === undefined) {
    builtin("node:process").on("unhandledRejection", survive);
  } else {
    globalThis.addEventListener("unhandledrejection", (event) => {
      event.preventDefault();
      survive(event.reason);
    });
  }
}

/** The variable with the limit of concurrent requests of Bun's `fetch`. */
export const BUN_LIMIT = "BUN_CONFIG_MAX_HTTP_REQUESTS";
/** The limit if the variable is not set. */
export const BUN_DEFAULT = 256;

/**
 * Variables that Bun reads only when it starts: the maximum limit of concurrent
 * requests, and the milliseconds until its allocator returns freed memory. The
 * default is 10 ms, and memory that is needed again shortly after costs a page
 * fault in the kernel. Small GETs reached 0.86 of the five-liner's requests per
 * second with it, 0.92 with one second, and 0.97 when nothing was returned
 * (turns of 1 s, which favour the last).
 */
export const BUN_AT_START = {
  [BUN_LIMIT]: "65535",
  MIMALLOC_PURGE_DELAY: "10000",
};

/** Bytes of a request's head that Bun accepts: as many as Deno. */
export const HEAD_BYTES: number = 64 * 1024;

/** The same as a flag. Setting it later loads `node:http`, which takes 10 ms. */
export const BUN_HEAD_FLAG = `--max-http-header-size=${HEAD_BYTES}`;

/** What the restarted Bun gets behind its own flags. */
function programArgs(
  flags: readonly string[],
  argv: readonly string[],
): readonly string[] {
  // A compiled program contains the script, and takes no flags of Bun.
  if (argv[1]?.startsWith("/$bunfs/")) return argv.slice(2);
  return flags.some((flag) => flag.startsWith("--max-http-header-size"))
    ? argv.slice(1)
    : [BUN_HEAD_FLAG, ...argv.slice(1)];
}

/**
 * On Bun, restarts the program with a higher limit of concurrent requests, so
 * that one hung backend cannot block all others: the default is 256 per
 * process, probes included, and only the environment at start can change it.
 * The process keeps its id and its open files. Other variables that only work
 * at start are set too.
 */
export function liftBunLimit(log: (line: string) => void): void {
  if (!onBun) return;
  const process = builtin("node:process");
  if (process.env[BUN_LIMIT] !== undefined) return;
  const { execve } = process as {
    execve?: (
      file: string,
      args: readonly string[],
      env: Record<string, string | undefined>,
    ) => void;
  };
  const advice = `start it with ${BUN_LIMIT}=${
    BUN_AT_START[BUN_LIMIT]
  } so that a backend that hangs cannot take them all`;
  if (execve === undefined) {
    log(`Bun limits fetch to ${BUN_DEFAULT} concurrent requests: ${advice}`);
    return;
  }
  try {
    execve.call(process, process.execPath, [
      process.execPath,
      ...process.execArgv,
      ...programArgs(process.execArgv, process.argv),
    ], { ...BUN_AT_START, ...process.env });
  } catch (error) {
    log(
      `Bun limits fetch to ${BUN_DEFAULT} concurrent requests (${
        String(error)
      }): ${advice}`,
    );
  }
}

/**
 * Suppresses Deno's warning about `request.signal`. It concerns handlers that
 * use the signal after they have answered, which this one does not. Only the
 * program calls this, since it owns its console.
 */
export function suppressSignalWarning(): void {
  const { warn } = console;
  console.warn = (...data: unknown[]) => {
    const [first] = data;
    const isThis = typeof first === "string" &&
      first.startsWith("Deno.serve: request.signal aborts on successful");
    if (!isThis) warn(...data);
  };
}

/**
 * The process around the program: arguments, environment, files, signals, output
 * and exit, in the `node:` form that both runtimes have.
 *
 * @module
 */

import { readFileSync, writeSync } from "node:fs";
import process from "node:process";
import { plain } from "../base/text.ts";

/** The program's arguments. */
export function args(): string[] {
  return process.argv.slice(2);
}

/** The part of Deno's global that tells what may be read. */
interface DenoPermissions {
  permissions?: {
    querySync(descriptor: { name: "env"; variable?: string }): {
      state: string;
    };
  };
}

/** Whether this is Deno. */
export const onDeno: boolean = "Deno" in globalThis;

/** Whether a variable (or, without one, all of them) may be read. */
export function mayRead(variable?: string): boolean {
  const { Deno } = globalThis as { Deno?: DenoPermissions };
  if (Deno?.permissions === undefined) return true;
  const name = variable === undefined ? {} : { variable };
  return Deno.permissions.querySync({ name: "env", ...name }).state ===
    "granted";
}

/** An environment variable; without permission it is as if it were not set. */
export function env(name: string): string | undefined {
  // Asked first: reading without permission would throw, or ask a person.
  return mayRead(name) ? process.env[name] : undefined;
}

/** Names of all variables, if they may be listed. */
export function envNames(): string[] | undefined {
  return mayRead() ? Object.keys(process.env) : undefined;
}

/** A file as text. */
export function readText(path: string): string {
  return readFileSync(path, "utf8");
}

/**
 * Writes a line to standard output or error. Control characters become `?`: what
 * a client or a backend has sent may stand in a line, and must not end it.
 */
export function writeLine(to: "out" | "err", line: string): void {
  writeText(to, `${plain(line)}\n`);
}

/** Writes text as it is. */
export function writeText(to: "out" | "err", text: string): void {
  try {
    writeSync(to === "out" ? 1 : 2, text);
  } catch {
    // Closed, or a full pipe that nobody reads: a proxy goes on without a log.
  }
}

/**
 * Whether standard output may have colours: it is a terminal, and `NO_COLOR` is
 * not set (https://no-color.org).
 */
export function showsColours(): boolean {
  // Deno tells the variable without a permission for it.
  const { Deno } = globalThis as { Deno?: { noColor: boolean } };
  const unwanted = Deno?.noColor ?? Boolean(process.env.NO_COLOR);
  return process.stdout.isTTY === true && !unwanted;
}

/** Calls `listener` for each signal of that name. */
export function onSignal(
  name: "SIGTERM" | "SIGINT" | "SIGHUP",
  listener: () => void,
): void {
  process.on(name, listener);
}

/** What this process is and uses. */
export function processFacts(): {
  runtime: string;
  runtimeVersion: string;
  memoryBytes: number;
  cpuSeconds: number;
  startedSeconds: number;
} {
  const runtime = "Bun" in globalThis ? "bun" : "deno";
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

/** Resident memory; nothing is known of it without a free descriptor. */
function residentBytes(): number {
  try {
    return process.memoryUsage.rss();
  } catch {
    // Bun reads it in `/proc` and throws; Deno gives 0.
    return 0;
  }
}

/**
 * Keeps the process running until the result is called, though nothing else
 * does: no timer of ours, and not a listener while there is none.
 */
export function stayAlive(): () => void {
  // The longest that a timer can be set to, 24 days.
  const timer = setInterval(() => {}, 2 ** 31 - 1);
  return () => clearInterval(timer);
}

/** Ends the process. */
export function exit(code: number): never {
  process.exit(code);
}

/**
 * Keeps a rejection that nobody took from ending the process: both runtimes
 * would, and a proxy must outlive a fault in the answer to one request.
 */
export function surviveRejections(log: (line: string) => void): void {
  process.on("unhandledRejection", (reason) => {
    log(`unhandled error: ${String(reason)}`);
  });
}

/** The variable that says how many requests Bun's `fetch` makes at once. */
export const BUN_LIMIT = "BUN_CONFIG_MAX_HTTP_REQUESTS";
/** How many it makes while the variable is not set. */
export const BUN_DEFAULT = 256;

/**
 * What Bun has to find in its environment when it starts, as nothing else is
 * heeded: as many requests at once as `fetch` can be set to, and milliseconds
 * until its allocator gives freed memory back. By itself it does so after 10 ms, a
 * moment later that is wanted again, and each page is a fault in the kernel. Of
 * the five-liner's requests a second small GETs did 0.86 so, 0.92 with a second
 * and 0.97 when nothing was ever given back (turns of 1 s, which favour the last).
 */
export const BUN_AT_START = {
  [BUN_LIMIT]: "65535",
  MIMALLOC_PURGE_DELAY: "10000",
};

/**
 * On Bun, starts the program again with a limit of requests at once that does
 * not let one hung backend starve all others: the default is 256 in a process,
 * probes included, and only the environment at start can say otherwise. The
 * process stays the same one, by id and by its open files. What else only the
 * environment at start can say is said along with it.
 */
export function liftBunLimit(log: (line: string) => void): void {
  if (!("Bun" in globalThis)) return;
  const variable = BUN_LIMIT;
  if (process.env[variable] !== undefined) return;
  const { execve } = process as {
    execve?: (
      file: string,
      args: readonly string[],
      env: Record<string, string | undefined>,
    ) => void;
  };
  const advice = `start it with ${variable}=${
    BUN_AT_START[variable]
  } so that a backend that hangs cannot take them all`;
  if (execve === undefined) {
    log(`Bun limits fetch to 256 concurrent requests: ${advice}`);
    return;
  }
  try {
    execve.call(process, process.execPath, [
      process.execPath,
      ...process.execArgv,
      ...process.argv.slice(1),
    ], { ...BUN_AT_START, ...process.env });
  } catch (error) {
    log(
      `Bun limits fetch to 256 concurrent requests (${
        String(error)
      }): ${advice}`,
    );
  }
}

/**
 * Keeps Deno's remark about `request.signal` out of the log. It is about
 * handlers that act on the signal after they have answered; this one listens to
 * nobody by then, and only the program, which owns its console, may say so.
 */
export function suppressSignalWarning(): void {
  const { warn } = console;
  console.warn = (...data: unknown[]) => {
    const [first] = data;
    const remark = typeof first === "string" &&
      first.startsWith("Deno.serve: request.signal aborts on successful");
    if (!remark) warn(...data);
  };
}

/**
 * How each runtime has several listeners on one port, and memory that all of
 * them see.
 *
 * On Deno a worker is a thread. A process would need a permission that few
 * proxies are given (`--allow-run`). Threads share the port by what `deno serve
 * --parallel` stands on, see {@linkcode sharing}: the public `reusePort` is for
 * `--unstable-net` alone, and without that flag the attempt ends the process.
 *
 * On Bun a worker is a process. All threads of one share a single thread that
 * makes all requests to backends, so they would soon wait for that one; and a
 * process that dies takes nobody with it. `reusePort` is for everybody there.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { dirname } from "node:path";
import process from "node:process";
import { tlsInside } from "./inside_tls.ts";
import type { Line, Worker } from "./line.ts";
import { BUN_AT_START } from "./process.ts";

/** Says to a process of Bun's that it is a worker, and to a thread as its name. */
const MARK = "SLUICE_WORKER";

/** What is used of Deno's global. */
interface DenoGlobal {
  listenDatagram?: unknown;
  listen(options: { hostname: string; port: number }): {
    addr: { port: number };
    close(): void;
  };
  permissions: {
    querySync(descriptor: { name: "read"; path: string }): { state: string };
  };
}

const { Deno: deno, WorkerGlobalScope, name } = globalThis as unknown as {
  Deno?: DenoGlobal;
  WorkerGlobalScope?: new () => object;
  name?: string;
};

const onBun = "Bun" in globalThis;

/** Whether this is a worker itself. */
export function isWorker(): boolean {
  return onBun
    ? process.env[MARK] !== undefined && process.send !== undefined
    : WorkerGlobalScope !== undefined &&
      globalThis instanceof WorkerGlobalScope && name === MARK;
}

/**
 * The program as a worker starts it: the module that is the entry of all, or the
 * one file that it was bundled into.
 */
const ENTRY = import.meta.url.endsWith("/runtime/workers.ts")
  ? new URL("../mod.ts", import.meta.url)
  : new URL(import.meta.url);

/** Whether Deno was started so that it shares ports by its public option. */
export const denoShares: boolean = deno?.listenDatagram !== undefined;

/** How many workers are meant. */
export function workersOf(workers: number | "auto" | undefined): number {
  return workers === "auto" ? availableParallelism() : workers ?? 1;
}

/** Says why so many workers cannot be had; nothing if they can. */
export function workersFault(
  workers: number | "auto" | undefined,
  tls: boolean,
): string | undefined {
  if (workersOf(workers) === 1) return undefined;
  const quoted = `"${workers}" cannot be had`;
  if (isWorker()) return `${quoted} by a worker`;
  if (onBun) return undefined;
  if (tls && !denoShares && tlsInside() === undefined) {
    return `${quoted} with TLS_CERT: this Deno shares a port for TLS with ` +
      "--unstable-net only; add that flag, or write 1";
  }
  const path = programFolder();
  if (
    path !== undefined &&
    deno?.permissions.querySync({ name: "read", path }).state !== "granted"
  ) {
    return `${quoted}: each worker reads the program anew; add ` +
      "--allow-read with the folder that it lies in, or write 1";
  }
  return undefined;
}

/**
 * The folder that Deno must be allowed to read for workers, which load the
 * program for themselves; none where it was loaded from a URL.
 */
export function programFolder(): string | undefined {
  const { protocol, pathname } = new URL(".", ENTRY);
  return protocol === "file:" ? decodeURIComponent(pathname) : undefined;
}

/** Starts a worker. */
export function startWorker<In, Out>(): Worker<In, Out> {
  return onBun ? startProcess() : startThread();
}

/** The line to whoever has started this worker. */
export function lineToFirst<In, Out>(): Line<In, Out> {
  return onBun ? lineOfProcess() : lineOfThread();
}

/** What is used of a thread, from either side; not in the types for Bun. */
interface Port {
  postMessage(message: unknown): void;
  terminate(): void;
  onmessage: ((event: { data: unknown }) => void) | null;
  onerror:
    | ((event: { message: string; preventDefault(): void }) => void)
    | null;
}

/** A worker that is not spoken to once it has ended, and says that once. */
function held<In, Out>(
  post: (message: Out) => void,
  kill: () => void,
): { worker: Worker<In, Out>; end: (reason: string) => void } {
  let ended = false;
  const worker: Worker<In, Out> = {
    post(message) {
      if (!ended) post(message);
    },
    onMessage() {},
    onEnd() {},
    kill() {
      if (!ended) kill();
    },
  };
  const end = (reason: string) => {
    if (ended) return;
    ended = true;
    worker.onEnd(reason);
  };
  return { worker, end };
}

function startThread<In, Out>(): Worker<In, Out> {
  const { Worker } = globalThis as unknown as {
    Worker: new (
      url: URL,
      options: { type: "module"; name: string },
    ) => Port;
  };
  const thread = new Worker(ENTRY, { type: "module", name: MARK });
  const { worker, end } = held<In, Out>(
    (message) => thread.postMessage(message),
    () => {
      thread.terminate();
      // Not at once: whoever calls this has not finished what it is doing.
      queueMicrotask(() => end(""));
    },
  );
  thread.onmessage = ({ data }) => worker.onMessage(data as In);
  thread.onerror = (event) => {
    // Otherwise it would be an error of this thread too, and end the process.
    event.preventDefault();
    end(event.message);
  };
  return worker;
}

function lineOfThread<In, Out>(): Line<In, Out> {
  const port = globalThis as unknown as Port;
  const line: Line<In, Out> = {
    post: (message) => port.postMessage(message),
    onMessage() {},
  };
  port.onmessage = ({ data }) => line.onMessage(data as In);
  return line;
}

function startProcess<In, Out>(): Worker<In, Out> {
  // A program that was compiled into one file is in that file.
  const script = ENTRY.pathname.includes("/$bunfs/")
    ? []
    : [decodeURIComponent(ENTRY.pathname)];
  const child: ChildProcess = spawn(
    process.execPath,
    [...process.execArgv, ...script],
    {
      env: { ...BUN_AT_START, ...process.env, [MARK]: "1" },
      stdio: ["ignore", "inherit", "inherit", "ipc"],
      // Plain values of JavaScript; JSON knows no `Infinity`.
      serialization: "advanced",
    },
  );
  const { worker, end } = held<In, Out>(
    (message) => {
      // It may be dying at this very moment: then `exit` tells of it.
      if (child.connected) child.send(message as never, () => {});
    },
    () => void child.kill("SIGKILL"),
  );
  child.on("message", (message) => worker.onMessage(message as In));
  child.on("error", (error) => end(String(error)));
  child.on("exit", (code, signal) => end(signal ?? `exit code ${code}`));
  return worker;
}

function lineOfProcess<In, Out>(): Line<In, Out> {
  const line: Line<In, Out> = {
    post(message) {
      if (process.connected) process.send?.(message);
    },
    onMessage() {},
  };
  process.on("message", (message) => line.onMessage(message as In));
  // Whatever has ended the first process, `kill -9` included, ends this one.
  // Not at once: see `mapped` for what is to be done before.
  process.on("disconnect", () => queueMicrotask(() => process.exit(0)));
  return line;
}

/** What is used of Bun's global. */
interface BunGlobal {
  mmap(path: string): Uint8Array;
  serve(options: { hostname: string; port: number; fetch: () => Response }): {
    port: number;
    stop(closeActive: boolean): void;
  };
}

/**
 * Finds out whether a port can be had, or which one is free, before workers try:
 * those of Bun would share it with whoever has it already.
 *
 * @throws If it cannot.
 */
export function tryPort(hostname: string, port: number): number {
  if (!onBun) {
    const listener = deno!.listen({ hostname, port });
    listener.close();
    return listener.addr.port;
  }
  const { Bun } = globalThis as unknown as { Bun: BunGlobal };
  const server = Bun.serve({ hostname, port, fetch: () => new Response() });
  const found = server.port;
  server.stop(true);
  return found;
}

/** Memory that all workers see. */
export interface CommonMemory {
  /** What a worker finds it by. */
  at: SharedArrayBuffer | string;
  /** The memory. */
  buffer: ArrayBufferLike;
  /** Gives back what lies outside of this process. */
  free(): void;
}

/** Makes memory that all workers see. */
export function commonMemory(bytes: number): CommonMemory {
  if (!onBun) {
    const buffer = new SharedArrayBuffer(bytes);
    return { at: buffer, buffer, free() {} };
  }
  const folder = mkdtempSync(`${tmpdir()}/sluice-`);
  const at = `${folder}/counts`;
  writeFileSync(at, Buffer.alloc(bytes), { mode: 0o600 });
  const free = () => rmSync(folder, { recursive: true, force: true });
  // Also when a second signal, or a port that is taken, ends the program.
  process.once("exit", free);
  return { at, buffer: mapping(at), free };
}

function mapping(file: string): ArrayBufferLike {
  const { Bun } = globalThis as unknown as { Bun: BunGlobal };
  return Bun.mmap(file).buffer;
}

/** The memory that another process has made; for workers. */
export function mapped(at: SharedArrayBuffer | string): ArrayBufferLike {
  if (typeof at !== "string") return at;
  // A first process that was killed could not take its file away. Not asked of
  // the first one itself, whose own parent may let go of it at any time: workers
  // that are started after that still need the file.
  process.once("disconnect", () => {
    rmSync(dirname(at), { recursive: true, force: true });
  });
  return mapping(at);
}

/**
 * Options of `Deno.serve` with which several of its listeners in one process
 * share a port, each with its turn at whoever connects.
 *
 * `deno serve --parallel` sets an inner option for that, under a symbol that
 * nobody can name; but whoever hands in the options is asked for it. What comes
 * of it has been stable since Deno 1 (one socket, of which each listener has its
 * own descriptor), the way there is not promised. Where the question is no longer
 * asked, {@linkcode shared} says so, and nothing listens.
 */
export function sharing<T extends object>(
  options: T,
): { options: T; shared: () => boolean } {
  if (denoShares) {
    return { options: { ...options, reusePort: true }, shared: () => true };
  }
  let asked = false;
  return {
    options: new Proxy(options, {
      get(target, key) {
        if (typeof key !== "symbol" || key.description !== "kLoadBalanced") {
          return Reflect.get(target, key);
        }
        return asked = true;
      },
    }),
    shared: () => asked,
  };
}

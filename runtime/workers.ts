/**
 * Starting workers, and memory shared with them, on each runtime.
 *
 * On Deno a worker is a thread: a process would need a permission that few
 * proxies get (`--allow-run`). On Bun it is a process: all threads share a
 * single thread for requests to backends, which would soon be the bottleneck;
 * and a process that dies does not affect the others.
 *
 * @module
 */

import type { ChildProcess } from "node:child_process";
import { builtin } from "../base/builtin.ts";
import type { Channel, Worker } from "./channel.ts";
import { BUN_AT_START, onBun } from "./process.ts";
import { entryUrl, MARK } from "./sharing.ts";

/** Starts a worker. */
export function startWorker<In, Out>(): Worker<In, Out> {
  return onBun ? startProcess() : startThread();
}

/** The channel to the process that started this worker. */
export function channelToFirst<In, Out>(): Channel<In, Out> {
  return onBun ? processChannel() : threadChannel();
}

/**
 * The part of a thread that is used, on either side; not in the types for Bun.
 */
interface Port {
  postMessage(message: unknown): void;
  terminate(): void;
  onmessage: ((event: { data: unknown }) => void) | null;
  onerror:
    | ((event: { message: string; preventDefault(): void }) => void)
    | null;
}

/** A worker that ignores messages after its end, and reports the end once. */
function makeWorker<In, Out>(
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
  const thread = new Worker(entryUrl(), { type: "module", name: MARK });
  const { worker, end } = makeWorker<In, Out>(
    (message) => thread.postMessage(message),
    () => {
      thread.terminate();
      // Later: the caller has not finished.
      queueMicrotask(() => end(""));
    },
  );
  thread.onmessage = ({ data }) => worker.onMessage(data as In);
  thread.onerror = (event) => {
    // Otherwise it would be an error of this thread too and end the process.
    event.preventDefault();
    end(event.message);
  };
  return worker;
}

function threadChannel<In, Out>(): Channel<In, Out> {
  const port = globalThis as unknown as Port;
  const channel: Channel<In, Out> = {
    post: (message) => port.postMessage(message),
    onMessage() {},
  };
  port.onmessage = ({ data }) => channel.onMessage(data as In);
  return channel;
}

function startProcess<In, Out>(): Worker<In, Out> {
  const process = builtin("node:process");
  const { spawn } = builtin("node:child_process");
  // A compiled program contains the script.
  const { pathname } = entryUrl();
  const script = pathname.includes("/$bunfs/")
    ? []
    : [decodeURIComponent(pathname)];
  const child: ChildProcess = spawn(
    process.execPath,
    [...process.execArgv, ...script],
    {
      env: { ...BUN_AT_START, ...process.env, [MARK]: "1" },
      stdio: ["ignore", "inherit", "inherit", "ipc"],
      // JSON has no `Infinity`.
      serialization: "advanced",
    },
  );
  const { worker, end } = makeWorker<In, Out>(
    (message) => {
      // It may be dying at this moment; then `exit` follows.
      if (child.connected) child.send(message as never, () => {});
    },
    () => void child.kill("SIGKILL"),
  );
  child.on("message", (message) => worker.onMessage(message as In));
  child.on("error", (error) => end(String(error)));
  child.on("exit", (code, signal) => end(signal ?? `exit code ${code}`));
  return worker;
}

function processChannel<In, Out>(): Channel<In, Out> {
  const process = builtin("node:process");
  const channel: Channel<In, Out> = {
    post(message) {
      if (process.connected) process.send?.(message);
    },
    onMessage() {},
  };
  process.on("message", (message) => channel.onMessage(message as In));
  // When the first process ends for any reason, `kill -9` included, this one
  // ends too. Later: `mapped` cleans up first.
  process.on("disconnect", () => queueMicrotask(() => process.exit(0)));
  return channel;
}

/** The part of Bun's global that is used. */
interface BunGlobal {
  mmap(path: string): Uint8Array;
}

/** Memory shared by all workers. */
export interface SharedMemory {
  /** How a worker finds it. */
  at: SharedArrayBuffer | string;
  /** The memory. */
  buffer: ArrayBufferLike;
  /** Releases what lies outside of this process. */
  free(): void;
}

/** Makes memory that all workers share. */
export function sharedMemory(bytes: number): SharedMemory {
  if (!onBun) {
    const buffer = new SharedArrayBuffer(bytes);
    return { at: buffer, buffer, free() {} };
  }
  const { mkdtempSync, rmSync, writeFileSync } = builtin("node:fs");
  const folder = mkdtempSync(`${builtin("node:os").tmpdir()}/sluice-`);
  const at = `${folder}/counts`;
  writeFileSync(at, new Uint8Array(bytes), { mode: 0o600 });
  const free = () => rmSync(folder, { recursive: true, force: true });
  // Also when a second signal, or a port in use, ends the program.
  builtin("node:process").once("exit", free);
  return { at, buffer: mapping(at), free };
}

function mapping(file: string): ArrayBufferLike {
  const { Bun } = globalThis as unknown as { Bun: BunGlobal };
  return Bun.mmap(file).buffer;
}

/** Opens the memory that the first process has made; for workers. */
export function mapped(at: SharedArrayBuffer | string): ArrayBufferLike {
  if (typeof at !== "string") return at;
  // A first process that was killed could not remove its file. Only workers do
  // this: the first process may lose the channel to its own parent at any time,
  // and workers that start later still need the file.
  const { rmSync } = builtin("node:fs");
  builtin("node:process").once("disconnect", () => {
    rmSync(at.slice(0, at.lastIndexOf("/")), { recursive: true, force: true });
  });
  return mapping(at);
}

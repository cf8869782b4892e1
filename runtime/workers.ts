/**
 * How each runtime starts workers, and has memory that all of them see.
 *
 * On Deno a worker is a thread: a process would need a permission that few
 * proxies are given (`--allow-run`). On Bun it is a process. All threads of one
 * share a single thread that makes all requests to backends, so they would soon
 * wait for that one; and a process that dies takes nobody with it.
 *
 * @module
 */

import type { ChildProcess } from "node:child_process";
import { builtin } from "../base/builtin.ts";
import type { Line, Worker } from "./line.ts";
import { BUN_AT_START } from "./process.ts";
import { entryUrl, MARK } from "./sharing.ts";

const onBun = "Bun" in globalThis;

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
  const thread = new Worker(entryUrl(), { type: "module", name: MARK });
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
  const process = builtin("node:process");
  const { spawn } = builtin("node:child_process");
  // A program that was compiled into one file is in that file.
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
  const process = builtin("node:process");
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
  const { mkdtempSync, rmSync, writeFileSync } = builtin("node:fs");
  const folder = mkdtempSync(`${builtin("node:os").tmpdir()}/sluice-`);
  const at = `${folder}/counts`;
  writeFileSync(at, new Uint8Array(bytes), { mode: 0o600 });
  const free = () => rmSync(folder, { recursive: true, force: true });
  // Also when a second signal, or a port that is taken, ends the program.
  builtin("node:process").once("exit", free);
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
  const { rmSync } = builtin("node:fs");
  builtin("node:process").once("disconnect", () => {
    rmSync(at.slice(0, at.lastIndexOf("/")), { recursive: true, force: true });
  });
  return mapping(at);
}

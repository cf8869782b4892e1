/**
 * Whether several workers may share one port here, and how they do.
 *
 * On Deno a worker is a thread. Threads share the port by what `deno serve
 * --parallel` stands on, see {@linkcode sharing}: the public `reusePort` is for
 * `--unstable-net` alone, and without that flag the attempt ends the process. On
 * Bun a worker is a process, and `reusePort` is for everybody there.
 *
 * @module
 */

import { builtin } from "../base/builtin.ts";
import { tlsInside } from "./deno/inside_tls.ts";

/** Says to a process of Bun's that it is a worker, and to a thread as its name. */
export const MARK = "SLUICE_WORKER";

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
  if (onBun) {
    const process = builtin("node:process");
    return process.env[MARK] !== undefined && process.send !== undefined;
  }
  return WorkerGlobalScope !== undefined &&
    globalThis instanceof WorkerGlobalScope && name === MARK;
}

/**
 * The program as a worker starts it: the module that is the entry of all, or the
 * one file that it was bundled into.
 */
export function entryUrl(): URL {
  return import.meta.url.endsWith("/runtime/sharing.ts")
    ? new URL("../mod.ts", import.meta.url)
    : new URL(import.meta.url);
}

/** Whether Deno was started so that it shares ports by its public option. */
export const denoShares: boolean = deno?.listenDatagram !== undefined;

/** Whether Deno shares a port for TLS by its public option alone. */
export function sharesTlsByFlag(): boolean {
  return !onBun && !denoShares && tlsInside() === undefined;
}

/** How many workers are meant. */
export function workersOf(workers: number | "auto"): number {
  return workers === "auto"
    ? builtin("node:os").availableParallelism()
    : workers;
}

/** Says why so many workers cannot be had; nothing if they can. */
export function workersFault(
  workers: number | "auto",
  tls: boolean,
): string | undefined {
  if (workersOf(workers) === 1) return undefined;
  const quoted = `"${workers}" cannot be had`;
  if (isWorker()) return `${quoted} by a worker`;
  if (onBun) return undefined;
  if (tls && sharesTlsByFlag()) {
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
  const { protocol, pathname } = new URL(".", entryUrl());
  return protocol === "file:" ? decodeURIComponent(pathname) : undefined;
}

/** What is used of Bun's global. */
interface BunGlobal {
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

/**
 * Whether workers can share a port on this runtime, and how.
 *
 * On Deno a worker is a thread. Threads share the port by the mechanism of
 * `deno serve --parallel`, see {@linkcode sharing}: the public `reusePort`
 * requires `--unstable-net`, and without that flag the attempt ends the
 * process. On Bun a worker is a process, and `reusePort` is always available.
 *
 * @module
 */

import { builtin } from "../base/builtin.ts";
import { tlsInside } from "./deno/inside_tls.ts";
import { onBun } from "./process.ts";

/** Marks a worker: an environment variable on Bun, a thread's name on Deno. */
export const MARK = "SLUICE_WORKER";

/** The part of Deno's global that is used. */
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

/** Whether this is a worker. */
export function isWorker(): boolean {
  if (onBun) {
    const process = builtin("node:process");
    return process.env[MARK] !== undefined && process.send !== undefined;
  }
  return WorkerGlobalScope !== undefined &&
    globalThis instanceof WorkerGlobalScope && name === MARK;
}

/**
 * The program that workers load: the entry module, or the file that it was
 * bundled into.
 */
export function entryUrl(): URL {
  return import.meta.url.endsWith("/runtime/sharing.ts")
    ? new URL("../mod.ts", import.meta.url)
    : new URL(import.meta.url);
}

/** Whether Deno was started with its public option for sharing ports. */
export const denoShares: boolean = deno?.listenDatagram !== undefined;

/** Whether Deno can share a TLS port only by its public option. */
export function sharesTlsByFlag(): boolean {
  return !onBun && !denoShares && tlsInside() === undefined;
}

/** The number of workers. */
export function workersOf(workers: number | "auto"): number {
  return workers === "auto"
    ? builtin("node:os").availableParallelism()
    : workers;
}

/** Why this number of workers is not possible, if so. */
export function workersFault(
  workers: number | "auto",
  tls: boolean,
): string | undefined {
  if (workersOf(workers) === 1) return undefined;
  const quoted = `"${workers}" is not possible`;
  if (isWorker()) return `${quoted} in a worker: write 1`;
  if (onBun) return undefined;
  if (tls && sharesTlsByFlag()) {
    return `${quoted} with TLS_CERT: this Deno shares a port for TLS with ` +
      "--unstable-net only: add that flag, or write 1";
  }
  const path = programFolder();
  if (
    path !== undefined &&
    deno?.permissions.querySync({ name: "read", path }).state !== "granted"
  ) {
    return `${quoted}: each worker loads the program again: add ` +
      "--allow-read with the folder of the program, or write 1";
  }
  return undefined;
}

/**
 * The folder that Deno must be allowed to read for workers, which load the
 * program again; `undefined` if it was loaded from a URL.
 */
export function programFolder(): string | undefined {
  const { protocol, pathname } = new URL(".", entryUrl());
  return protocol === "file:" ? decodeURIComponent(pathname) : undefined;
}

/** The part of Bun's global that is used. */
interface BunGlobal {
  serve(options: { hostname: string; port: number; fetch: () => Response }): {
    port: number;
    stop(closeActive: boolean): void;
  };
}

/**
 * Checks that a port is free, or chooses a free one, before workers listen:
 * those of Bun would share it with any process that uses it already.
 *
 * @throws If the port is not available.
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
 * Options of `Deno.serve` with which several listeners in one process share a
 * port and take turns at connections.
 *
 * `deno serve --parallel` sets an internal option, under a symbol that cannot
 * be named; but a `Proxy` sees when it is read. The mechanism behind it has
 * been stable since Deno 1 (one socket, with a descriptor per listener); this
 * access to it is not guaranteed. If the option is no longer read,
 * {@linkcode shared} returns false, and nothing listens.
 */
export function sharing<T extends object>(
  options: T,
): { options: T; shared: () => boolean } {
  if (denoShares) {
    return { options: { ...options, reusePort: true }, shared: () => true };
  }
  let read = false;
  return {
    options: new Proxy(options, {
      get(target, key) {
        if (typeof key !== "symbol" || key.description !== "kLoadBalanced") {
          return Reflect.get(target, key);
        }
        return read = true;
      },
    }),
    shared: () => read,
  };
}

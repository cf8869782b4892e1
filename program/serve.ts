/**
 * A proxy with listeners in front of it: for its clients, and for its operator.
 *
 * @module
 */

import { urlHost } from "../base/text.ts";
import { checkTls } from "../config/check.ts";
import { checkedOption } from "../config/option.ts";
import type { ServeOptions } from "../config/options.ts";
import { listenersOf, ownFault } from "../config/read_backends.ts";
import { systemClock } from "../base/clock.ts";
import { tlsFault } from "../runtime/tls.ts";
import { workersFault, workersOf } from "../runtime/sharing.ts";
import { type AdminServer, checkedAdmin, serveAdmin } from "./admin.ts";
import { coreOf, type ReverseProxy } from "./create.ts";
import { serveHere } from "./front.ts";
import { serveWorkers } from "./serve_workers.ts";

/** A proxy that listens. With `await using` it drains at the end of its block. */
export interface ProxyServer extends AsyncDisposable {
  /** The port, also when a free one was taken. */
  readonly port: number;
  /** Where it listens, as a URL. */
  readonly url: string;
  /** Where the dashboard is, as a URL, if there is an admin port. */
  readonly adminUrl: string | undefined;
  /**
   * Resolves once it listens: at once, but for workers, which have to start.
   * Rejects if they cannot.
   */
  readonly ready: Promise<void>;
  /**
   * Drains and stops, the proxy included: no new connections, what is under way
   * goes to its end, and past `drainTimeoutMs` the rest is cut. May be called
   * twice.
   */
  stop(): Promise<void>;
  /** Resolves when it has stopped. */
  readonly finished: Promise<void>;
}

/**
 * Listens in front of a proxy, in the same way on both runtimes, with draining,
 * TLS, an admin port and workers where the options ask for them.
 *
 * @example
 * ```ts
 * import { createProxy, serve } from "../mod.ts";
 *
 * const proxy = createProxy({
 *   backends: [() => new Response("Hello\n")],
 *   health: false,
 * });
 * await using server = serve(proxy, { host: "127.0.0.1", port: 0 });
 * await server.ready;
 * console.assert(await (await fetch(server.url)).text() === "Hello\n");
 * ```
 *
 * @throws {TypeError} If the proxy is not from `createProxy()`, if an option is
 * of the wrong kind, or if a backend is this server itself.
 * @throws {RangeError} If a number is outside of its bounds, or if there cannot be
 * workers here.
 * @throws If the port cannot be had.
 */
export function serve(
  proxy: ReverseProxy,
  options: ServeOptions = {},
): ProxyServer {
  const core = coreOf(proxy);
  if (core === undefined) {
    throw new TypeError("Cannot serve: this proxy is not from createProxy()");
  }
  const { tls } = options;
  const host = checkedOption("HOST", options.host);
  const workers = checkedOption("WORKERS", options.workers);
  const fault = workersFault(workers, tls !== undefined);
  if (fault !== undefined) {
    throw new RangeError(`Cannot serve: workers ${fault}`);
  }
  if (tls !== undefined) checkTls("serve", "tls", tls, tlsFault);
  refuseOwn(proxy, options);
  const drainOptions = {
    delayMs: checkedOption("DRAIN_DELAY", options.drainDelayMs),
    timeoutMs: checkedOption("DRAIN_TIMEOUT", options.drainTimeoutMs),
    clock: systemClock,
  };
  const port = checkedOption("PORT", options.port);
  const checked = options.admin ? checkedAdmin(options.admin) : undefined;
  const front = workersOf(workers) > 1
    ? serveWorkers(core, { ...options, host, port, workers })
    : serveHere(core, { ...options, host, port });
  let admin: AdminServer | undefined;
  try {
    if (checked !== undefined) admin = serveAdmin(core, checked);
  } catch (error) {
    front.kill();
    throw error;
  }
  core.listeners.splice(0, Infinity, { host, port: front.port });
  if (admin !== undefined) {
    core.listeners.push({
      host: admin.host,
      port: admin.port,
      isAdmin: true,
    });
  }
  let stopping: Promise<void> | undefined;
  const { promise: finished, resolve } = Promise.withResolvers<void>();
  const stop = () =>
    stopping ??= front.drain(drainOptions).then(() => admin?.stop())
      .then(resolve);
  return {
    port: front.port,
    url: `${tls === undefined ? "http" : "https"}://${
      urlHost(host)
    }:${front.port}`,
    adminUrl: admin?.url,
    ready: front.ready,
    stop,
    finished,
    [Symbol.asyncDispose]: stop,
  };
}

/** Refuses a backend that is one of the listeners. */
function refuseOwn({ pool }: ReverseProxy, options: ServeOptions): void {
  const listeners = listenersOf(options);
  for (const { url } of pool) {
    const fault = ownFault(url, listeners);
    if (fault !== undefined) {
      throw new TypeError(`Cannot serve: backend "${url}" ${fault}`);
    }
  }
}

/**
 * A proxy with its listeners: for clients, and for the operator.
 *
 * @module
 */

import { urlHost } from "../base/text.ts";
import { certificateFacts, readPair } from "../config/certificate.ts";
import { checkTls } from "../config/check.ts";
import { checkedOption } from "../config/option.ts";
import type { ServeOptions, TlsOptions } from "../config/options.ts";
import { listenersOf, ownFault } from "../config/read_backends.ts";
import { systemClock } from "../base/clock.ts";
import { tlsFault } from "../runtime/tls.ts";
import { workersFault, workersOf } from "../runtime/sharing.ts";
import {
  type AdminServer,
  type CheckedAdmin,
  checkedAdmin,
  serveAdmin,
} from "./admin.ts";
import type { Core } from "./core.ts";
import { coreOf, type ReverseProxy } from "./create.ts";
import { type Front, serveHere } from "./front.ts";
import { type RedirectServer, serveRedirect } from "./redirect.ts";
import { serveWorkers } from "./serve_workers.ts";

/** A proxy that listens. `await using` drains it at the end of the block. */
export interface ProxyServer extends AsyncDisposable {
  /** The port it listens on. */
  readonly port: number;
  /** Its URL. */
  readonly url: string;
  /** URL of the dashboard, if there is an admin port. */
  readonly adminUrl: string | undefined;
  /** URL that redirects to HTTPS, if there is one. */
  readonly redirectUrl: string | undefined;
  /**
   * Resolves once it listens: at once, or with workers once they have started.
   * Rejects if they cannot start.
   */
  readonly ready: Promise<void>;
  /**
   * Uses another certificate for new connections; existing ones keep theirs.
   * Rejects with the reason if that fails, and the old certificate stays. Also
   * rejects if `tls` was not set.
   */
  setCertificate(tls: TlsOptions): Promise<void>;
  /**
   * Drains and stops the server and the proxy: no new connections; requests in
   * flight finish, and after `drainTimeoutMs` the rest is cut. Idempotent.
   */
  stop(): Promise<void>;
  /** Resolves when it has stopped. */
  readonly finished: Promise<void>;
}

/**
 * Starts a server for a proxy, in the same way on both runtimes. Draining, TLS,
 * an admin port and workers depend on the options.
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
 * @throws {TypeError} If the proxy is not from `createProxy()`, if an option
 * has the wrong type, or if a backend is this server itself.
 * @throws {RangeError} If a number is out of bounds, or if workers are not
 * possible here.
 * @throws If the port cannot be opened.
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
  const redirectPort = checkedRedirectPort(options);
  checkHandlerAndBackends(proxy, options);
  const drainOptions = {
    delayMs: checkedOption("DRAIN_DELAY", options.drainDelayMs),
    timeoutMs: checkedOption("DRAIN_TIMEOUT", options.drainTimeoutMs),
    clock: systemClock,
  };
  const port = checkedOption("PORT", options.port);
  const admin = options.admin ? checkedAdmin(options.admin) : undefined;
  const front = workersOf(workers) > 1
    ? serveWorkers(core, { ...options, host, port, workers })
    : serveHere(core, { ...options, host, port });
  const others = serveOthers(core, front, { host, redirectPort, admin });
  core.certificate = tls && certificateFacts(tls.cert);
  let stopping: Promise<void> | undefined;
  const { promise: finished, resolve } = Promise.withResolvers<void>();
  const stop = () =>
    stopping ??= Promise.all([
      front.drain(drainOptions),
      others.redirect?.drain(drainOptions),
    ]).then(() => others.admin?.stop()).then(resolve);
  const at = (port: number) => `${urlHost(host)}:${port}`;
  return {
    port: front.port,
    url: `${tls === undefined ? "http" : "https"}://${at(front.port)}`,
    adminUrl: others.admin?.url,
    redirectUrl: others.redirect && `http://${at(others.redirect.port)}`,
    ready: others.admin === undefined
      ? front.ready
      : both(front.ready, others.admin.ready),
    setCertificate: async (given) => {
      if (tls === undefined) throw new Error("there is no TLS");
      const pair = readPair(given, { cert: "cert", key: "key" }, tlsFault);
      if ("wanted" in pair) throw new TypeError(pair.wanted);
      await front.setCertificate(pair.value.tls);
      core.certificate = pair.value.facts;
    },
    stop,
    finished,
    [Symbol.asyncDispose]: stop,
  };
}

/** Waits for both. A rejection that nothing awaits must not end the process. */
function both(first: Promise<void>, second: Promise<void>): Promise<void> {
  const ready = Promise.all([first, second]).then(() => {});
  ready.catch(() => {});
  return ready;
}

/** The checked port of the redirecting listener, if any. */
function checkedRedirectPort(
  { redirectPort, tls }: ServeOptions,
): number | false {
  const port = checkedOption("REDIRECT_PORT", redirectPort);
  if (port !== false && tls === undefined) {
    throw new RangeError(
      "Cannot serve: redirectPort is set without tls: set both",
    );
  }
  return port;
}

/** Starts the other listeners, and records the addresses of all. */
function serveOthers(
  core: Core,
  front: Front,
  { host, redirectPort, admin: wanted }: {
    host: string;
    redirectPort: number | false;
    admin: CheckedAdmin | undefined;
  },
): { redirect: RedirectServer | undefined; admin: AdminServer | undefined } {
  let redirect: RedirectServer | undefined;
  let admin: AdminServer | undefined;
  try {
    if (redirectPort !== false) {
      redirect = serveRedirect({
        port: redirectPort,
        host,
        httpsPort: front.port,
        log: core.callbacks.log,
      });
    }
    if (wanted !== undefined) admin = serveAdmin(core, wanted);
  } catch (error) {
    front.kill();
    redirect?.kill();
    throw error;
  }
  core.listeners.splice(0, Infinity, { host, port: front.port });
  if (redirect !== undefined) {
    core.listeners.push({ host, port: redirect.port });
  }
  if (admin !== undefined) {
    core.listeners.push({
      host: admin.host,
      port: admin.port,
      isAdmin: true,
    });
  }
  return { redirect, admin };
}

/** Refuses an invalid handler, and a backend that is one of the listeners. */
function checkHandlerAndBackends(
  { pool }: ReverseProxy,
  options: ServeOptions,
): void {
  if (options.fetch !== undefined && typeof options.fetch !== "function") {
    throw new TypeError("Cannot serve: fetch is not a function");
  }
  const listeners = listenersOf(options);
  for (const { url } of pool) {
    const fault = ownFault(url, listeners);
    if (fault !== undefined) {
      throw new TypeError(`Cannot serve: backend "${url}" ${fault}`);
    }
  }
}

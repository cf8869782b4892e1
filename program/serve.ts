/**
 * A proxy with listeners in front of it: for its clients, and for its operator.
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

/** A proxy that listens. With `await using` it drains at the end of its block. */
export interface ProxyServer extends AsyncDisposable {
  /** The port, also when a free one was taken. */
  readonly port: number;
  /** Where it listens, as a URL. */
  readonly url: string;
  /** Where the dashboard is, as a URL, if there is an admin port. */
  readonly adminUrl: string | undefined;
  /** Where clients are sent on to HTTPS from, as a URL, if anywhere. */
  readonly redirectUrl: string | undefined;
  /**
   * Resolves once it listens: at once, but for workers, which have to start.
   * Rejects if they cannot.
   */
  readonly ready: Promise<void>;
  /**
   * Shows each new connection another certificate, and leaves those that stand
   * as they are. Rejects with the reason when that cannot be done, and then the
   * one before stays; where `tls` was not set there is none to replace.
   */
  setCertificate(tls: TlsOptions): Promise<void>;
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
  const redirectPort = checkedRedirectPort(options);
  refuseOdd(proxy, options);
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

/** Both; a rejection of `ready` that nobody awaits must not end a process. */
function both(first: Promise<void>, second: Promise<void>): Promise<void> {
  const ready = Promise.all([first, second]).then(() => {});
  ready.catch(() => {});
  return ready;
}

/** The port that redirects, if any. */
function checkedRedirectPort(
  { redirectPort, tls }: ServeOptions,
): number | false {
  const port = checkedOption("REDIRECT_PORT", redirectPort);
  if (port !== false && tls === undefined) {
    throw new RangeError("Cannot serve: redirectPort is set, and tls is not");
  }
  return port;
}

/** Listens beside the front, and makes known where all of them are. */
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

/** Refuses a handler that is none, and a backend that is one of the listeners. */
function refuseOdd({ pool }: ReverseProxy, options: ServeOptions): void {
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

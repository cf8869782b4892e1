/**
 * A proxy with listeners in front of it: for its clients, and for its operator.
 *
 * @module
 */

import { parseBackendUrl } from "../config/backends.ts";
import { certificateFacts, readPair } from "../config/certificate.ts";
import { leadsTo } from "../config/listener.ts";
import { checkedNumber } from "../config/check.ts";
import { proxyVariableFault } from "../config/no_proxy.ts";
import type {
  AdminOptions,
  ServeOptions,
  TlsOptions,
} from "../config/options.ts";
import { Admin } from "../observe/admin.ts";
import { explainer } from "../observe/explain.ts";
import { tokenCheck } from "../observe/token.ts";
import { systemClock } from "../runtime/clock.ts";
import { env, processFacts, stayAlive } from "../runtime/process.ts";
import type { Listener } from "../runtime/listener.ts";
import { listen } from "../runtime/runtime.ts";
import {
  drain,
  type Drainable,
  type DrainOptions,
  Gate,
} from "../runtime/serve.ts";
import { tlsFault } from "../runtime/tls.ts";
import { sum } from "../observe/metrics.ts";
import { Crew } from "../workers/crew.ts";
import { tableBytes } from "../workers/table.ts";
import {
  commonMemory,
  isWorker,
  startWorker,
  tryPort,
  workersFault,
  workersOf,
} from "../runtime/workers.ts";
import { HOUR_MS, type Inside, insides, type Proxy } from "./create.ts";
import { type RedirectServer, serveRedirect } from "./redirect.ts";
import { VERSION } from "./version.ts";

/** Milliseconds that answers on the admin port may still take at the end. */
const ADMIN_END_MS = 500;

/** A proxy that is listened for. */
export interface Server extends AsyncDisposable {
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
   * Drains and stops, the proxy included. May be called twice.
   */
  stop(): Promise<void>;
  /** Resolves when it has stopped. */
  readonly finished: Promise<void>;
}

/**
 * Listens in front of a proxy, in the same way on both runtimes.
 *
 * @throws {RangeError} If an option cannot be used.
 * @throws If the port cannot be had.
 */
export function serve(proxy: Proxy, options: ServeOptions = {}): Server {
  const inside = insides.get(proxy);
  if (inside === undefined) {
    throw new TypeError("Cannot serve: this proxy is not from createProxy()");
  }
  const { host = "0.0.0.0", tls } = options;
  const workers = workersFault(options.workers, tls !== undefined);
  if (workers !== undefined) {
    throw new RangeError(`Cannot serve: workers ${workers}`);
  }
  const drainOptions = {
    delayMs: checkedNumber("drainDelayMs", options.drainDelayMs, {
      otherwise: 0,
      min: 0,
      max: HOUR_MS,
    }),
    timeoutMs: checkedNumber("drainTimeoutMs", options.drainTimeoutMs, {
      otherwise: 10_000,
      min: 0,
      max: HOUR_MS,
    }),
    clock: systemClock,
  };
  const port = checkedNumber("port", options.port, {
    otherwise: 8080,
    min: 0,
    max: 65535,
  });
  const redirectPort = checkedRedirectPort(options);
  const front = workersOf(options.workers) > 1
    ? serveWorkers(proxy, inside, options, { host, port })
    : serveHere(proxy, inside, options, { host, port });
  let admin: AdminServer | undefined;
  let redirect: RedirectServer | undefined;
  try {
    if (redirectPort !== undefined) {
      redirect = serveRedirect({
        port: redirectPort,
        host,
        httpsPort: front.port,
        log: inside.log,
      });
    }
    if (options.admin) {
      admin = serveAdmin(proxy, inside, options.admin, {
        host,
        port: front.port,
      });
    }
  } catch (error) {
    front.kill();
    redirect?.kill();
    throw error;
  }
  inside.certificate = tls && certificateFacts(tls.cert);
  let stopping: Promise<void> | undefined;
  const { promise: finished, resolve } = Promise.withResolvers<void>();
  const stop = () =>
    stopping ??= Promise.all([
      front.drain(drainOptions),
      redirect?.drain(drainOptions),
    ]).then(() => admin?.stop()).then(resolve);
  const shown = host.includes(":") ? `[${host}]` : host;
  return {
    port: front.port,
    url: `${tls === undefined ? "http" : "https"}://${shown}:${front.port}`,
    adminUrl: admin?.url,
    redirectUrl: redirect && `http://${shown}:${redirect.port}`,
    ready: front.ready,
    setCertificate: async (given) => {
      if (tls === undefined) throw new Error("there is no TLS");
      const pair = readPair(given, { cert: "cert", key: "key" }, tlsFault);
      if ("wanted" in pair) throw new TypeError(pair.wanted);
      await front.setCertificate(pair.value.tls);
      inside.certificate = pair.value.facts;
    },
    stop,
    finished,
    [Symbol.asyncDispose]: stop,
  };
}

/** The port that redirects, if any. */
function checkedRedirectPort(
  { redirectPort, tls }: ServeOptions,
): number | undefined {
  if (redirectPort === undefined) return undefined;
  if (tls === undefined) {
    throw new RangeError("Cannot serve: redirectPort is set, and tls is not");
  }
  return checkedNumber("redirectPort", redirectPort, {
    otherwise: 0,
    min: 0,
    max: 65535,
  });
}

/** What takes the requests of clients. */
interface Front {
  port: number;
  /** Resolves once it listens. */
  ready: Promise<void>;
  /** Shows new connections another certificate. */
  setCertificate(tls: TlsOptions): Promise<void>;
  /** Ends it without losing a request, and the proxy with it. */
  drain(options: DrainOptions): Promise<void>;
  /** Ends it at once. */
  kill(): void;
}

/** Listens in this process. */
function serveHere(
  proxy: Proxy,
  inside: Inside,
  { tls }: ServeOptions,
  { host, port }: { host: string; port: number },
): Front {
  const gate = new Gate(proxy.fetch);
  const listener = listen(gate.handle, {
    port,
    host,
    tls,
    shared: isWorker(),
    log: inside.log,
  });
  const { forwarder } = inside;
  const drainable: Drainable = {
    drain: inside.drain,
    get uploading() {
      return forwarder.uploading;
    },
    get started() {
      return forwarder.started;
    },
    get bridged() {
      return forwarder.bridged;
    },
    goAway: () => forwarder.goAway(),
    cut: () => forwarder.cut(),
    stop: proxy.stop,
  };
  return {
    port: listener.port,
    ready: Promise.resolve(),
    setCertificate: (tls) =>
      listener.setCertificate?.(tls) ??
        Promise.reject(new Error("this runtime keeps the one it began with")),
    drain: (options) =>
      drain(listener, gate, drainable, {
        ...options,
        together: inside.together,
      }),
    kill: () => listener.kill(),
  };
}

/** Options of a proxy that are functions, and so cannot go to a worker. */
const ONLY_HERE = ["fetch", "clock", "random"] as const;

/** Has workers listen; this process probes, judges and tells them. */
function serveWorkers(
  proxy: Proxy,
  inside: Inside,
  options: ServeOptions,
  { host, port: wanted }: { host: string; port: number },
): Front {
  const { admin, workers, redirectPort: _redirectPort, ...serve } = options;
  const given = inside.options;
  const odd = ONLY_HERE.find((name) => given[name] !== undefined) ??
    (proxy.pool.backends.some(({ answer }) => answer !== undefined)
      ? "backends"
      : undefined);
  if (odd !== undefined) {
    throw new RangeError(
      `Cannot serve: workers is ${workers}, and ${odd} holds a function, which cannot be handed to a worker`,
    );
  }
  const port = tryPort(host, wanted);
  const size = workersOf(workers);
  const memory = commonMemory(tableBytes(size));
  // All workers may be dead at one moment, and the next ones not there yet.
  const rest = stayAlive();
  // Only plain values: the rest is for this process.
  const {
    backends: _backends,
    log: _log,
    logAccess: _logAccess,
    lookup: _lookup,
    fetch: _fetch,
    clock: _clock,
    random: _random,
    ...plain
  } = given;
  const crew = new Crew({
    size,
    pool: proxy.pool,
    spawn: startWorker,
    table: memory,
    common: {
      proxy: {
        ...plain,
        stickySecret: given.stickySecret ?? crypto.randomUUID(),
      },
      serve: { ...serve, host, port },
      pseudonym: inside.pseudonym,
      token: admin ? admin.token : undefined,
    },
    outcome: (backend, { good, agoMs, reason }) =>
      inside.judge(backend, good, agoMs, reason),
    suspects: inside.suspects,
    access: inside.logAccess,
    clock: systemClock,
    log: inside.log,
  });
  inside.crew = crew;
  const ready = proxy.ready.then(() => crew.start()).then(() => {});
  const end = () => {
    crew.kill();
    rest();
    memory.free();
  };
  // Whoever does not ask finds out by what the log says.
  ready.catch((error) => {
    inside.log(`cannot serve: ${error.message}`);
    end();
  });
  return {
    port,
    ready,
    setCertificate: (tls) => crew.setCertificate(tls),
    async drain({ delayMs, timeoutMs }) {
      inside.drain();
      await crew.stop(delayMs + timeoutMs);
      end();
      await proxy.stop();
    },
    kill: end,
  };
}

/** The admin listener. */
interface AdminServer {
  url: string;
  stop(): Promise<void>;
}

/** Listens for the dashboard, the metrics and the admin API. */
function serveAdmin(
  proxy: Proxy,
  inside: Inside,
  options: AdminOptions,
  own: { host: string; port: number },
): AdminServer {
  const { host = "127.0.0.1", token } = options;
  const { forwarder, report, policy, trusts, log } = inside;
  const { pool } = proxy;
  const { metrics, probes } = inside.observe();
  inside.crew?.count();
  if (token !== undefined) {
    if (!/^[\x21-\x7e]{16,512}$/.test(token)) {
      throw new TypeError(
        "Cannot serve: admin.token is not 16 to 512 visible ASCII characters",
      );
    }
    const knows = tokenCheck(token);
    forwarder.explainer = explainer({ pool, policy, trusts, knows });
  }
  const handler = new Admin({
    pool,
    report,
    probes,
    snapshot: async () => {
      const own = metrics.snapshot();
      const { crew } = inside;
      return crew === undefined ? own : sum([own, ...await crew.snapshots()]);
    },
    checkUrl: (url) => {
      const result = parseBackendUrl(url);
      if ("wanted" in result) return result;
      if (leadsTo(result.value, own)) return { wanted: "is this proxy" };
      const diverted = proxyVariableFault([result.value], env);
      return diverted === undefined
        ? result
        : { wanted: `cannot be reached: ${diverted}` };
    },
    draining: () => inside.draining,
    certificate: () => inside.certificate,
    process: processFacts,
    version: VERSION,
    policy,
    token,
    host,
    clock: systemClock,
    log,
  });
  let listener: Listener;
  try {
    listener = listen((request) => handler.handle(request), {
      port: checkedNumber("admin.port", options.port, {
        otherwise: 0,
        min: 0,
        max: 65535,
      }),
      host,
      log,
    });
  } catch (error) {
    handler.stop();
    throw error;
  }
  const shown = host.includes(":") ? `[${host}]` : host;
  return {
    url: `http://${shown}:${listener.port}`,
    stop: async () => {
      handler.stop();
      // Who reads here must not hold up the end.
      const closing = listener.close().catch(() => {});
      await Promise.race([
        closing,
        new Promise<void>((r) => systemClock.setTimeout(r, ADMIN_END_MS)),
      ]);
      listener.kill();
    },
  };
}

/**
 * A proxy with listeners in front of it: for its clients, and for its operator.
 *
 * @module
 */

import { parseBackendUrl } from "../config/backends.ts";
import { leadsTo } from "../config/listener.ts";
import { checkedNumber } from "../config/check.ts";
import { proxyVariableFault } from "../config/no_proxy.ts";
import type {
  AdminOptions,
  ProxyOptions,
  ServeOptions,
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
import { sum } from "../observe/metrics.ts";
import { Crew } from "../workers/crew.ts";
import { seedRates } from "../proxy/rate_limit.ts";
import { RATE_TABLE_BYTES } from "../proxy/rate_table.ts";
import { tableBytes } from "../workers/table.ts";
import {
  type CommonMemory,
  commonMemory,
  isWorker,
  startWorker,
  tryPort,
  workersFault,
  workersOf,
} from "../runtime/workers.ts";
import { checkedRate } from "./admission.ts";
import { HOUR_MS, type Inside, insides, type Proxy } from "./create.ts";
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
  /**
   * Resolves once it listens: at once, but for workers, which have to start.
   * Rejects if they cannot.
   */
  readonly ready: Promise<void>;
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
  const front = workersOf(options.workers) > 1
    ? serveWorkers(proxy, inside, options, { host, port })
    : serveHere(proxy, inside, options, { host, port });
  let admin: AdminServer | undefined;
  try {
    if (options.admin) {
      admin = serveAdmin(proxy, inside, options.admin, {
        host,
        port: front.port,
      });
    }
  } catch (error) {
    front.kill();
    throw error;
  }
  let stopping: Promise<void> | undefined;
  const { promise: finished, resolve } = Promise.withResolvers<void>();
  const stop = () =>
    stopping ??= front.drain(drainOptions).then(() => admin?.stop())
      .then(resolve);
  const shown = host.includes(":") ? `[${host}]` : host;
  return {
    port: front.port,
    url: `${tls === undefined ? "http" : "https"}://${shown}:${front.port}`,
    adminUrl: admin?.url,
    ready: front.ready,
    stop,
    finished,
    [Symbol.asyncDispose]: stop,
  };
}

/** What takes the requests of clients. */
interface Front {
  port: number;
  /** Resolves once it listens. */
  ready: Promise<void>;
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
  const { admin, workers, ...serve } = options;
  const given = inside.options;
  const odd = ONLY_HERE.find((name) => given[name] !== undefined) ??
    (checkedRate(given)?.key !== undefined ? "rateLimit" : undefined) ??
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
  const rates = ratesOf(given);
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
      rates: rates && { at: rates.at, epochMs: performance.timeOrigin },
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
    rates?.free();
  };
  // Whoever does not ask finds out by what the log says.
  ready.catch((error) => {
    inside.log(`cannot serve: ${error.message}`);
    end();
  });
  return {
    port,
    ready,
    async drain({ delayMs, timeoutMs }) {
      inside.drain();
      await crew.stop(delayMs + timeoutMs);
      end();
      await proxy.stop();
    },
    kill: end,
  };
}

/** The memory of a rate limit that holds for all workers, if there is one. */
function ratesOf(options: ProxyOptions): CommonMemory | undefined {
  if (checkedRate(options) === undefined) return undefined;
  const memory = commonMemory(RATE_TABLE_BYTES);
  seedRates(memory.buffer);
  return memory;
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

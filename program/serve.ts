/**
 * A proxy with listeners in front of it: for its clients, and for its operator.
 *
 * @module
 */

import { checkedNumber, checkTls } from "../config/check.ts";
import type { ServeOptions } from "../config/options.ts";
import { listenersOf, ownFault } from "../config/read_backends.ts";
import { wordsOf } from "../config/fault.ts";
import { systemClock } from "../runtime/clock.ts";
import { stayAlive } from "../runtime/process.ts";
import type { Served } from "../proxy/guard.ts";
import { listen } from "../runtime/runtime.ts";
import {
  drain,
  type Drainable,
  type DrainOptions,
  Gate,
} from "../runtime/serve.ts";
import { Crew } from "../workers/crew.ts";
import { MOST_SHARED, tableBytes } from "../workers/table.ts";
import { tlsFault } from "../runtime/tls.ts";
import {
  commonMemory,
  isWorker,
  startWorker,
  tryPort,
  workersFault,
  workersOf,
} from "../runtime/workers.ts";
import { type AdminServer, serveAdmin } from "./admin.ts";
import { HOUR_MS } from "./checked.ts";
import { answering, type Inside, insides, type Proxy } from "./create.ts";
import { OwnHandler } from "./handler.ts";
import { functionsForWorkers } from "./hooks.ts";

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
  if (tls !== undefined) checkTls("serve", "tls", tls, tlsFault);
  if (options.fetch !== undefined && typeof options.fetch !== "function") {
    throw new TypeError("Cannot serve: fetch is not a function");
  }
  refuseOwn(proxy, options);
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
      admin = serveAdmin(proxy, inside, options.admin);
    }
  } catch (error) {
    front.kill();
    throw error;
  }
  inside.listeners.splice(0, Infinity, { host, port: front.port });
  if (admin !== undefined) {
    inside.listeners.push({
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

/** Refuses a backend that is one of the listeners. */
function refuseOwn({ pool }: Proxy, options: ServeOptions): void {
  const listeners = listenersOf(options);
  for (const { url } of pool) {
    const fault = ownFault(url, listeners);
    if (fault !== undefined) {
      throw new TypeError(`Cannot serve: backend "${url}" ${fault}`);
    }
  }
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
  { tls, fetch }: ServeOptions,
  { host, port }: { host: string; port: number },
): Front {
  const { forwarder } = inside;
  const served: Served = {
    scheme: tls === undefined ? "http" : "https",
    authority: undefined,
  };
  const own = fetch && new OwnHandler(fetch, served, () => inside.draining);
  const gate = new Gate(
    own === undefined
      ? (request, connection) => forwarder.handle(request, connection, served)
      : answering(own.handle, inside.log),
  );
  const listener = listen(gate.handle, {
    port,
    host,
    tls,
    shared: isWorker(),
    refusesLate: own !== undefined || inside.options.onError !== undefined,
    websocket: proxy.websocket,
    log: inside.log,
  });
  served.authority = `${
    host.includes(":") ? `[${host}]` : host
  }:${listener.port}`;
  const drainable: Drainable = {
    drain: inside.drain,
    get uploading() {
      return forwarder.uploading;
    },
    get started() {
      return own?.started ?? forwarder.started;
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

/** Has workers listen; this process probes, judges and tells them. */
function serveWorkers(
  proxy: Proxy,
  inside: Inside,
  options: ServeOptions,
  { host, port: wanted }: { host: string; port: number },
): Front {
  const { admin, workers, fetch: _handler, ...serve } = options;
  const given = inside.options;
  const odd = functionsForWorkers(given)[0] ??
    (options.fetch !== undefined
      ? "fetch"
      : proxy.pool.backends.some(({ answer }) => answer !== undefined)
      ? "backends"
      : undefined);
  if (odd !== undefined) {
    throw new RangeError(
      `Cannot serve: workers is ${workers}, and ${odd} holds a function, which cannot be handed to a worker`,
    );
  }
  // Only plain values: the rest is for this process.
  const {
    backends: _backends,
    log: _log,
    logAccess: _logAccess,
    lookup: _lookup,
    fetch: _fetch,
    clock: _clock,
    random: _random,
    // Probes are made here, perhaps by a function.
    health: _health,
    ...plain
  } = given;
  try {
    // Checked now: a worker gets them later, when no caller could be told.
    structuredClone(plain);
  } catch (error) {
    throw new TypeError(
      `Cannot serve: workers is ${workers}, and an option cannot be handed to a worker: ${
        wordsOf(error)
      }`,
    );
  }
  proxy.pool.limit(MOST_SHARED);
  const port = tryPort(host, wanted);
  const size = workersOf(workers);
  const memory = commonMemory(tableBytes(size));
  // All workers may be dead at one moment, and the next ones not there yet.
  const rest = stayAlive();
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
  inside.employ(crew);
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
    async drain({ delayMs, timeoutMs }) {
      inside.drain();
      await crew.stop(delayMs + timeoutMs);
      end();
      await proxy.stop();
    },
    kill: end,
  };
}

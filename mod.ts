/**
 * Sluice: a load-balancing reverse proxy in one `fetch` handler, for Deno and
 * Bun.
 *
 * ```ts
 * import { createProxy } from "./mod.ts";
 *
 * const proxy = createProxy({
 *   backends: ["http://127.0.0.1:3000", { url: "http://127.0.0.1:3001", weight: 3 }],
 *   health: { path: "/health", intervalMs: 5_000 },
 * });
 * // `Deno.serve(proxy.fetch)`, or `Bun.serve({ fetch: proxy.fetch })`.
 * await proxy.stop();
 * ```
 *
 * Run as a program it takes its settings from the environment and from flags;
 * imported it does nothing until a function is called.
 *
 * @module
 */

import { type BackendInit as PoolInit, policyOf, Pool } from "./balancer.ts";
import { holds, parseAddress, parseCidr } from "./config/address.ts";
import { parseBackend, parseBackendUrl } from "./config/backends.ts";
import { checkedNumber, checkedText } from "./config/check.ts";
import { readSettings } from "./config/config.ts";
import {
  addressList,
  path as pathGrammar,
  policy as policyGrammar,
  statusList,
} from "./config/grammar.ts";
import type {
  BackendInit,
  ProxyOptions,
  ServeOptions,
} from "./config/options.ts";
import { helpText } from "./config/settings.ts";
import { Ejector, type Probe, Prober } from "./health.ts";
import { type AddressMatcher, remembered } from "./proxy/addresses.ts";
import { Forwarder } from "./proxy/forward.ts";
import { RequestRules } from "./proxy/headers.ts";
import { InFlight } from "./proxy/in_flight.ts";
import { RetryBudget } from "./proxy/retry.ts";
import { type Clock, systemClock } from "./runtime/clock.ts";
import {
  args,
  env,
  envNames,
  exit,
  hushSignalRemark,
  liftBunLimit,
  onSignal,
  readText,
  surviveRejections,
  writeLine,
  writeText,
} from "./runtime/process.ts";
import { listen, transport as transportOf } from "./runtime/runtime.ts";
import { drain } from "./runtime/serve.ts";
import { customTransport } from "./runtime/custom.ts";

export type {
  AdminOptions,
  BackendFunction,
  BackendInit,
  BackendOptions,
  BackendTlsOptions,
  EjectOptions,
  HealthOptions,
  ProxyOptions,
  ServeOptions,
  TlsOptions,
} from "./config/options.ts";
export type {
  Backend,
  BackendInit as PoolBackendInit,
  Pool,
  PoolEvent,
} from "./balancer.ts";
export type { Clock, TimerHandle } from "./runtime/clock.ts";

/** Version of this module. */
export const VERSION = "0.1.0";

/** A day, past which no limit makes sense any more. */
const DAY_MS = 24 * 60 * 60 * 1000;
const HOUR_MS = 60 * 60 * 1000;

/** A proxy: a handler, and the pool behind it. */
export interface Proxy extends AsyncDisposable {
  /**
   * Answers a request by sending it on. Never rejects. May be called unbound,
   * so it can be handed to any server as it is.
   *
   * `connection` is what the runtime hands a handler (Deno's `info`, Bun's
   * `server`), or `{ clientAddress }`; without it no `X-Forwarded-For` is made.
   */
  readonly fetch: (
    request: Request,
    connection?: unknown,
  ) => Response | Promise<Response>;
  /** The backends, and what is known of each right now. */
  readonly pool: Pool;
  /** Resolves once every backend has been probed, or timed out. */
  readonly ready: Promise<void>;
  /** Ends probes and timers; may be called twice. What runs goes to its end. */
  stop(): Promise<void>;
}

/** What {@linkcode serve} needs besides, and users do not. */
interface Inside {
  forwarder: Forwarder;
  drain(): void;
}

const insides = new WeakMap<Proxy, Inside>();

/**
 * Makes a proxy. Its probes begin at once; nothing listens.
 *
 * @throws {TypeError | RangeError} If an option cannot be used; its name and
 * what is wanted stand in the message.
 */
export function createProxy(options: ProxyOptions): Proxy {
  const {
    hostHeader = "auto",
    via = true,
    requestId = false,
    random = Math.random,
    clock = systemClock,
    log = (line) => writeLine("err", `sluice: ${line}`),
  } = options;
  const retries = checkedNumber("retries", options.retries, {
    otherwise: 2,
    min: 0,
    max: 10,
  });
  const share = checkedNumber("retryBudget", options.retryBudget, {
    otherwise: 0.2,
    min: 0,
    max: 1,
    whole: false,
  });
  const timeoutMs = checkedNumber("timeoutMs", options.timeoutMs, {
    otherwise: 30_000,
    min: 1,
    max: DAY_MS,
  });
  const idleTimeoutMs = checkedNumber("idleTimeoutMs", options.idleTimeoutMs, {
    otherwise: Infinity,
    min: 1,
    max: DAY_MS,
  });
  const maxBodyBytes = checkedNumber("maxBodyBytes", options.maxBodyBytes, {
    otherwise: Infinity,
    min: 1,
    max: Number.MAX_SAFE_INTEGER,
  });
  const maxInFlight = checkedNumber("maxInFlight", options.maxInFlight, {
    otherwise: Infinity,
    min: 1,
    max: 1_000_000,
  });
  if (!["auto", "preserve", "backend"].includes(hostHeader)) {
    throw new TypeError(
      `Cannot make a proxy: hostHeader "${hostHeader}" is not "auto", "preserve" or "backend"`,
    );
  }
  const policy = checkedText(
    "policy",
    options.policy ?? "round_robin",
    policyGrammar.parse,
  );
  if (options.backends.length === 0) {
    throw new TypeError("Cannot make a proxy: backends is empty");
  }
  const pool = new Pool(options.backends.map(poolInit), policyOf(policy));
  const own = transportOf({
    tls: options.backendTls,
    userAgent: `sluice/${VERSION}`,
  });
  const transport = options.fetch === undefined
    ? own
    : customTransport(own, options.fetch);
  const ejector = ejectorOf(options, pool, clock, random, log);
  const prober = proberOf(
    options,
    pool,
    (backend, path, signal) => transport.probe(backend, path, signal),
    clock,
    random,
    log,
  );
  const inFlight = new InFlight(clock);
  let draining = false;
  const forwarder = new Forwarder({
    pool,
    transport,
    clock,
    rules: new RequestRules({
      trusts: matcherOf(options.trustedProxies),
      pseudonym: via ? `sluice-${crypto.randomUUID().slice(0, 8)}` : undefined,
      firstEncoding: transport.firstEncoding,
    }),
    inFlight,
    hostHeader,
    retries,
    budget: new RetryBudget(share),
    timeoutMs,
    idleTimeoutMs: idleTimeoutMs === Infinity ? undefined : idleTimeoutMs,
    maxBodyBytes,
    maxInFlight,
    resume: options.resume === true,
    exact: policy !== "round_robin" || maxInFlight !== Infinity ||
      idleTimeoutMs !== Infinity ||
      pool.backends.some((backend) => backend.maxConns !== Infinity),
    requestId,
    outcome: (backend, good, startedAt, reason) =>
      ejector?.outcome(backend, good, startedAt, reason),
    settled: undefined,
    keyOf: undefined,
    closing: () => draining,
    log,
  });
  const ready = prober?.start() ?? Promise.resolve();
  let stopped: Promise<void> | undefined;
  const stop = () =>
    stopped ??= (async () => {
      prober?.stop();
      ejector?.stop();
      inFlight.rest();
      await Promise.resolve();
      own.close();
    })();
  const proxy: Proxy = {
    fetch: (request, connection) => forwarder.handle(request, connection),
    pool,
    ready,
    stop,
    [Symbol.asyncDispose]: stop,
  };
  insides.set(proxy, { forwarder, drain: () => draining = true });
  return proxy;
}

/** A backend as the pool takes it, checked. */
function poolInit(init: BackendInit, index: number): PoolInit {
  const name = `backends[${index}]`;
  if (typeof init === "function") {
    // Functions have names of their own, which need not differ.
    return {
      url: `function:${init.name || "anonymous"}-${index}`,
      answer: init,
    };
  }
  const backend = typeof init === "string"
    ? checkedText(name, init, parseBackend)
    : init;
  return {
    url: checkedText(name, backend.url, parseBackendUrl),
    weight: checkedNumber(`${name}.weight`, backend.weight, {
      otherwise: 1,
      min: 0,
      max: 1000,
    }),
    backup: backend.backup,
    maxConns: checkedNumber(`${name}.maxConns`, backend.maxConns, {
      otherwise: Infinity,
      min: 1,
      max: 1_000_000,
    }),
  };
}

/** Whose forwarding fields are believed; none when nobody's are. */
function matcherOf(
  trusted: readonly string[] | undefined,
): AddressMatcher | undefined {
  if (trusted === undefined || trusted.length === 0) return undefined;
  const blocks = checkedText(
    "trustedProxies",
    trusted.join(","),
    addressList.parse,
  ).flatMap((entry) => NAMED_BLOCKS[entry] ?? [entry]).map((entry) =>
    parseCidr(entry)!
  );
  return remembered((address) => {
    const number = parseAddress(address);
    return number !== undefined &&
      blocks.some((block) => holds(block, number));
  });
}

/** Address blocks that have a name. */
const NAMED_BLOCKS: Readonly<Record<string, readonly string[]>> = {
  loopback: ["127.0.0.0/8", "::1"],
  // RFC 1918, RFC 4193, and link-local (RFC 3927, RFC 4291 §2.5.6).
  private: [
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "169.254.0.0/16",
    "fc00::/7",
    "fe80::/10",
  ],
};

function ejectorOf(
  { eject }: ProxyOptions,
  pool: Pool,
  clock: Clock,
  random: () => number,
  log: (line: string) => void,
): Ejector | undefined {
  if (eject === false) return undefined;
  return new Ejector(pool, {
    after: checkedNumber("eject.after", eject?.after, {
      otherwise: 3,
      min: 1,
      max: 1000,
    }),
    timeMs: checkedNumber("eject.timeMs", eject?.timeMs, {
      otherwise: 10_000,
      min: 1,
      max: 300_000,
    }),
    clock,
    random,
    log,
  });
}

function proberOf(
  { health }: ProxyOptions,
  pool: Pool,
  probe: Probe,
  clock: Clock,
  random: () => number,
  log: (line: string) => void,
): Prober | undefined {
  if (health === false) return undefined;
  const intervalMs = checkedNumber("health.intervalMs", health?.intervalMs, {
    otherwise: 5_000,
    min: 10,
    max: DAY_MS,
  });
  const timeoutMs = checkedNumber("health.timeoutMs", health?.timeoutMs, {
    otherwise: 2_000,
    min: 1,
    max: DAY_MS,
  });
  if (timeoutMs >= intervalMs) {
    throw new RangeError(
      `Cannot make a proxy: health.timeoutMs is ${timeoutMs}, not under health.intervalMs, which is ${intervalMs}`,
    );
  }
  const times = { min: 1, max: 100 };
  return new Prober(pool, {
    probe,
    path: checkedText(
      "health.path",
      health?.path ?? "/health",
      pathGrammar.parse,
    ),
    passes: statusMatcher(
      checkedText(
        "health.status",
        health?.status ?? "200-399",
        statusList.parse,
      ),
    ),
    lenient: health?.path === undefined,
    intervalMs,
    timeoutMs,
    rise: checkedNumber("health.rise", health?.rise, {
      otherwise: 2,
      ...times,
    }),
    fall: checkedNumber("health.fall", health?.fall, {
      otherwise: 3,
      ...times,
    }),
    clock,
    random,
    log,
  });
}

/** Says whether a status is in a checked list such as `200-399,404`. */
function statusMatcher(list: string): (status: number) => boolean {
  const ranges = list.split(",").map((item) => item.split("-").map(Number));
  return (status) =>
    ranges.some(([low = 0, high = low]) => low <= status && status <= high);
}

/** A proxy that is listened for. */
export interface Server extends AsyncDisposable {
  /** The port, also when a free one was taken. */
  readonly port: number;
  /** Where it listens, as a URL. */
  readonly url: string;
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
  const listener = listen(proxy.fetch, {
    port: checkedNumber("port", options.port, {
      otherwise: 8080,
      min: 0,
      max: 65535,
    }),
    host,
    tls,
    log: (line) => writeLine("err", `sluice: ${line}`),
  });
  const { forwarder } = inside;
  let stopping: Promise<void> | undefined;
  const { promise: finished, resolve } = Promise.withResolvers<void>();
  const stop = () =>
    stopping ??= drain(listener, {
      drain: inside.drain,
      get uploading() {
        return forwarder.uploading;
      },
      get started() {
        return forwarder.started;
      },
      stop: proxy.stop,
    }, drainOptions).then(resolve);
  const shown = host.includes(":") ? `[${host}]` : host;
  return {
    port: listener.port,
    url: `${tls === undefined ? "http" : "https"}://${shown}:${listener.port}`,
    stop,
    finished,
    [Symbol.asyncDispose]: stop,
  };
}

/** What the program writes to standard error. */
function say(line: string): void {
  writeLine("err", `sluice: ${line}`);
}

/** The program: settings in, a server up, signals obeyed. */
async function main(): Promise<void> {
  const config = readSettings(args(), env, envNames(), readText);
  if (config.kind === "faults") {
    for (const fault of config.faults) writeLine("err", fault);
    return exit(2);
  }
  if (!("proxy" in config)) {
    const help = config.kind === "help";
    writeText("out", help ? helpText(VERSION) : `sluice ${VERSION}\n`);
    return exit(0);
  }
  liftBunLimit(say);
  surviveRejections(say);
  hushSignalRemark();
  const proxy = createProxy(config.proxy);
  let server: Server | undefined;
  let signals = 0;
  const end = () => {
    if (++signals > 1) exit(1);
    say("draining; a second signal ends it at once");
    (server?.stop() ?? proxy.stop()).then(() => exit(0));
  };
  onSignal("SIGTERM", end);
  onSignal("SIGINT", end);
  onSignal("SIGHUP", () => {
    say("SIGHUP changes nothing: the backends come from BACKENDS");
  });
  await proxy.ready;
  if (signals > 0) return;
  try {
    server = serve(proxy, config.serve);
  } catch (error) {
    say(`cannot listen: ${error instanceof Error ? error.message : error}`);
    exit(1);
  }
  const count = proxy.pool.size;
  writeLine(
    "err",
    `sluice ${VERSION} listening on ${server.url} ` +
      `(${count} ${count === 1 ? "backend" : "backends"})`,
  );
}

if (import.meta.main) await main();

/**
 * Joins the parts of a proxy: options in, a handler and its pool out.
 *
 * @module
 */

import {
  Backend,
  type Given,
  policyOf,
  Pool,
  type Shared,
} from "../balancer.ts";
import { holds, parseAddress, parseCidr } from "../config/address.ts";
import { parseBackend, parseBackendUrl } from "../config/backends.ts";
import { checkedNumber, checkedText } from "../config/check.ts";
import {
  addressList,
  path as pathGrammar,
  policy as policyGrammar,
  statusList,
} from "../config/grammar.ts";
import type {
  BackendInit,
  BackendOptions,
  ProxyOptions,
} from "../config/options.ts";
import {
  Ejector,
  type Probe,
  Prober,
  type ProbeReport,
  type ProberOptions,
} from "../health.ts";
import { explainer } from "../observe/explain.ts";
import { accessLine } from "../observe/log.ts";
import { Metrics, sum } from "../observe/metrics.ts";
import { ProbeHistory } from "../observe/probes.ts";
import { prometheusText } from "../observe/prometheus.ts";
import { type AddressMatcher, remembered } from "../proxy/addresses.ts";
import { Forwarder, type ForwarderOptions } from "../proxy/forward.ts";
import { RequestRules } from "../proxy/headers.ts";
import { InFlight } from "../proxy/in_flight.ts";
import { keyOf } from "../proxy/keys.ts";
import type { SharedRates } from "../proxy/rate_limit.ts";
import { RetryBudget } from "../proxy/retry.ts";
import { SlowStart } from "../proxy/slow_start.ts";
import { Sticky } from "../proxy/sticky.ts";
import { type Clock, systemClock } from "../runtime/clock.ts";
import { plainLine, processFacts } from "../runtime/process.ts";
import { LineWriter, standard } from "../runtime/lines.ts";
import { apart, type Entry, Membership } from "../runtime/membership.ts";
import { Resolver, systemLookup } from "../runtime/resolve.ts";
import {
  sendsServerName,
  transport as transportOf,
} from "../runtime/runtime.ts";
import { customTransport } from "../runtime/custom.ts";
import type { DrainOptions } from "../runtime/serve.ts";
import type { Crew } from "../workers/crew.ts";
import { admissionOf } from "./admission.ts";
import { VERSION } from "./version.ts";
import {
  bunWebSocket,
  type BunWebSocketHandlers,
} from "../runtime/websocket_bun.ts";

/** A day, past which no limit makes sense any more. */
const DAY_MS = 24 * 60 * 60 * 1000;
export const HOUR_MS = 60 * 60 * 1000;

/** Milliseconds that the log has at most to be written at the end. */
const FLUSH_MS = 1_000;

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
  /**
   * For whoever calls `Bun.serve` with {@linkcode Proxy.fetch}: without it Bun
   * upgrades no connection. Of no use on Deno, and none needed there.
   */
  readonly websocket: BunWebSocketHandlers;
  /** The backends, and what is known of each right now. */
  readonly pool: Pool;
  /** Resolves once every backend has been probed, or timed out. */
  readonly ready: Promise<void>;
  /**
   * The metrics in Prometheus' text format. Counting begins with the first call,
   * or with an admin port: call it once at the start.
   */
  metrics(): string;
  /** Ends probes and timers; may be called twice. What runs goes to its end. */
  stop(): Promise<void>;
}

/** What {@linkcode serve} needs besides, and users do not. */
export interface Inside {
  forwarder: Forwarder;
  members: Membership;
  drain(): void;
  readonly draining: boolean;
  /** Begins to count, and to remember probes. */
  observe(): { metrics: Metrics; probes: ProbeHistory };
  report: (backend: Backend) => ProbeReport | undefined;
  /** Judges what a worker has heard of a backend. */
  judge(backend: Backend, good: boolean, agoMs: number, reason: string): void;
  /** Whether a backend's last outcome was a bad one. */
  suspects(backend: Backend): boolean;
  /** The workers that answer in its place, once there are some. */
  crew: Crew | undefined;
  /** Waits for the other workers on the way out, in one of them. */
  together: DrainOptions["together"];
  /** What it was made from. */
  options: ProxyOptions;
  pseudonym: string | undefined;
  logAccess: (line: string) => void;
  policy: string;
  trusts: AddressMatcher | undefined;
  log: (line: string) => void;
}

/** What is otherwise when a proxy is one of several workers. */
export interface AsWorker {
  /** How many there are. */
  of: number;
  /** Where all requests are counted. */
  all: Shared;
  /** The rate limit's buckets, which all have in common, if there are any. */
  rates: SharedRates | undefined;
  /** Name in `Via`, which all have in common. */
  pseudonym: string | undefined;
  /** Puts the backends into an empty pool. */
  fill(pool: Pool): void;
  /** Whether any backend has a limit, which others have a part in. */
  readonly limited: boolean;
  /** Takes each outcome, which is not judged here. */
  outcome: ForwarderOptions["outcome"];
}

/** What belongs to each proxy. */
export const insides = new WeakMap<Proxy, Inside>();

/**
 * Makes a proxy. Its probes begin at once; nothing listens.
 *
 * @throws {TypeError | RangeError} If an option cannot be used; its name and
 * what is wanted stand in the message.
 */
export function createProxy(options: ProxyOptions): Proxy {
  return assemble(options, undefined);
}

/** Makes a proxy, or a worker's part of one. */
export function assemble(
  options: ProxyOptions,
  worker: AsWorker | undefined,
): Proxy {
  const {
    hostHeader = "auto",
    via = true,
    requestId = false,
    random = Math.random,
    clock = systemClock,
    stickySecret,
    accessLog = false,
  } = options;
  const errors = new LineWriter(standard("err"), { clock: systemClock });
  const log = options.log ??
    ((line) => errors.line(plainLine(`sluice: ${line}`)));
  const lines = new LineWriter(standard("out"), {
    clock: systemClock,
    onLoss: () => log("lines of the access log are lost: nobody reads them"),
  });
  const logAccess = options.logAccess ?? ((line) => lines.line(line));
  const logFormat = {
    format: accessLog || "json",
    query: options.logQuery ?? true,
  } as const;
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
    otherwise: 60_000,
    min: 1,
    max: DAY_MS,
  });
  const connectTimeoutMs = checkedNumber(
    "connectTimeoutMs",
    options.connectTimeoutMs,
    { otherwise: 3_000, min: 1, max: HOUR_MS },
  );
  const clientTimeoutMs = options.clientTimeoutMs === false
    ? Infinity
    : checkedNumber("clientTimeoutMs", options.clientTimeoutMs, {
      otherwise: 60_000,
      min: 1,
      max: DAY_MS,
    });
  const maxMessageBytes = checkedNumber(
    "maxMessageBytes",
    options.maxMessageBytes,
    { otherwise: 16 * 1024 * 1024, min: 1024, max: 64 * 1024 * 1024 },
  );
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
  if (stickySecret !== undefined && stickySecret.length < 16) {
    throw new TypeError(
      "Cannot make a proxy: stickySecret has fewer than 16 characters",
    );
  }
  if (options.backends.length === 0 && worker === undefined) {
    throw new TypeError("Cannot make a proxy: backends is empty");
  }
  const slowStartMs = checkedNumber("slowStartMs", options.slowStartMs, {
    otherwise: 0,
    min: 1,
    max: HOUR_MS,
  });
  const { fixed, named } = apart(
    options.backends.map((init, index) =>
      entryOf(init, `backends[${index}]`, index)
    ),
  );
  let given = options.backends.length;
  const picks = policyOf(policy, { random, now: () => clock.now() });
  const pool = new Pool(fixed, picks, {
    read: (init) => entryToAdd(init, given++),
    random,
  });
  worker?.fill(pool);
  const own = transportOf({
    tls: options.backendTls,
    userAgent: `sluice/${VERSION}`,
    backends: () => pool.backends.filter((b) => b.answer === undefined).length,
  });
  const transport = options.fetch === undefined
    ? own
    : customTransport(own, options.fetch);
  const ejector = ejectorOf(options, pool, clock, random, log);
  const prober = proberOf(
    options,
    pool,
    (backend, path, signal) => transport.probe(backend, path, signal),
    (backend, passed, report) => probes?.add(backend, passed, report),
    clock,
    random,
    log,
  );
  const inFlight = new InFlight(clock, worker?.all);
  const budget = new RetryBudget(share, worker?.of);
  const pseudonym = worker !== undefined
    ? worker.pseudonym
    : via
    ? `sluice-${crypto.randomUUID().slice(0, 8)}`
    : undefined;
  const trusts = matcherOf(options.trustedProxies);
  const rules = new RequestRules({ trusts, pseudonym });
  const admission = admissionOf(options, {
    pool,
    clientAddress: (headers, peer) => rules.clientAddress(headers, peer),
    log,
    worker,
  });
  const { maxInFlight, room, rates } = admission;
  let draining = false;
  let metrics: Metrics | undefined;
  let probes: ProbeHistory | undefined;
  const forwarder = new Forwarder({
    pool,
    transport,
    clock,
    rules,
    inFlight,
    hostHeader,
    retries,
    budget,
    timeoutMs,
    connectTimeoutMs,
    clientTimeoutMs,
    maxMessageBytes,
    idleTimeoutMs,
    maxBodyBytes,
    maxInFlight,
    room,
    rates,
    resume: options.resume === true,
    exact: accessLog !== false || picks.needs !== undefined ||
      maxInFlight !== Infinity || idleTimeoutMs !== Infinity,
    timed: picks.needs === "latency",
    // Looked up where it can matter: by policies that go by load, and where a
    // backend may have no more than so many.
    refresh: worker && (() => {
      if (picks.needs === undefined && !worker.limited) return;
      for (const backend of pool.backends) backend.refresh();
    }),
    requestId,
    trace: options.trace === true,
    outcome: (backend, good, startedAt, reason) => {
      metrics?.outcome(backend, good);
      ejector?.outcome(backend, good, startedAt, reason);
      worker?.outcome(backend, good, startedAt, reason);
    },
    settled: accessLog === false
      ? undefined
      : (settled) => logAccess(accessLine(settled, Date.now(), logFormat)),
    keyOf: keyOf(policy),
    sticky: policy.startsWith("sticky:")
      ? new Sticky(pool, policy.slice("sticky:".length), stickySecret)
      : undefined,
    closing: () => draining,
    log,
  });
  if (trusts !== undefined) {
    forwarder.explainer = explainer({ pool, policy, trusts, knows: undefined });
  }
  const observe = () => {
    probes ??= new ProbeHistory(pool);
    metrics ??= forwarder.meter = new Metrics(pool, {
      inFlight: () => inFlight.size,
      webSocketsOpen: () => forwarder.bridged,
      retriesRefused: () => budget.refused,
      linesLost: () => lines.dropped,
      admission: () => ({
        refusedFull: forwarder.refusedFull,
        ...admission.figures(inside.crew === undefined),
      }),
    });
    return { metrics, probes };
  };
  const report = (backend: Backend) => prober?.report(backend);
  const resolver = new Resolver(pool, {
    lookup: options.lookup ?? systemLookup,
    settled: () => prober?.settled() ?? Promise.resolve(),
    clock,
    log,
  });
  const members = new Membership(
    pool,
    resolver,
    () => prober?.settled() ?? Promise.resolve(),
  );
  let slowStart: SlowStart | undefined;
  let stopped: Promise<void> | undefined;
  // Who is there at the start is not new: neither unproved nor slow to start.
  const start = () => {
    if (stopped !== undefined) return Promise.resolve();
    if (slowStartMs > 0) slowStart = new SlowStart(pool, slowStartMs, clock);
    return prober?.start() ?? Promise.resolve();
  };
  const ready = named.length === 0
    ? start()
    : resolver.follow(named).then(start);
  const stop = () =>
    stopped ??= (async () => {
      resolver.stop();
      slowStart?.stop();
      prober?.stop();
      ejector?.stop();
      inFlight.rest();
      await Promise.resolve();
      own.close();
      metrics?.stop();
      probes?.stop();
      await Promise.all([lines.flush(FLUSH_MS), errors.flush(FLUSH_MS)]);
    })();
  const proxy: Proxy = {
    fetch: (request, connection) => forwarder.handle(request, connection),
    websocket: bunWebSocket,
    pool,
    ready,
    metrics: () => {
      const { metrics } = observe();
      const { crew } = inside;
      crew?.count();
      const counted = [metrics.snapshot(), ...crew?.known() ?? []];
      return prometheusText(sum(counted), {
        backends: pool,
        report,
        draining,
        version: VERSION,
        process: processFacts(),
      });
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
  const inside: Inside = {
    forwarder,
    members,
    drain: () => draining = true,
    get draining() {
      return draining;
    },
    observe,
    report,
    policy,
    trusts,
    log,
    judge: (backend, good, agoMs, reason) =>
      ejector?.outcome(backend, good, clock.now() - agoMs, reason),
    suspects: (backend) => ejector?.suspects(backend) === true,
    crew: undefined,
    together: undefined,
    options,
    pseudonym,
    logAccess,
  };
  insides.set(proxy, inside);
  return proxy;
}

/** A backend that is added to the pool, checked. */
function entryToAdd(given: Given, index: number): Entry {
  if (typeof given === "object" && given.answer !== undefined) return given;
  const { resolve, ...entry } = entryOf(given, "backend", index);
  if (resolve === true) {
    throw new TypeError(
      "Cannot add a backend: resolve is for the list that a proxy starts with",
    );
  }
  return typeof given === "object" && given.authority !== undefined
    ? { ...entry, authority: given.authority }
    : entry;
}

/** A backend of the list, checked. */
export function entryOf(init: BackendInit, name: string, index: number): Entry {
  const backend = typeof init === "string"
    ? checkedText(name, init, parseBackend)
    : typeof init === "function"
    ? { answer: init }
    : init;
  const share = {
    weight: checkedNumber(`${name}.weight`, backend.weight, {
      otherwise: 1,
      min: 0,
      max: 1000,
    }),
    backup: backend.backup,
    // What was checked once says Infinity for no limit.
    maxConns: backend.maxConns === Infinity
      ? Infinity
      : checkedNumber(`${name}.maxConns`, backend.maxConns, {
        otherwise: Infinity,
        min: 1,
        max: 1_000_000,
      }),
  };
  if ("answer" in backend && backend.answer !== undefined) {
    const { answer } = backend;
    // Functions have names of their own, which need not differ.
    const called = backend.name ?? (answer.name || "anonymous");
    return { ...share, url: `function:${called}-${index}`, answer };
  }
  const { url: written, resolve: again } = backend as BackendOptions;
  const url = checkedText(name, written, parseBackendUrl);
  const resolve = again === true;
  if (resolve && !("value" in parseBackend(`${url} resolve`))) {
    throw new TypeError(
      `Cannot make a proxy: ${name} "${url}" has resolve without a name to look up`,
    );
  }
  const fault = resolveFault(url, resolve);
  if (fault !== undefined) {
    throw new TypeError(`Cannot make a proxy: ${name} ${fault}`);
  }
  return { ...share, resolve, url };
}

/** What keeps this runtime from looking a backend's name up, if anything does. */
export function resolveFault(
  url: string,
  resolve: boolean | undefined,
): string | undefined {
  return resolve === true && url.startsWith("https:") && !sendsServerName
    ? `"${url}" has resolve, but Deno's fetch cannot ask an address for the ` +
      "certificate of a name: leave resolve out, or use Bun"
    : undefined;
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
  probed: NonNullable<ProberOptions["probed"]>,
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
    probed,
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
export function statusMatcher(list: string): (status: number) => boolean {
  const ranges = list.split(",").map((item) => item.split("-").map(Number));
  return (status) =>
    ranges.some(([low = 0, high = low]) => low <= status && status <= high);
}

/**
 * A proxy's parts, connected: shared by its handler, its servers, its admin
 * port and its workers.
 *
 * @module
 */

import {
  type Backend,
  type BackendInit,
  type NotedPolicy,
  ownPolicy,
  policyOf,
  Pool,
  type SharedCounts,
} from "../balancer.ts";
import { messageOf } from "../base/text.ts";
import { parseAddress } from "../config/address.ts";
import type { CertificateFacts } from "../config/certificate.ts";
import { checkTls } from "../config/check.ts";
import type { Listener } from "../config/listener.ts";
import type { ProxyOptions } from "../config/options.ts";
import { ownFault } from "../config/read_backends.ts";
import { accessLine } from "../observe/log.ts";
import { Metrics, sum } from "../observe/metrics.ts";
import { ProbeHistory } from "../observe/probes.ts";
import { prometheusText } from "../observe/prometheus.ts";
import type { ForwarderOptions } from "../proxy/context.ts";
import { Forwarder } from "../proxy/forward.ts";
import { RequestRules } from "../proxy/headers.ts";
import { InFlight } from "../proxy/in_flight.ts";
import { keyOf } from "../proxy/keys.ts";
import type { SharedRates } from "../proxy/rate_limit.ts";
import type { Settled } from "../proxy/observed.ts";
import { RetryBudget } from "../proxy/retry.ts";
import { Sticky } from "../proxy/sticky.ts";
import type { Transport } from "../proxy/transport.ts";
import {
  bunWebSocket,
  type BunWebSocketHandlers,
} from "../runtime/bun/websocket.ts";
import { splitByResolve } from "../discovery/membership.ts";
import { processFacts } from "../runtime/process.ts";
import { server, transportFor } from "../runtime/runtime.ts";
import type { DrainOptions } from "../runtime/serve.ts";
import { tlsFault } from "../runtime/tls.ts";
import type { Crew } from "../workers/crew.ts";
import { type Admission, admissionOf } from "./admission.ts";
import { type Callbacks, callbacksOf } from "./callbacks.ts";
import { type Checked, checkedOptions, matcherOf } from "./checked.ts";
import { entryOf, entryToAdd, resolveFault } from "./entries.ts";
import { logOnce } from "./guarded.ts";
import { checkedHealth, Judges } from "./health.ts";
import { hooksOf, settledBy } from "./hooks.ts";
import { type Life, lifeOf } from "./life.ts";
import { VERSION } from "./version.ts";

/** What differs if a proxy is one of several workers. */
export interface AsWorker {
  /** Number of workers. */
  of: number;
  /** Counts of all requests. */
  all: SharedCounts;
  /** The shared buckets of the rate limit, if there is one. */
  rates: SharedRates | undefined;
  /** The shared name in `Via`. */
  pseudonym: string | undefined;
  /** Adds the backends to an empty pool. */
  fill(pool: Pool): void;
  /** Whether any backend has a connection limit, which workers share. */
  readonly limited: boolean;
  /** Takes each outcome, for the first process to judge. */
  outcome: ForwarderOptions["outcome"];
}

/** The parts of a proxy or of a worker. */
export class Core {
  /** The checked scalar options. */
  readonly checked: Checked;
  readonly callbacks: Callbacks;
  readonly pool: Pool;
  readonly forwarder: Forwarder;
  readonly judges: Judges;
  readonly life: Life;
  /** Its limits. */
  readonly admission: Admission;
  /** Handlers for `Bun.serve`. */
  readonly websocket: BunWebSocketHandlers;
  /** Its listeners, which must not be backends; set by the server. */
  readonly listeners: Listener[] = [];
  /** Whether workers answer in its place. */
  hasWorkers = false;
  /** Whether responses close their connections, and readiness fails. */
  draining = false;
  /** Facts about the current server certificate, if there is one. */
  certificate: CertificateFacts | undefined;
  /** In a worker: waits for the other workers during shutdown. */
  barrier: DrainOptions["barrier"];
  readonly #pseudonym: (() => string) | undefined;
  readonly #transport: Transport;
  readonly #inFlight: InFlight;
  readonly #budget: RetryBudget;
  #crew: Crew | undefined;
  /** `undefined` until figures are needed. */
  #metrics: Metrics | undefined;
  /** History of probes; `undefined` until it is needed. */
  #probes: ProbeHistory | undefined;

  /** Connects the parts. Probes start at once; nothing listens. */
  constructor(
    /** The options of the proxy. */
    readonly options: ProxyOptions,
    worker: AsWorker | undefined,
  ) {
    const checked = this.checked = checkedOptions(options);
    const callbacks = this.callbacks = callbacksOf(options);
    const health = checkedHealth(options);
    this.#pseudonym = pseudonymOf(checked, worker);
    const rules = rulesOf(options, this.#pseudonym);
    const { clock, random } = callbacks;
    const hooks = hooksOf(options, checked.policy, callbacks.log);
    const policy = typeof options.policy === "function"
      ? ownPolicy(options.policy, logOnce("policy", callbacks.log))
      : policyOf(checked.policy, { random, now: () => clock.now() });
    const { pool, named } = poolOf(this, worker, policy);
    const transport = this.#transport = transportOf(this, pool);
    this.pool = pool;
    this.judges = new Judges(pool, health, callbacks, {
      probe: (backend, path, signal, options) =>
        transport.probe(backend, path, signal, options),
      probed: (backend, passed, report) =>
        this.#probes?.add(backend, passed, report),
    });
    const apart = callbacks.due !== undefined;
    this.#inFlight = new InFlight(clock, worker?.all, apart);
    this.#budget = new RetryBudget(checked.retryBudget, worker?.of);
    this.websocket = bunWebSocket(checked.maxMessageBytes);
    this.admission = admissionOf(checked, {
      pool,
      clientAddress: (headers, peer) => rules.clientAddress(headers, peer),
      log: callbacks.log,
      worker,
    });
    this.forwarder = new Forwarder({
      ...forwarding(this, policy, worker),
      hooks,
      transport,
      rules,
      inFlight: this.#inFlight,
      budget: this.#budget,
    });
    this.life = lifeOf({
      named,
      pool,
      slowStartMs: checked.slowStartMs,
      refuses: (url) => ownFault(url, this.listeners),
      judges: this.judges,
      callbacks,
      stopped: () => {
        this.#inFlight.stopIfIdle();
        transport.close();
        this.#metrics?.stop();
        this.#probes?.stop();
      },
    });
  }

  /** Its name in `Via`, if it sends one. */
  get pseudonym(): string | undefined {
    return this.#pseudonym?.();
  }

  /** The workers that answer in its place, if there are any. */
  get crew(): Crew | undefined {
    return this.#crew;
  }

  /** Lets workers answer in its place from now on, and shares their counts. */
  useWorkers(crew: Crew): void {
    this.#crew = crew;
    this.#inFlight.countWith(crew.all);
    if (this.#metrics !== undefined) crew.count();
  }

  /** Starts to keep figures and the history of probes, once. */
  observe(): { metrics: Metrics; probes: ProbeHistory } {
    const transport = this.#transport;
    const probes = this.#probes ??= new ProbeHistory(this.pool);
    if (this.#metrics === undefined) {
      this.#metrics = this.forwarder.meter = new Metrics(this.pool, {
        inFlight: () => this.#inFlight.size,
        webSocketsOpen: () => this.forwarder.bridged,
        retriesRefused: () => this.#budget.refused,
        linesLost: this.callbacks.linesLost,
        connections: transport.connections?.bind(transport),
        admission: () => ({
          refusedFull: this.forwarder.refusedFull,
          ...this.admission.figures(this.#crew === undefined),
        }),
      });
      this.#crew?.count();
    }
    return { metrics: this.#metrics, probes };
  }

  /** The metrics in Prometheus' text format, counted since the first call. */
  metricsText(): string {
    const { metrics } = this.observe();
    const counted = [metrics.snapshot(), ...this.#crew?.latest() ?? []];
    return prometheusText(sum(counted), {
      backends: this.pool,
      report: this.judges.report,
      draining: this.draining,
      certificate: this.certificate,
      version: VERSION,
      process: processFacts(),
    });
  }

  /** Records an outcome of an attempt in this process. */
  outcome(
    backend: Backend,
    good: boolean,
    startedAt: number,
    reason: string,
  ): void {
    this.#metrics?.outcome(backend, good);
    this.judges.outcome(backend, good, startedAt, reason);
    this.#crew?.judged(backend);
  }
}

/** The pool, and the entries whose names must be looked up. */
function poolOf(
  core: Core,
  worker: AsWorker | undefined,
  policy: NotedPolicy,
): { pool: Pool; named: BackendInit[] } {
  const { backends } = core.options;
  const { random, log } = core.callbacks;
  if (backends.length === 0 && worker === undefined) {
    throw new TypeError(
      "Cannot make a proxy: backends is empty: list at least one",
    );
  }
  const { fixed, named } = splitByResolve(
    backends.map((init, index) => {
      const name = `backends[${index}]`;
      const entry = entryOf(init, name, index);
      const { fetch, transport } = core.options;
      const fault = resolveFault(entry, fetch ?? transport);
      if (fault === undefined) return entry;
      throw new TypeError(`Cannot make a proxy: ${name} ${fault}`);
    }),
  );
  const checked: ReadonlySet<unknown> = new Set(fixed);
  let added = backends.length;
  const pool = new Pool(fixed, policy, {
    read(init) {
      // In a worker, the first process has checked it.
      if (checked.has(init) || worker !== undefined) return init as BackendInit;
      const entry = entryToAdd(init, added++);
      const own = ownFault(entry.url, core.listeners);
      if (own !== undefined) {
        throw new TypeError(`Cannot add a backend: "${entry.url}" ${own}`);
      }
      if (entry.answer !== undefined && core.hasWorkers) {
        throw new TypeError(
          "Cannot add a backend: a function cannot be handed to a worker",
        );
      }
      return entry;
    },
    random,
    failed: (error) =>
      log(`a listener of the pool has failed: ${messageOf(error)}`),
  });
  worker?.fill(pool);
  return { pool, named };
}

/** The transport of the options. */
function transportOf(
  { options, checked, callbacks }: Core,
  pool: Pool,
): Transport {
  if (options.backendTls !== undefined) {
    checkTls("make a proxy", "backendTls", options.backendTls, tlsFault);
  }
  const transport = transportFor(options.fetch ?? checked.transport, {
    tls: options.backendTls,
    userAgent: `sluice/${VERSION}`,
    backends: () => pool.backends.filter((b) => b.answer === undefined).length,
    connectTimeoutMs: checked.connectTimeoutMs,
    clock: callbacks.clock,
    secure: pool.backends.some(({ origin }) => origin.startsWith("https:")),
  });
  transport.warm?.();
  pool.subscribe(({ type, backend }) => {
    if (type === "removed" && backend !== undefined) {
      transport.forget?.(backend);
    }
  });
  return transport;
}

/**
 * The name in `Via`, if any. Drawn at its first use: some platforms have no random
 * numbers before the first request.
 */
function pseudonymOf(
  { via }: Checked,
  worker: AsWorker | undefined,
): (() => string) | undefined {
  if (worker !== undefined) {
    const { pseudonym } = worker;
    return pseudonym === undefined ? undefined : () => pseudonym;
  }
  if (!via) return undefined;
  let drawn: string | undefined;
  return () => drawn ??= `sluice-${crypto.randomUUID().slice(0, 8)}`;
}

/** The rules for rewriting requests; throws if an address list is invalid. */
function rulesOf(
  { trustedProxies }: ProxyOptions,
  pseudonym: (() => string) | undefined,
): RequestRules {
  return new RequestRules({
    trusts: matcherOf(trustedProxies),
    isAddress: (text) => parseAddress(text) !== undefined,
    pseudonym,
  });
}

/** Options of the forwarder, except the parts made in the constructor. */
function forwarding(
  core: Core,
  { needs }: NotedPolicy,
  worker: AsWorker | undefined,
): Omit<
  ForwarderOptions,
  "hooks" | "transport" | "rules" | "inFlight" | "budget"
> {
  const { checked, callbacks, options, pool } = core;
  const { clock, log, logAccess } = callbacks;
  const { accessLog, logQuery, idleTimeoutMs, policy } = checked;
  const { maxInFlight, room, rates } = core.admission;
  const format = { format: accessLog || "json", query: logQuery } as const;
  const line = accessLog === false
    ? undefined
    : (settled: Settled) => logAccess(accessLine(settled, Date.now(), format));
  const settled = settledBy(options, line, { logQuery, log });
  return {
    ...checked,
    maxInFlight,
    room,
    rates,
    pool,
    server,
    clock,
    log,
    exact: settled !== undefined || needs !== undefined ||
      maxInFlight !== Infinity || idleTimeoutMs !== Infinity,
    timed: needs === "latency",
    outcome: (backend, good, startedAt, reason) => {
      core.outcome(backend, good, startedAt, reason);
      worker?.outcome(backend, good, startedAt, reason);
    },
    // Only if it matters: for policies that compare load, and for backends with
    // a connection limit.
    refresh: worker && (() => {
      if (needs === undefined && !worker.limited) return;
      for (const backend of pool.backends) backend.refresh();
    }),
    settled,
    keyOf: options.key === undefined ? keyOf(policy) : undefined,
    sticky: policy.startsWith("sticky:")
      ? new Sticky(pool, policy.slice("sticky:".length), options.stickySecret)
      : undefined,
    closing: () => core.draining,
  };
}

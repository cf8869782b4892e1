/**
 * A proxy's parts, joined: what its handler, its servers, its admin port and its
 * workers share.
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
import type { ProbeReport } from "../health.ts";
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
import { toldOnce } from "./guarded.ts";
import { checkedHealth, Judges } from "./health.ts";
import { hooksOf, settledBy } from "./hooks.ts";
import { type Life, lifeOf } from "./life.ts";
import { VERSION } from "./version.ts";

/** What is otherwise when a proxy is one of several workers. */
export interface AsWorker {
  /** How many there are. */
  of: number;
  /** Where all requests are counted. */
  all: SharedCounts;
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

/** A proxy's parts, or those of a worker's part of one. */
export class Core {
  readonly pool: Pool;
  readonly forwarder: Forwarder;
  readonly judges: Judges;
  readonly life: Life;
  /** What it admits. */
  readonly admission: Admission;
  /** For `Bun.serve`. */
  readonly websocket: BunWebSocketHandlers;
  /** Name in `Via`, if there is one. */
  readonly pseudonym: string | undefined;
  /** Where it listens, which no backend may be; the server fills it. */
  readonly listeners: Listener[] = [];
  /** Whether workers answer in its place. */
  hasWorkers = false;
  /** Whether answers end their connections, and readiness says no. */
  draining = false;
  /** What the certificate says that new connections are shown, if any are. */
  certificate: CertificateFacts | undefined;
  /** Waits for the other workers on the way out, in one of them. */
  together: DrainOptions["together"];
  readonly #transport: Transport;
  readonly #inFlight: InFlight;
  readonly #budget: RetryBudget;
  #crew: Crew | undefined;
  /** Counts; none until figures are wanted. */
  #metrics: Metrics | undefined;
  /** Remembers probes; nothing until that is wanted. */
  #probes: ProbeHistory | undefined;

  /** Makes the parts; probes begin at once, nothing listens. */
  constructor(
    /** What the proxy was made from. */
    readonly options: ProxyOptions,
    worker: AsWorker | undefined,
    /** The options that are settings. */
    readonly checked: Checked = checkedOptions(options),
    /** What it tells and goes by. */
    readonly callbacks: Callbacks = callbacksOf(options),
  ) {
    const health = checkedHealth(options);
    this.pseudonym = pseudonymOf(checked, worker);
    const rules = rulesOf(options, this.pseudonym);
    const { clock, random } = callbacks;
    const hooks = hooksOf(options, checked.policy, callbacks.log);
    const policy = typeof options.policy === "function"
      ? ownPolicy(options.policy, toldOnce("policy", callbacks.log))
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
    this.#inFlight = new InFlight(clock, worker?.all);
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
        this.#inFlight.rest();
        transport.close();
        this.#metrics?.stop();
        this.#probes?.stop();
      },
    });
  }

  /** The workers that answer in its place, once there are some. */
  get crew(): Crew | undefined {
    return this.#crew;
  }

  /** From now on these workers answer in its place, and count with it. */
  employ(crew: Crew): void {
    this.#crew = crew;
    this.#inFlight.countWith(crew.all);
    if (this.#metrics !== undefined) crew.count();
  }

  /** Begins to count, and to remember probes. */
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

  /** The metrics in Prometheus' text format, counted from the first call on. */
  metricsText(): string {
    const { metrics } = this.observe();
    const counted = [metrics.snapshot(), ...this.#crew?.known() ?? []];
    return prometheusText(sum(counted), {
      backends: this.pool,
      report: this.report,
      draining: this.draining,
      certificate: this.certificate,
      version: VERSION,
      process: processFacts(),
    });
  }

  /** What is known of a backend's probes. */
  readonly report = (backend: Backend): ProbeReport | undefined =>
    this.judges.report(backend);

  /** Takes an outcome of an attempt in this process. */
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

/** The pool, and those of the list that are names to look up. */
function poolOf(
  core: Core,
  worker: AsWorker | undefined,
  policy: NotedPolicy,
): { pool: Pool; named: BackendInit[] } {
  const { backends } = core.options;
  const { random, log } = core.callbacks;
  if (backends.length === 0 && worker === undefined) {
    throw new TypeError("Cannot make a proxy: backends is empty");
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
      // What the first process says is right: a worker knows no better.
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

/** How requests get to backends. */
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
  });
  transport.warm?.();
  pool.subscribe(({ type, backend }) => {
    if (type === "removed" && backend !== undefined) {
      transport.forget?.(backend);
    }
  });
  return transport;
}

/** Name in `Via`, if there is one. */
function pseudonymOf(
  { via }: Checked,
  worker: AsWorker | undefined,
): string | undefined {
  if (worker !== undefined) return worker.pseudonym;
  return via ? `sluice-${crypto.randomUUID().slice(0, 8)}` : undefined;
}

/** How requests are rewritten; a list that cannot be read throws here. */
function rulesOf(
  { trustedProxies }: ProxyOptions,
  pseudonym: string | undefined,
): RequestRules {
  return new RequestRules({
    trusts: matcherOf(trustedProxies),
    isAddress: (text) => parseAddress(text) !== undefined,
    pseudonym,
  });
}

/** What forwarding goes by, but for the parts that a proxy makes itself. */
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
  const settled = settledBy(options, line, log);
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
    // Looked up where it can matter: by policies that go by load, and where a
    // backend may have no more than so many.
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

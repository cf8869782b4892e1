/**
 * Joins the parts of a proxy: options in, a handler and its pool out.
 *
 * @module
 */

import {
  type Backend,
  type BackendInit,
  type NotedPolicy,
  ownPolicy,
  type Policy,
  policyOf,
  Pool,
  type Shared,
} from "../balancer.ts";
import { parseAddress } from "../config/address.ts";
import { checkTls } from "../config/check.ts";
import { wordsOf } from "../config/fault.ts";
import type { Listener } from "../config/listener.ts";
import type { ProxyOptions } from "../config/options.ts";
import { ownFault } from "../config/read_backends.ts";
import type { ProbeReport } from "../health.ts";
import { accessLine } from "../observe/log.ts";
import { Metrics, sum } from "../observe/metrics.ts";
import { ProbeHistory } from "../observe/probes.ts";
import { prometheusText } from "../observe/prometheus.ts";
import { answer } from "../proxy/errors.ts";
import type { ForwarderOptions } from "../proxy/context.ts";
import { Forwarder } from "../proxy/forward.ts";
import { RequestRules } from "../proxy/headers.ts";
import { InFlight } from "../proxy/in_flight.ts";
import { keyOf } from "../proxy/keys.ts";
import { RetryBudget } from "../proxy/retry.ts";
import type { Settled } from "../proxy/observed.ts";
import { Sticky } from "../proxy/sticky.ts";
import type { FetchTransport, Transport } from "../proxy/transport.ts";
import { customTransport } from "../runtime/custom.ts";
import { apart, type Membership } from "../runtime/membership.ts";
import { processFacts } from "../runtime/process.ts";
import { fetchTransport, server } from "../runtime/runtime.ts";
import type { DrainOptions } from "../runtime/serve.ts";
import { tlsFault } from "../runtime/tls.ts";
import {
  bunWebSocket,
  type BunWebSocketHandlers,
} from "../runtime/bun/websocket.ts";
import type { Crew } from "../workers/crew.ts";
import { type Callbacks, callbacksOf } from "./callbacks.ts";
import { type Checked, checkedOptions, matcherOf } from "./checked.ts";
import { entryOf, entryToAdd } from "./entries.ts";
import { toldOnce } from "./guarded.ts";
import { HandedOn } from "./handler.ts";
import { checkedHealth, Judges } from "./health.ts";
import { hooksOf, settledBy } from "./hooks.ts";
import { lifeOf } from "./life.ts";
import { VERSION } from "./version.ts";

/** A proxy: a handler, and the pool behind it. */
export interface Proxy extends AsyncDisposable {
  /**
   * Answers a request by sending it on. Never throws and never rejects. May be
   * called unbound, so it can be handed to any server as it is.
   *
   * `connection` is what the runtime hands a handler (Deno's `info`, Bun's
   * `server`), or `{ clientAddress }`; without it no `X-Forwarded-For` is made,
   * nor for a server on a Unix domain socket. Bun knows the address of its own
   * requests only: one that was made in the handler needs `{ clientAddress }`,
   * and is otherwise taken for that of a client that has left.
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

/** What {@linkcode serve} needs, and users do not. */
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
  readonly crew: Crew | undefined;
  /** From now on workers answer in its place, and count with it. */
  employ(crew: Crew): void;
  /** Waits for the other workers on the way out, in one of them. */
  together: DrainOptions["together"];
  /** What it was made from. */
  options: ProxyOptions;
  pseudonym: string | undefined;
  logAccess: (line: string) => void;
  policy: string;
  /** Where it listens, which no backend may be; the server fills it. */
  readonly listeners: Listener[];
  log: (line: string) => void;
}

/** What is otherwise when a proxy is one of several workers. */
export interface AsWorker {
  /** How many there are. */
  of: number;
  /** Where all requests are counted. */
  all: Shared;
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

/** What changes while a proxy works, and several of its parts go by. */
interface State {
  draining: boolean;
  crew: Crew | undefined;
  /** Counts; none until they are wanted. */
  metrics: Metrics | undefined;
  /** Remembers probes; nothing until that is wanted. */
  probes: ProbeHistory | undefined;
  /** Where it listens, which no backend may be. */
  readonly listeners: Listener[];
}

/** Makes a proxy, or a worker's part of one. */
export function assemble(
  options: ProxyOptions,
  worker: AsWorker | undefined,
): Proxy {
  const checked = checkedOptions(options);
  const health = checkedHealth(options);
  const trusts = matcherOf(options.trustedProxies);
  const callbacks = callbacksOf(options);
  const state: State = {
    draining: false,
    crew: undefined,
    metrics: undefined,
    probes: undefined,
    listeners: [],
  };
  const { log, random, clock } = callbacks;
  const { policy } = checked;
  const hooks = hooksOf(options, policy, log);
  const picks = typeof options.policy === "function"
    ? ownPolicy(options.policy, toldOnce("policy", log))
    : policyOf(policy, { random, now: () => clock.now() });
  const { pool, named } = poolOf(options, worker, picks, callbacks, state);
  const { own, transport } = transportsOf(options, pool);
  const judges = new Judges(pool, health, callbacks, {
    probe: (backend, path, signal, options) =>
      transport.probe(backend, path, signal, options),
    probed: (backend, passed, report) =>
      state.probes?.add(backend, passed, report),
  });
  const inFlight = new InFlight(clock, worker?.all);
  const budget = new RetryBudget(checked.retryBudget, worker?.of);
  const pseudonym = pseudonymOf(options, worker);
  const forwarder = new Forwarder({
    ...forwarding(options, checked, picks.needs, callbacks),
    hooks,
    pool,
    server,
    transport,
    rules: new RequestRules({
      trusts,
      isAddress: (text) => parseAddress(text) !== undefined,
      pseudonym,
    }),
    inFlight,
    budget,
    outcome: (backend, good, startedAt, reason) => {
      state.metrics?.outcome(backend, good);
      judges.outcome(backend, good, startedAt, reason);
      worker?.outcome(backend, good, startedAt, reason);
      state.crew?.judged(backend);
    },
    // Looked up where it can matter: by policies that go by load, and where a
    // backend may have no more than so many.
    refresh: worker && (() => {
      if (picks.needs === undefined && !worker.limited) return;
      for (const backend of pool.backends) backend.refresh();
    }),
    sticky: policy.startsWith("sticky:")
      ? new Sticky(pool, policy.slice("sticky:".length), options.stickySecret)
      : undefined,
    closing: () => state.draining,
  });
  const observe = () => {
    const probes = state.probes ??= new ProbeHistory(pool);
    const metrics = state.metrics ??= forwarder.meter = new Metrics(pool, {
      inFlight: () => inFlight.size,
      webSocketsOpen: () => forwarder.bridged,
      retriesRefused: () => budget.refused,
      linesLost: callbacks.linesLost,
    });
    return { metrics, probes };
  };
  const { members, ready, stop } = lifeOf({
    named,
    pool,
    slowStartMs: checked.slowStartMs,
    refuses: (url) => ownFault(url, state.listeners),
    judges,
    callbacks,
    stopped() {
      inFlight.rest();
      own.close();
      state.metrics?.stop();
      state.probes?.stop();
    },
  });
  const proxy: Proxy = {
    fetch: answering(
      (request, connection) =>
        connection instanceof HandedOn
          ? forwarder.handle(
            request,
            connection.of(request),
            connection.served,
          )
          : forwarder.handle(request, connection),
      log,
    ),
    websocket: bunWebSocket(checked.maxMessageBytes),
    pool,
    ready,
    metrics() {
      const { metrics } = observe();
      state.crew?.count();
      const counted = [metrics.snapshot(), ...state.crew?.known() ?? []];
      return prometheusText(sum(counted), {
        backends: pool,
        report: judges.report,
        draining: state.draining,
        version: VERSION,
        process: processFacts(),
      });
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
  insides.set(proxy, {
    forwarder,
    members,
    drain: () => state.draining = true,
    get draining() {
      return state.draining;
    },
    observe,
    report: judges.report,
    policy,
    listeners: state.listeners,
    log,
    judge: (backend, good, agoMs, reason) =>
      judges.outcome(backend, good, clock.now() - agoMs, reason),
    suspects: judges.suspects,
    get crew() {
      return state.crew;
    },
    employ(crew) {
      state.crew = crew;
      inFlight.countWith(crew.all);
    },
    together: undefined,
    options,
    pseudonym,
    logAccess: callbacks.logAccess,
  });
  return proxy;
}

/** The pool, and those of the list that are names to look up. */
function poolOf(
  { backends }: ProxyOptions,
  worker: AsWorker | undefined,
  policy: Policy,
  { random, log }: Callbacks,
  state: State,
): { pool: Pool; named: BackendInit[] } {
  if (backends.length === 0 && worker === undefined) {
    throw new TypeError("Cannot make a proxy: backends is empty");
  }
  const { fixed, named } = apart(
    backends.map((init, index) => entryOf(init, `backends[${index}]`, index)),
  );
  const checked: ReadonlySet<unknown> = new Set(fixed);
  let given = backends.length;
  const pool = new Pool(fixed, policy, {
    read(init) {
      // What the first process says is right: a worker knows no better.
      if (checked.has(init) || worker !== undefined) return init as BackendInit;
      const entry = entryToAdd(init, given++);
      const own = ownFault(entry.url, state.listeners);
      if (own !== undefined) {
        throw new TypeError(`Cannot add a backend: "${entry.url}" ${own}`);
      }
      if (entry.answer !== undefined && state.crew !== undefined) {
        throw new TypeError(
          "Cannot add a backend: a function cannot be handed to a worker",
        );
      }
      return entry;
    },
    random,
    failed: (error) =>
      log(`a listener of the pool has failed: ${wordsOf(error)}`),
  });
  worker?.fill(pool);
  return { pool, named };
}

/** The runtime's transport, and the one that requests go by. */
function transportsOf(
  options: ProxyOptions,
  pool: Pool,
): { own: FetchTransport; transport: Transport } {
  if (options.backendTls !== undefined) {
    checkTls("make a proxy", "backendTls", options.backendTls, tlsFault);
  }
  const own = fetchTransport({
    tls: options.backendTls,
    userAgent: `sluice/${VERSION}`,
    backends: () => pool.backends.filter((b) => b.answer === undefined).length,
  });
  own.warm?.();
  const transport = options.fetch === undefined
    ? own
    : customTransport(own, options.fetch);
  return { own, transport };
}

/** Name in `Via`, if there is one. */
function pseudonymOf(
  { via = true }: ProxyOptions,
  worker: AsWorker | undefined,
): string | undefined {
  if (worker !== undefined) return worker.pseudonym;
  return via ? `sluice-${crypto.randomUUID().slice(0, 8)}` : undefined;
}

/** What the options say of forwarding. */
function forwarding(
  options: ProxyOptions,
  checked: Checked,
  needs: NotedPolicy["needs"],
  { clock, log, logAccess }: Callbacks,
) {
  const { accessLog = false, logQuery = true } = options;
  const { idleTimeoutMs, maxInFlight } = checked;
  const format = { format: accessLog || "json", query: logQuery } as const;
  const line = accessLog === false
    ? undefined
    : (settled: Settled) => logAccess(accessLine(settled, Date.now(), format));
  const settled = settledBy(options, line, log);
  return {
    ...checked,
    clock,
    log,
    resume: options.resume === true,
    exact: settled !== undefined || needs !== undefined ||
      maxInFlight !== Infinity || idleTimeoutMs !== Infinity,
    timed: needs === "latency",
    requestId: options.requestId === true,
    trace: options.trace === true,
    settled,
    keyOf: options.key === undefined ? keyOf(checked.policy) : undefined,
  };
}

/**
 * A handler that answers whatever happens. What gets as far as here is a fault of
 * ours: it costs one request a 500, and not a library's user the process.
 */
export function answering(
  handle: Proxy["fetch"],
  log: Callbacks["log"],
): Proxy["fetch"] {
  const failed = (error: unknown) => {
    log(`cannot answer a request: ${wordsOf(error)}`);
    return answer(500, "proxy_internal_error");
  };
  return (request, connection) => {
    try {
      const answered = handle(request, connection);
      return answered instanceof Promise ? answered.catch(failed) : answered;
    } catch (error) {
      return failed(error);
    }
  };
}

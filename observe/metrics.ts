/**
 * The counters, and their sums.
 *
 * Each request is counted by plain additions to fields and typed arrays. All
 * else is done on demand: {@linkcode Metrics.snapshot} returns plain numbers,
 * which processes can send to each other and {@linkcode sum} adds up.
 *
 * @module
 */

import type { Backend, Pool } from "../balancer.ts";
import type { Meter } from "../proxy/observed.ts";
import type { Connections } from "../proxy/transport.ts";

/** Named numbers that can be summed over processes. */
export interface Snapshot {
  /** Finished requests, by the status sent to the client. */
  requests: Record<string, number>;
  /** Their durations. */
  duration: HistogramSnapshot;
  /** Requests in flight. */
  inFlight: number;
  /** Attempts after the first. */
  retries: number;
  /** Retries that the budget refused. */
  retriesRefused: number;
  /** Number of times that only ejected backends were left. */
  panics: number;
  /** WebSocket connections so far. */
  webSockets: number;
  /** Open WebSocket connections. */
  webSocketsOpen: number;
  /** Lines of the access log that were lost. */
  linesLost: number;
  /** Requests that the rate limit refused. */
  rateLimited: number;
  /** Requests refused because of the limit of concurrent requests. */
  refusedFull: number;
  /** Limit of requests in flight, or of waiting ones; 0 for no limit. */
  inFlightLimit: number;
  /** Requests that wait for a response header, under a learnt limit. */
  waiting: number;
  /** The counters of each backend, by its id. */
  backends: Record<string, BackendSnapshot>;
}

/** The counters of one backend. */
export interface BackendSnapshot {
  /** Attempts with a response, by status. */
  answers: Record<string, number>;
  /** Attempts without a response, by error type of RFC 9209. */
  failures: Record<string, number>;
  /** Good and bad outcomes. */
  outcomes: { good: number; bad: number };
  /** Number of ejections. */
  ejections: number;
  /** Sum of the times to its response headers, in milliseconds. */
  answerMs: number;
  /** Requests in flight. */
  inFlight: number;
  /** Its connections; absent if the runtime's `fetch` manages them. */
  connections?: Connections;
}

/** A histogram as plain numbers. */
export interface HistogramSnapshot {
  /** Number of values per bucket, see {@linkcode boundOf}. */
  counts: number[];
  /** Sum of all values. */
  sum: number;
}

/** Buckets per doubling of the value. */
const STEPS = 4;
/** The bucket with the upper bound 1. */
const ONE = 4 * STEPS;
/** From 1/16 millisecond to over two minutes. */
const BUCKETS = ONE + 17 * STEPS + 1;

/** The inclusive upper bound of a bucket, in milliseconds. */
export function boundOf(bucket: number): number {
  return bucket === BUCKETS - 1 ? Infinity : 2 ** ((bucket - ONE) / STEPS);
}

/**
 * A histogram of durations. Each bucket is a fifth larger than the one before:
 * fine enough for percentiles on the dashboard, and powers of two are bounds,
 * which Prometheus gets.
 */
export class Histogram {
  readonly #counts = new Float64Array(BUCKETS);
  #sum = 0;

  /** Adds a value in milliseconds. */
  add(ms: number): void {
    const bucket = Math.ceil(Math.log2(ms) * STEPS) + ONE;
    // NaN, and -Infinity for a value of 0, count in the first bucket.
    this.#counts[bucket > 0 ? Math.min(bucket, BUCKETS - 1) : 0]!++;
    this.#sum += ms;
  }

  /** The histogram as plain numbers. */
  snapshot(): HistogramSnapshot {
    return { counts: [...this.#counts], sum: this.#sum };
  }
}

/** The value that a share of the values does not exceed; interpolated. */
export function percentile(
  counts: readonly number[],
  share: number,
): number | undefined {
  let total = 0;
  for (const count of counts) total += count;
  if (total === 0) return undefined;
  let left = total * share;
  for (let bucket = 0; bucket < counts.length; bucket++) {
    const count = counts[bucket]!;
    if (count === 0 || (left -= count) > 0) continue;
    const high = boundOf(bucket);
    const low = bucket === 0 ? 0 : boundOf(bucket - 1);
    if (high === Infinity) return low;
    // Assumes that the values are spread evenly within the bucket.
    return high + (high - low) * (left / count);
  }
  return undefined;
}

/** Counters by status, in an array, so that counting is one addition. */
class StatusCounts {
  readonly #counts = new Float64Array(600);

  add(status: number): void {
    this.#counts[status]!++;
  }

  snapshot(): Record<string, number> {
    const counts: Record<string, number> = {};
    this.#counts.forEach((count, status) => {
      if (count > 0) counts[status] = count;
    });
    return counts;
  }
}

/** Counters of one backend. */
interface BackendCounts {
  answers: StatusCounts;
  failures: Record<string, number>;
  good: number;
  bad: number;
  ejections: number;
  answerMs: number;
}

/** The part of a {@linkcode Snapshot} about limits. */
export type Admitted = Pick<
  Snapshot,
  "rateLimited" | "refusedFull" | "inFlightLimit" | "waiting"
>;

const NO_LIMITS: Admitted = {
  rateLimited: 0,
  refusedFull: 0,
  inFlightLimit: 0,
  waiting: 0,
};

/** Options for {@linkcode Metrics}. */
export interface MetricsOptions {
  /** Current requests in flight. */
  inFlight: () => number;
  /** Current open WebSocket connections. */
  webSocketsOpen: () => number;
  /** Total retries refused by the budget. */
  retriesRefused: () => number;
  /** Total lines of the access log that were lost. */
  linesLost: () => number;
  /** Figures of the limits; absent without limits. */
  admission?: () => Admitted;
  /** The connections to a backend, if known. */
  connections?: ((backend: Backend) => Connections) | undefined;
}

/** The counters of one process. */
export class Metrics implements Meter {
  readonly #pool: Pool;
  readonly #options: MetricsOptions;
  readonly #requests = new StatusCounts();
  readonly #duration = new Histogram();
  readonly #backends = new Map<Backend, BackendCounts>();
  readonly #unsubscribe: () => void;
  #retries = 0;
  #panics = 0;
  #webSockets = 0;

  /** Starts counting. */
  constructor(pool: Pool, options: MetricsOptions) {
    this.#pool = pool;
    this.#options = options;
    this.#unsubscribe = pool.subscribe(({ type, backend }) => {
      if (type === "panic") this.#panics++;
      if (backend === undefined) return;
      if (type === "ejected") this.#of(backend).ejections++;
      // Its series ends; if it is added again, a new one begins.
      if (type === "removed") this.#backends.delete(backend);
    });
  }

  /** Stops counting events of the pool. */
  stop(): void {
    this.#unsubscribe();
  }

  request(status: number, ms: number): void {
    this.#requests.add(status);
    // The duration of a WebSocket is not a latency.
    if (status !== 101) this.#duration.add(ms);
  }

  answered(backend: Backend, status: number, ms: number): void {
    const counts = this.#of(backend);
    counts.answers.add(status);
    counts.answerMs += ms;
    if (status === 101) this.#webSockets++;
  }

  failed(backend: Backend, type: string): void {
    const { failures } = this.#of(backend);
    failures[type] = (failures[type] ?? 0) + 1;
  }

  retried(): void {
    this.#retries++;
  }

  /** Counts the outcome of an attempt. */
  outcome(backend: Backend, good: boolean): void {
    const counts = this.#of(backend);
    if (good) counts.good++;
    else counts.bad++;
  }

  /** The current numbers. */
  snapshot(): Snapshot {
    const backends: Record<string, BackendSnapshot> = {};
    const { connections } = this.#options;
    for (const backend of this.#pool) {
      const counts = this.#backends.get(backend);
      const known = connections && { connections: connections(backend) };
      backends[backend.id] = {
        answers: counts?.answers.snapshot() ?? {},
        failures: { ...counts?.failures },
        outcomes: { good: counts?.good ?? 0, bad: counts?.bad ?? 0 },
        ejections: counts?.ejections ?? 0,
        answerMs: counts?.answerMs ?? 0,
        inFlight: backend.inFlight,
        ...known,
      };
    }
    return {
      requests: this.#requests.snapshot(),
      duration: this.#duration.snapshot(),
      inFlight: this.#options.inFlight(),
      retries: this.#retries,
      retriesRefused: this.#options.retriesRefused(),
      panics: this.#panics,
      webSockets: this.#webSockets,
      webSocketsOpen: this.#options.webSocketsOpen(),
      linesLost: this.#options.linesLost(),
      ...this.#options.admission?.() ?? NO_LIMITS,
      backends,
    };
  }

  #of(backend: Backend): BackendCounts {
    let counts = this.#backends.get(backend);
    if (counts === undefined) {
      counts = {
        answers: new StatusCounts(),
        failures: {},
        good: 0,
        bad: 0,
        ejections: 0,
        answerMs: 0,
      };
      // Requests of a removed backend may still be in flight; their counters
      // are dropped, or those of every past backend would be kept.
      if (this.#pool.get(backend.id) === backend) {
        this.#backends.set(backend, counts);
      }
    }
    return counts;
  }
}

/** The counters of a process that has ended: nothing is in flight. */
export function atRest(last: Snapshot): Snapshot {
  const backends = Object.fromEntries(
    Object.entries(last.backends).map(([id, { connections, ...counts }]) => [
      id,
      connections ? { ...counts, connections: { busy: 0, idle: 0 } } : counts,
    ]),
  );
  return {
    ...last,
    backends,
    inFlight: 0,
    webSocketsOpen: 0,
    inFlightLimit: 0,
    waiting: 0,
  };
}

/**
 * Sums the counters of several processes. Each number counts something that
 * only one of them has, requests in flight included.
 */
export function sum(snapshots: readonly Snapshot[]): Snapshot {
  const [first, ...others] = snapshots;
  if (first === undefined) throw new RangeError("Cannot sum: nothing is there");
  return others.reduce<Snapshot>((all, one) => added(all, one), first);
}

type Numbers = number | readonly Numbers[] | {
  readonly [name: string]: Numbers;
};

function added<T>(a: T, b: T): T;
function added(a: Numbers, b: Numbers): Numbers {
  if (typeof a === "number") return a + (b as number);
  if (Array.isArray(a)) return a.map((n, i) => added(n, (b as Numbers[])[i]!));
  const all: Record<string, Numbers> = { ...a as Record<string, Numbers> };
  for (const [name, value] of Object.entries(b as Record<string, Numbers>)) {
    const there = all[name];
    all[name] = there === undefined ? value : added(there, value);
  }
  return all;
}

/**
 * What is counted, and how it is added up.
 *
 * Counting happens for every request, so it is plain additions into fields and
 * typed arrays. All else happens when somebody asks: {@linkcode Metrics.snapshot}
 * gives plain numbers, which several processes can send each other and
 * {@linkcode sum} adds up.
 *
 * @module
 */

import type { Backend, Pool } from "../balancer.ts";
import type { Meter } from "../proxy/observed.ts";
import type { Connections } from "../proxy/transport.ts";

/** Numbers under names that several processes can add up. */
export interface Snapshot {
  /** Requests that are over, by the status that the client was told. */
  requests: Record<string, number>;
  /** How long they took. */
  duration: HistogramSnapshot;
  /** Requests under way. */
  inFlight: number;
  /** Attempts after the first. */
  retries: number;
  /** Retries that the budget refused. */
  retriesRefused: number;
  /** Times that all that was left was ejected. */
  panics: number;
  /** WebSocket connections that were bridged. */
  webSockets: number;
  /** Those that are open. */
  webSocketsOpen: number;
  /** Lines of the access log that were lost. */
  linesLost: number;
  /** Requests that the rate limit refused. */
  rateLimited: number;
  /** Requests that were refused since too many were under way. */
  refusedFull: number;
  /** Requests that may be under way, or wait; 0 for no limit. */
  inFlightLimit: number;
  /** Requests that wait for a header, where that is what is limited. */
  waiting: number;
  /** What was counted of each backend, by its id. */
  backends: Record<string, BackendSnapshot>;
}

/** What was counted of one backend. */
export interface BackendSnapshot {
  /** Attempts that it answered, by status. */
  answers: Record<string, number>;
  /** Attempts that it did not answer, by error type of RFC 9209. */
  failures: Record<string, number>;
  /** Good and bad outcomes. */
  outcomes: { good: number; bad: number };
  /** Times that it was ejected. */
  ejections: number;
  /** Milliseconds that its response headers took, all together. */
  answerMs: number;
  /** Requests that it is answering. */
  inFlight: number;
  /** Connections to it; none where the runtime's `fetch` has them. */
  connections?: Connections;
}

/** A histogram in plain numbers. */
export interface HistogramSnapshot {
  /** How many values fell into each bucket, see {@linkcode boundOf}. */
  counts: number[];
  /** All values together. */
  sum: number;
}

/** Buckets in which values double. */
const STEPS = 4;
/** The bucket whose upper bound is 1. */
const ONE = 4 * STEPS;
/** From a sixteenth of a millisecond to over two minutes. */
const BUCKETS = ONE + 17 * STEPS + 1;

/** The upper bound of a bucket, in milliseconds; the value itself is inside. */
export function boundOf(bucket: number): number {
  return bucket === BUCKETS - 1 ? Infinity : 2 ** ((bucket - ONE) / STEPS);
}

/**
 * Durations in buckets that grow by a fifth each: fine enough for percentiles
 * on a screen, and powers of two fall on bounds, which Prometheus gets.
 */
export class Histogram {
  readonly #counts = new Float64Array(BUCKETS);
  #sum = 0;

  /** Counts a value in milliseconds. */
  add(ms: number): void {
    const bucket = Math.ceil(Math.log2(ms) * STEPS) + ONE;
    // Written so that NaN and -Infinity (of 0) land in the first.
    this.#counts[bucket > 0 ? Math.min(bucket, BUCKETS - 1) : 0]!++;
    this.#sum += ms;
  }

  /** Plain numbers. */
  snapshot(): HistogramSnapshot {
    return { counts: [...this.#counts], sum: this.#sum };
  }
}

/** The value that a share of the values does not exceed, if there are any. */
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
    // As if the values were spread evenly inside the bucket.
    return high + (high - low) * (left / count);
  }
  return undefined;
}

/** Counters by status; a field for each, so that counting is one addition. */
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

/** The part of a {@linkcode Snapshot} that is about limits. */
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
  /** Requests under way, now. */
  inFlight: () => number;
  /** WebSocket connections that are open, now. */
  webSocketsOpen: () => number;
  /** Retries that the budget has refused, so far. */
  retriesRefused: () => number;
  /** Lines of the access log that were lost, so far. */
  linesLost: () => number;
  /** What the limits admit, and have refused so far; none without limits. */
  admission?: () => Admitted;
  /** The connections to a backend, where they are known. */
  connections?: ((backend: Backend) => Connections) | undefined;
}

/** Counts for one process. */
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

  /** Begins to count. */
  constructor(pool: Pool, options: MetricsOptions) {
    this.#pool = pool;
    this.#options = options;
    this.#unsubscribe = pool.subscribe(({ type, backend }) => {
      if (type === "panic") this.#panics++;
      if (backend === undefined) return;
      if (type === "ejected") this.#of(backend).ejections++;
      // Its series ends; one that is added again begins anew.
      if (type === "removed") this.#backends.delete(backend);
    });
  }

  /** Ends counting what the pool says. */
  stop(): void {
    this.#unsubscribe();
  }

  request(status: number, ms: number): void {
    this.#requests.add(status);
    // A WebSocket lasts as long as its users like, which is nobody's latency.
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

  /** What an attempt has shown of its backend. */
  outcome(backend: Backend, good: boolean): void {
    const counts = this.#of(backend);
    if (good) counts.good++;
    else counts.bad++;
  }

  /** The numbers as they are now. */
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
      // One that was removed may still be finishing: counted for nobody, or
      // every backend that ever was would be kept.
      if (this.#pool.get(backend.id) === backend) {
        this.#backends.set(backend, counts);
      }
    }
    return counts;
  }
}

/** What a process that has ended leaves: nothing is under way any more. */
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
 * Adds up what several processes have counted. Every number is a count of
 * something that only one of them had, requests under way included.
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

/**
 * Overload in virtual time: requests arrive whether or not earlier ones were
 * answered, backends process a limited number and queue the rest, and between
 * them is the real limit of `MAX_IN_FLIGHT=auto`, in one proxy or in many.
 *
 * Pool, policy, {@linkcode LearntLimit} and {@linkcode Waiting} are the real
 * ones; clients, network and backends are simulated.
 *
 * @module
 */

import { type Backend, policyOf, Pool } from "../balancer.ts";
import { LearntLimit } from "../proxy/learnt_limit.ts";
import { Waiting, type WaitingRequest } from "../proxy/waiting.ts";
import { Agenda } from "./agenda.ts";
import { seeded } from "./random.ts";

/** Draws the milliseconds of work in a request. */
interface Work {
  readonly meanMs: number;
  draw(random: () => number): number;
}

function normal(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) *
    Math.cos(2 * Math.PI * random());
}

function lognormal(meanMs: number, sigma: number): Work {
  return {
    meanMs,
    draw: (random) =>
      meanMs * Math.exp(sigma * normal(random) - sigma * sigma / 2),
  };
}

/** Kinds of work. */
export const WORKS: Readonly<Record<string, Work>> = {
  /** Nine of ten take 5 ms, one takes 200 ms. */
  bimodal: { meanMs: 24.5, draw: (random) => random() < 0.1 ? 200 : 5 },
  lognormal: lognormal(20, 1),
  /** One in a hundred takes 200 ms, one in a thousand 700 ms. */
  skewed: lognormal(20, 1.5),
  exponential: { meanMs: 20, draw: (random) => -20 * Math.log(1 - random()) },
  even: { meanMs: 20, draw: () => 20 },
  quick: { meanMs: 2, draw: (random) => -2 * Math.log(1 - random()) },
  slow: { meanMs: 300, draw: (random) => -300 * Math.log(1 - random()) },
};

/** Something that changes over time; in seconds from the start. */
type Over<T> = (second: number) => T;

/** What is simulated. */
export interface Overload {
  proxies: number;
  backends: number;
  /** Requests that a backend processes at a time; others are queued. */
  workers: Over<number>;
  work: string;
  policy: string;
  /** Requests, as a share of what `nominal` workers can do. */
  load: Over<number>;
  /** Workers of a backend that `load` is a share of. */
  nominal: number;
  /** How fast the work is done. */
  speed: Over<number>;
  /** Whether a backend answers nothing any more. */
  hangs: (second: number, backend: number) => boolean;
  seconds: number;
  seed: number;
  /** Milliseconds after which an answer is of no use. */
  patienceMs: number;
  /** Without a limit, for comparison. */
  unlimited: boolean;
  /** Milliseconds by which the proxies' clocks differ at most. */
  skewMs: number;
  /** When a proxy is started anew and has learnt nothing. */
  restartAt: number;
}

const OVERLOAD: Overload = {
  proxies: 1,
  backends: 3,
  workers: () => 8,
  work: "bimodal",
  policy: "round_robin",
  load: () => 0.7,
  nominal: 8,
  speed: () => 1,
  hangs: () => false,
  seconds: 60,
  seed: 1,
  patienceMs: 1_000,
  unlimited: false,
  skewMs: 0,
  restartAt: Infinity,
};

/** What one second was like. */
export interface Second {
  offered: number;
  refused: number;
  /** Responses that arrived before their clients gave up. */
  good: number;
  late: number;
  /** Milliseconds to each answer. */
  took: number[];
  /** Limit of all proxies, at the end. */
  limit: number;
  /** Requests at the backends, at the end. */
  waiting: number;
  /** What could be answered in it. */
  capacity: number;
}

/**
 * Milliseconds between two checks of waiting requests, as in the real sweep.
 */
const SWEEP_MS = 50;

/** One proxy. */
class Proxy {
  readonly pool: Pool;
  limit!: LearntLimit;
  waiting!: Waiting;
  readonly inFlight = new Set<Sent>();

  constructor(
    urls: readonly string[],
    policy: string,
    random: () => number,
    readonly clock: { now: number },
    readonly aheadMs: number,
  ) {
    this.pool = new Pool(
      urls,
      policyOf(policy, { random, now: () => clock.now }),
      { random },
    );
    this.forget();
  }

  /** Begins anew. */
  forget(): void {
    this.limit = new LearntLimit({
      wallMs: () => this.clock.now + this.aheadMs,
    });
    this.waiting = new Waiting(this.pool, this.limit);
  }

  /** As the forwarder does it. */
  pick(): Backend {
    const first = this.pool.pick(undefined, undefined)!;
    const passed: Backend[] = [];
    for (let next: Backend | undefined = first; next !== undefined;) {
      if (!this.waiting.full(next)) return next;
      passed.push(next);
      next = this.pool.pick(undefined, passed);
    }
    return first;
  }
}

/** One request. */
interface Sent extends WaitingRequest {
  backend: Backend | undefined;
  proxy: Proxy;
  workMs: number;
}

/** A backend as it is. */
interface Server {
  index: number;
  busy: number;
  queue: Sent[];
  /** Where the queue begins. */
  head: number;
}

type Event =
  & { readonly at: number }
  & (
    | { kind: "arrive" | "sweep" | "second" }
    | { kind: "done"; server: Server; sent: Sent }
  );

/** Runs it, second by second. */
export function overload(given: Partial<Overload>): Second[] {
  const o: Overload = { ...OVERLOAD, ...given };
  const random = seeded(o.seed);
  const work = WORKS[o.work]!;
  const clock = { now: 0 };
  const urls = Array.from({ length: o.backends }, (_, i) => `http://b${i}`);
  const servers = new Map<string, Server>(
    urls.map((url, index) => [url, { index, busy: 0, queue: [], head: 0 }]),
  );
  const proxies = Array.from(
    { length: o.proxies },
    () => new Proxy(urls, o.policy, random, clock, random() * o.skewMs),
  );
  const seconds: Second[] = [];
  const agenda = new Agenda<Event>();
  const capacity = (workers: number) => o.backends * workers / work.meanMs;
  const second = () => clock.now / 1_000;
  const here = (): Second => {
    const s = Math.floor(second());
    return seconds[s] ??= {
      offered: 0,
      refused: 0,
      good: 0,
      late: 0,
      took: [],
      limit: 0,
      waiting: 0,
      capacity: 1_000 * capacity(o.workers(s)) * o.speed(s),
    };
  };
  const begin = (server: Server) => {
    while (
      server.head < server.queue.length && server.busy < o.workers(second()) &&
      !o.hangs(second(), server.index)
    ) {
      const sent = server.queue[server.head++]!;
      server.busy++;
      const at = clock.now + sent.workMs / o.speed(second());
      agenda.add({ at, kind: "done", server, sent });
      if (server.head > 1_000) {
        server.queue.splice(0, server.head);
        server.head = 0;
      }
    }
  };
  const arrive = () => {
    const proxy = proxies[Math.floor(random() * proxies.length)]!;
    here().offered++;
    const { waiting } = proxy;
    if (!o.unlimited && !waiting.enter(clock.now)) {
      here().refused++;
      return;
    }
    const sent: Sent = {
      waitsSince: clock.now,
      room: o.unlimited ? undefined : waiting,
      backend: proxy.pick(),
      proxy,
      workMs: work.draw(random),
    };
    sent.room?.assigned(sent);
    sent.backend!.enter();
    proxy.inFlight.add(sent);
    const server = servers.get(sent.backend!.url)!;
    server.queue.push(sent);
    begin(server);
  };
  const done = (server: Server, sent: Sent) => {
    server.busy--;
    const ms = clock.now - sent.waitsSince;
    sent.proxy.inFlight.delete(sent);
    sent.backend!.leave();
    sent.backend!.observed(ms, clock.now);
    sent.room?.answered(sent, 200, ms, clock.now);
    const now = here();
    if (ms <= o.patienceMs) now.good++;
    else now.late++;
    now.took.push(ms);
    begin(server);
  };
  const atEnd = () => {
    const now = here();
    for (const { limit, inFlight } of proxies) {
      now.limit += limit.limit;
      now.waiting += inFlight.size;
    }
    if (Math.floor(second()) === Math.floor(o.restartAt)) proxies[0]!.forget();
  };

  const pause = () =>
    -Math.log(1 - random()) / (capacity(o.nominal) * o.load(second()));
  agenda.add({ at: pause(), kind: "arrive" });
  agenda.add({ at: SWEEP_MS, kind: "sweep" });
  agenda.add({ at: 999, kind: "second" });
  for (
    let event = agenda.next();
    event !== undefined && event.at < o.seconds * 1_000;
    event = agenda.next()
  ) {
    const { at } = event;
    clock.now = at;
    if (event.kind === "done") done(event.server, event.sent);
    else if (event.kind === "arrive") {
      arrive();
      agenda.add({ at: at + pause(), kind: "arrive" });
    } else if (event.kind === "sweep") {
      for (const { inFlight } of proxies) {
        for (const sent of inFlight) {
          sent.room?.dropIfStale(sent, at);
        }
      }
      agenda.add({ at: at + SWEEP_MS, kind: "sweep" });
    } else {
      atEnd();
      agenda.add({ at: at + 1_000, kind: "second" });
    }
  }
  return seconds;
}

/** What some seconds were like. */
export interface Summary {
  /** Share of requests that were refused. */
  refused: number;
  /** Good answers as a share of what could be answered. */
  goodput: number;
  /** Milliseconds to an answer. */
  p50: number;
  p99: number;
  /** At the end. */
  limit: number;
}

/** Sums up the seconds from one to another. */
export function summary(
  seconds: readonly Second[],
  from: number,
  to: number,
): Summary {
  const some = seconds.slice(from, to);
  const sum = (of: (second: Second) => number) =>
    some.reduce((all, second) => all + of(second), 0);
  const took = some.flatMap((second) => second.took).sort((a, b) => a - b);
  return {
    refused: sum((s) => s.refused) / sum((s) => s.offered),
    goodput: sum((s) => s.good) / sum((s) => Math.min(s.capacity, s.offered)),
    p50: quantile(took, 0.5),
    p99: quantile(took, 0.99),
    limit: some.at(-1)!.limit,
  };
}

/** The value that a share of the sorted values does not exceed. */
export function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.floor(share * (sorted.length - 1))] ?? NaN;
}

/** 20 s at 70 %, 30 s at twice the capacity, and 20 s at 70 % again. */
export const STEP: Partial<Overload> = {
  load: (s) => s >= 20 && s < 50 ? 2 : 0.7,
  seconds: 70,
};

/** Courses that come with it. */
export const COURSES: Readonly<Record<string, Partial<Overload>>> = {
  step: STEP,
  /** Backends at 70 % become half as fast, and as fast as before. */
  slower: { speed: (s) => s >= 20 && s < 40 ? 0.5 : 1 },
  /** Backends at three times their capacity become twice as fast. */
  faster: { load: () => 3, speed: (s) => s >= 20 && s < 40 ? 2 : 1 },
  /** Half of the workers go, and then there are twice as many as at first. */
  workers: {
    load: () => 2.4,
    workers: (s) => s < 20 ? 8 : s < 40 ? 4 : 16,
  },
  /** Started in the middle of an overload. */
  cold: { load: () => 2, seconds: 30 },
  fleet: { ...STEP, proxies: 20, backends: 20 },
  /** One of many proxies is started anew in the middle of an overload. */
  newcomer: { proxies: 10, backends: 10, load: () => 2, restartAt: 20 },
  /** One of three backends answers nothing from 10 s on. */
  hung: { hangs: (s, backend) => s >= 10 && backend === 1, seconds: 40 },
};

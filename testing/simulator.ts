/**
 * Runs a scenario on a virtual clock: the real {@linkcode Forwarder}, pool,
 * policies, probes, retries and ejection, with scripted backends and without a
 * socket. Returns what a client would have seen, and which backends were
 * ejected and came back when.
 *
 * ```text
 * backends 3
 * rate 50            requests a second
 * run 30s
 * at 5s   b refuses
 * at 15s  b answers
 * ```
 *
 * @module
 */

import { policyOf, Pool } from "../balancer.ts";
import { Ejector, Prober, type ProbeResult } from "../health.ts";
import type { ForwarderOptions } from "../proxy/context.ts";
import { Forwarder } from "../proxy/forward.ts";
import { RequestRules } from "../proxy/headers.ts";
import { InFlight } from "../proxy/in_flight.ts";
import { RetryBudget } from "../proxy/retry.ts";
import type { Server } from "../proxy/server.ts";
import type { Failure, Outgoing, Transport } from "../proxy/transport.ts";
import { FakeClock } from "./clock.ts";
import { ejection, probing } from "./probing.ts";

/** What a backend does with a request. */
export type Behaviour =
  /** 200 after its latency. */
  | "answers"
  /** Refuses connections. */
  | "refuses"
  /** Reads the request and closes the connection. */
  | "drops"
  /** Reads the request and never responds. */
  | "hangs"
  /** 503. */
  | "fails"
  /** A header, and half of its body. */
  | "truncates"
  /** 404 for everything, which is not a failure. */
  | "misses";

const BEHAVIOURS: ReadonlySet<string> = new Set<Behaviour>([
  "answers",
  "refuses",
  "drops",
  "hangs",
  "fails",
  "truncates",
  "misses",
]);

/** A scenario, read. */
export interface Scenario {
  /** How many backends; they are called a, b, c. @default {3} */
  backends: number;
  /** Requests a second. @default {50} */
  rate: number;
  /** Milliseconds that it lasts. @default {30_000} */
  runMs: number;
  /** Every n-th request is a POST; 0 for none. @default {0} */
  postEvery: number;
  /** Policy. @default {"round_robin"} */
  policy: string;
  /** Milliseconds to an answer. @default {10} */
  latencyMs: number;
  /** Time limit. @default {2_000} */
  timeoutMs: number;
  /** Whether there are probes, every second. @default {true} */
  probes: boolean;
  /** What changes when. */
  changes: { at: number; backend: string; behaviour: Behaviour }[];
}

/** A request that was not answered with 200, or something that befell a backend. */
export interface Happening {
  /** Milliseconds from the start. */
  at: number;
  /** In a few words. */
  what: string;
}

/** The result. */
export interface Outcome {
  /** Requests in all. */
  requests: number;
  /** Answers by status. */
  statuses: Map<number, number>;
  /** Attempts by backend. */
  attempts: Map<string, number>;
  /** Ids of non-idempotent requests that reached a backend more than once. */
  repeated: number;
  /** Requests that failed, and why. */
  failures: Happening[];
  /** Verdicts, ejections and returns. */
  events: Happening[];
}

/** Milliseconds in `5s`, `200ms`, `2m`. */
function msOf(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m)$/.exec(text);
  if (match === null) {
    throw new TypeError(`Cannot read the scenario: "${text}" is no duration`);
  }
  return Number(match[1]) * { ms: 1, s: 1_000, m: 60_000 }[match[2]!]!;
}

/**
 * Reads a scenario.
 *
 * @throws {TypeError} If a line cannot be read.
 */
export function readScenario(text: string): Scenario {
  const scenario: Scenario = {
    backends: 3,
    rate: 50,
    runMs: 30_000,
    postEvery: 0,
    policy: "round_robin",
    latencyMs: 10,
    timeoutMs: 2_000,
    probes: true,
    changes: [],
  };
  for (const raw of text.split("\n")) {
    const line = raw.replace(/#.*/, "").trim();
    if (line === "") continue;
    const [word, first = "", second = "", third = ""] = line.split(/\s+/);
    if (word === "backends") scenario.backends = Number(first);
    else if (word === "rate") scenario.rate = Number(first);
    else if (word === "run") scenario.runMs = msOf(first);
    else if (word === "posts") scenario.postEvery = Number(first);
    else if (word === "policy") scenario.policy = first;
    else if (word === "latency") scenario.latencyMs = msOf(first);
    else if (word === "timeout") scenario.timeoutMs = msOf(first);
    else if (word === "probes") scenario.probes = first !== "off";
    else if (word === "at" && BEHAVIOURS.has(third)) {
      const behaviour = third as Behaviour;
      scenario.changes.push({ at: msOf(first), backend: second, behaviour });
    } else {
      throw new TypeError(`Cannot read the scenario: "${line}"`);
    }
  }
  return scenario;
}

/** The error of a scripted backend; the fake runtime classifies it. */
class Scripted extends Error {
  constructor(readonly failure: Failure) {
    super(failure.reason);
  }
}

const REFUSED: Failure = {
  type: "connection_refused",
  sent: false,
  fault: "backend",
  reason: "connection refused",
};
const DROPPED: Failure = {
  type: "connection_terminated",
  sent: true,
  fault: "backend",
  reason: "the connection was closed before the answer",
};

/** A runtime with scripted backends. */
class Stage {
  readonly behaviours = new Map<string, Behaviour>();
  readonly attempts = new Map<string, number>();
  /** How often each POST was received. */
  readonly received = new Map<string, number>();

  constructor(readonly clock: FakeClock, readonly latencyMs: number) {}

  /** What a backend does now. */
  behaviour(authority: string): Behaviour {
    return this.behaviours.get(authority) ?? "answers";
  }

  /** One attempt. */
  async send({ backend, method, url, abort }: Outgoing): Promise<Response> {
    const { signal } = abort;
    const name = backend.authority;
    this.attempts.set(name, (this.attempts.get(name) ?? 0) + 1);
    const behaviour = this.behaviour(name);
    if (behaviour === "refuses") throw new Scripted(REFUSED);
    if (method === "POST") {
      this.received.set(url, (this.received.get(url) ?? 0) + 1);
    }
    await this.wait(behaviour === "hangs" ? Infinity : this.latencyMs, signal);
    // The backend may have been killed in the meantime.
    if (behaviour === "drops" || this.behaviour(name) === "refuses") {
      throw new Scripted(DROPPED);
    }
    if (behaviour === "fails") return new Response("", { status: 503 });
    if (behaviour === "misses") return new Response("", { status: 404 });
    if (behaviour === "answers") return new Response("ok");
    let sent = false;
    return new Response(
      new ReadableStream({
        pull(controller) {
          if (sent) controller.error(new Scripted(DROPPED));
          else controller.enqueue(new Uint8Array(10));
          sent = true;
        },
      }),
      { headers: { "content-length": "100000" } },
    );
  }

  /** One probe. */
  async probe(authority: string, signal: AbortSignal): Promise<ProbeResult> {
    const behaviour = this.behaviour(authority);
    if (behaviour === "refuses") return { error: REFUSED.reason };
    await this.wait(behaviour === "hangs" ? Infinity : this.latencyMs, signal);
    return { status: behaviour === "fails" ? 503 : 200 };
  }

  /** Waits, or rejects with the signal's reason. */
  wait(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const timer = ms === Infinity
        ? undefined
        : this.clock.setTimeout(resolve, ms);
      signal.addEventListener("abort", () => {
        this.clock.clear(timer);
        reject(signal.reason);
      }, { once: true });
    });
  }
}

/** The transport of the scripted backends, as far as a forwarder uses it. */
function transportOf(stage: Stage): Transport {
  const transport: Partial<Transport> = {
    sendsMethod: () => true,
    send: (outgoing) => stage.send(outgoing),
    classify: (error) =>
      error instanceof Scripted
        ? error.failure
        : { ...DROPPED, reason: String(error) },
    probe: (backend, _path, signal) => stage.probe(backend.authority, signal),
    close: () => {},
  };
  return transport as Transport;
}

/** The part of a server that a forwarder uses. */
const SERVER = {
  wholeUpTo: 64 * 1024,
  peerOf: () => undefined,
  respond: (status, headers, body) => new Response(body, { status, headers }),
} satisfies Partial<Server> as unknown as Server;

/** Plays a scenario to its end. */
export async function simulate(scenario: Scenario): Promise<Outcome> {
  const clock = new FakeClock();
  const stage = new Stage(clock, scenario.latencyMs);
  const names = Array.from(
    { length: scenario.backends },
    (_, i) => String.fromCharCode(97 + i),
  );
  const pool = new Pool(
    names.map((name) => ({ url: `http://${name}` })),
    policyOf(scenario.policy),
  );
  const outcome: Outcome = {
    requests: 0,
    statuses: new Map(),
    attempts: stage.attempts,
    repeated: 0,
    failures: [],
    events: [],
  };
  const random = () => 0.5;
  pool.subscribe(({ type, backend, reason }) => {
    const what = [backend?.authority, type, reason && `(${reason})`];
    outcome.events.push({
      at: clock.now(),
      what: what.filter((word) => word).join(" "),
    });
  });
  const transport = transportOf(stage);
  const ejector = new Ejector(pool, { ...ejection, clock, random });
  const prober = new Prober(pool, {
    ...probing,
    clock,
    random,
    intervalMs: 1_000,
    timeoutMs: 500,
    probe: (backend, path, signal) => transport.probe(backend, path, signal),
  });
  const inFlight = new InFlight(clock);
  const options: Partial<ForwarderOptions> = {
    pool,
    server: SERVER,
    transport,
    clock,
    inFlight,
    rules: new RequestRules({
      trusts: undefined,
      pseudonym: undefined,
    }),
    hostHeader: "backend",
    retries: 2,
    budget: new RetryBudget(0.2),
    timeoutMs: scenario.timeoutMs,
    idleTimeoutMs: Infinity,
    connectTimeoutMs: 3_000,
    clientTimeoutMs: Infinity,
    maxMessageBytes: 16 * 1024 * 1024,
    maxBodyBytes: Infinity,
    maxInFlight: Infinity,
    resume: false,
    exact: false,
    requestId: false,
    trace: false,
    outcome: (...given) => ejector.outcome(...given),
    settled: undefined,
    keyOf: undefined,
    hooks: { failed() {} },
    closing: () => false,
    log: (line) => outcome.events.push({ at: clock.now(), what: line }),
  };
  const forwarder = new Forwarder(options as ForwarderOptions);
  if (scenario.probes) {
    const ready = prober.start();
    await clock.advance(scenario.latencyMs);
    await ready;
  }
  const start = clock.now();
  outcome.events.length = 0;
  for (const { at, backend, behaviour } of scenario.changes) {
    clock.setTimeout(() => {
      outcome.events.push({ at: clock.now(), what: `${backend} ${behaviour}` });
      stage.behaviours.set(backend, behaviour);
    }, at);
  }

  /** One client's request, to the end of its answer. */
  const ask = async (n: number) => {
    const at = clock.now();
    const post = scenario.postEvery > 0 && n % scenario.postEvery === 0;
    const request = new Request(`http://site.test/${n}`, {
      method: post ? "POST" : "GET",
      headers: { host: "site.test" },
    });
    const response = await forwarder.handle(request);
    let { status } = response;
    let why = response.headers.get("proxy-status") ?? `status ${status}`;
    try {
      await response.bytes();
    } catch {
      status = 0;
      why = "the answer was cut";
    }
    const { statuses } = outcome;
    statuses.set(status, (statuses.get(status) ?? 0) + 1);
    if (status === 200) return;
    const what = `${request.method} /${n}: ${status || "cut"} (${why})`;
    outcome.failures.push({ at, what });
  };
  const everyMs = 1_000 / scenario.rate;
  const asked: Promise<void>[] = [];
  for (let n = 0; clock.now() - start < scenario.runMs; n++) {
    outcome.requests++;
    asked.push(ask(n));
    await clock.advance(everyMs);
  }
  await clock.advance(scenario.timeoutMs + 100);
  await Promise.all(asked);
  prober.stop();
  ejector.stop();
  inFlight.stopIfIdle();
  outcome.repeated = [...stage.received.values()].filter((n) => n > 1).length;
  for (const list of [outcome.failures, outcome.events]) {
    for (const happening of list) happening.at -= start;
  }
  return outcome;
}

/** The outcome as text. */
export function report(outcome: Outcome): string {
  const at = (ms: number) => `${(ms / 1_000).toFixed(2).padStart(8)} s  `;
  const counts = (map: ReadonlyMap<string | number, number>) =>
    [...map].map(([key, n]) => `${n}×${key || "cut"}`).join(", ");
  const lines = [
    `${outcome.requests} requests: ${counts(outcome.statuses)}`,
    `attempts: ${counts(outcome.attempts)}`,
    `POSTs received twice: ${outcome.repeated}`,
    "",
    "what befell the backends",
    ...outcome.events.map((event) => at(event.at) + event.what),
    "",
    `what failed: ${outcome.failures.length}`,
    ...outcome.failures.slice(0, 40).map((f) => at(f.at) + f.what),
  ];
  const left = outcome.failures.length - 40;
  if (left > 0) lines.push(`           and ${left} more`);
  return lines.join("\n");
}

/**
 * What a fleet does that no proxy of it can see: many proxies, each choosing
 * for itself, in front of many backends, in virtual time and without a socket.
 *
 * ```sh
 * deno task simulate fleet
 * deno task simulate fleet --seconds=30 --seed=2
 * ```
 *
 * The pools, the policies, slow start and the probes are the real ones; only
 * the network, the clients and the backends are made up. A backend is a queue
 * in front of a few workers, as application servers are.
 *
 * @module
 */

import { type Backend, policyOf, Pool } from "../balancer.ts";
import { Prober } from "../health.ts";
import { rampAfter } from "../proxy/slow_start.ts";
import { Agenda } from "./agenda.ts";
import { FakeClock } from "./clock.ts";
import { probing } from "./probing.ts";
import { seeded } from "./random.ts";

/** Size and load of a fleet. */
export interface Fleet {
  proxies: number;
  backends: number;
  /** Requests that a backend processes at a time; others are queued. */
  workers: number;
  /** Milliseconds of work in a request, on average. */
  workMs: number;
  /** Average share of busy workers. */
  load: number;
  /** Seconds of virtual time. */
  seconds: number;
  seed: number;
}

const FLEET: Fleet = {
  proxies: 100,
  backends: 200,
  workers: 4,
  workMs: 20,
  load: 0.7,
  seconds: 5,
  seed: 1,
};

/** Seconds at the start that are not counted. */
const WARM_UP_S = 1;

/** A request in flight. */
interface Sent {
  at: number;
  workMs: number;
  /** As its proxy sees it. */
  backend: Backend;
}

/** A backend in its real state, as opposed to what its proxies know of it. */
class Server {
  constructor(readonly index: number) {}
  /** Its service time, relative to that of the others. */
  slowness = 1;
  /** Factor of its service time at first, until its caches are warm. */
  coldness = 1;
  requests = 0;
  busy = 0;
  readonly waiting: Sent[] = [];
  deepest = 0;
}

/** Something that will happen. */
type Event =
  | { at: number; kind: "arrive" }
  | { at: number; kind: "done"; server: Server; sent: Sent }
  | { at: number; kind: "call"; call: (now: number) => void };

/** The result of a run. */
export interface Outcome {
  requests: number;
  /** Median latency in milliseconds, and so on. */
  p50: number;
  p99: number;
  p999: number;
  /** Requests of the busiest backend beside the average one. */
  busiest: number;
  /** Maximum requests queued at one backend. */
  deepest: number;
  servers: readonly Server[];
}

/** Events and callbacks of a run. */
export interface Course {
  /** What there is to know of a server before it begins. */
  prepare?: (server: Server, index: number) => void;
  /** Is handed the pools, and sets what will happen to them. */
  happen?: (
    pools: readonly Pool[],
    later: (at: number, call: (now: number) => void) => void,
  ) => void;
  /** Is called for each request: when sent, to which server, its latency. */
  heard?: (at: number, index: number, ms: number) => void;
  /** Whether all proxies begin with the same backend. */
  inStep?: boolean;
  /** Whether a server takes part from the start. */
  member?: (index: number) => boolean;
}

/** Has a fleet work for a while. */
export function run(
  fleet: Fleet,
  policy: string,
  course: Course = {},
): Outcome {
  const { proxies, backends, workers, workMs, load, seconds, seed } = fleet;
  const random = seeded(seed);
  let now = 0;
  const servers = Array.from({ length: backends }, (_, i) => {
    const server = new Server(i);
    course.prepare?.(server, i);
    return server;
  });
  const urlOf = (index: number) => `http://10.0.${index >> 8}.${index & 255}`;
  const serverOf = new Map(servers.map((server, i) => [urlOf(i), server]));
  const members = servers.flatMap((_, i) =>
    course.member?.(i) === false ? [] : urlOf(i)
  );
  const pools = Array.from(
    { length: proxies },
    () =>
      new Pool(members, policyOf(policy, { random, now: () => now }), {
        random: course.inStep === true ? () => 0 : random,
      }),
  );
  const agenda = new Agenda<Event>();
  course.happen?.(
    pools,
    (at, call) => agenda.add({ at, kind: "call", call }),
  );
  const took: number[] = [];

  const begin = (server: Server, sent: Sent) => {
    server.busy++;
    const cold = 1 + (server.coldness - 1) * Math.exp(-server.requests / 200);
    agenda.add({
      at: now + sent.workMs * server.slowness * cold,
      kind: "done",
      server,
      sent,
    });
  };
  // Poisson arrivals, at the rate that gives the configured load.
  const everyMs = workMs / (backends * workers * load);
  const pause = () => -Math.log(1 - random()) * everyMs;
  agenda.add({ at: pause(), kind: "arrive" });
  for (
    let event = agenda.next();
    event !== undefined && event.at < seconds * 1000;
    event = agenda.next()
  ) {
    now = event.at;
    if (event.kind === "call") {
      event.call(now);
      continue;
    }
    if (event.kind === "arrive") {
      agenda.add({ at: now + pause(), kind: "arrive" });
      const pool = pools[Math.floor(random() * proxies)]!;
      // 20,000 clients, one as busy as the other.
      const key = `client ${Math.floor(random() * 20_000)}`;
      const backend = pool.pick(key);
      if (backend === undefined) continue;
      backend.inFlight++;
      const server = serverOf.get(backend.url)!;
      // Skewed: mostly short, one in fifty takes ten times as long.
      const scale = random() < 0.02 ? 10 / 1.18 : 1 / 1.18;
      const work = workMs * scale * -Math.log(1 - random());
      const sent = { at: now, workMs: work, backend };
      server.requests++;
      if (server.busy < workers) begin(server, sent);
      else server.waiting.push(sent);
      if (now > WARM_UP_S * 1000) {
        server.deepest = Math.max(server.deepest, server.waiting.length);
      }
      continue;
    }
    const { server, sent } = event;
    const ms = now - sent.at;
    server.busy--;
    sent.backend.inFlight--;
    sent.backend.observed(ms, now);
    course.heard?.(sent.at, server.index, ms);
    if (sent.at > WARM_UP_S * 1000) took.push(ms);
    const next = server.waiting.shift();
    if (next !== undefined) begin(server, next);
  }
  took.sort((a, b) => a - b);
  const total = servers.reduce((sum, { requests }) => sum + requests, 0);
  return {
    requests: total,
    p50: quantile(took, 0.5),
    p99: quantile(took, 0.99),
    p999: quantile(took, 0.999),
    busiest: Math.max(...servers.map(({ requests }) => requests)) /
      (total / backends),
    deepest: Math.max(...servers.map(({ deepest }) => deepest)),
    servers,
  };
}

/** The value that a share of the sorted values does not exceed. */
function quantile(sorted: readonly number[], share: number): number {
  return sorted[Math.floor(share * (sorted.length - 1))] ?? NaN;
}

/** What round robin would be if all proxies began alike. */
const IN_STEP = "round_robin in step";

const POLICIES = [
  IN_STEP,
  "round_robin",
  "random",
  "ip_hash",
  "least_conn",
  "p2c",
  "ewma",
];

/** Rows as a Markdown table. */
function table(rows: readonly (readonly string[])[]): string {
  const widths = rows[0]!.map((_, column) =>
    Math.max(...rows.map((row) => row[column]!.length))
  );
  const line = (row: readonly string[]) =>
    `| ${
      row.map((cell, i) =>
        i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!)
      ).join(" | ")
    } |`;
  const rule = `| ${
    widths.map((width, i) =>
      i === 0 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`
    ).join(" | ")
  } |`;
  return [line(rows[0]!), rule, ...rows.slice(1).map(line)].join("\n");
}

const ms = (value: number) => `${Math.round(value)} ms`;

/** How each policy does, when backends are alike and when one in ten is slow. */
function comparePolicies(fleet: Fleet): string {
  const rows = [[
    "Policy",
    "p50",
    "p99",
    "p99.9",
    "busiest",
    "queue",
    "p99, 10 % slow",
    "their share",
  ]];
  for (const name of POLICIES) {
    const [policy, inStep] = name === IN_STEP
      ? ["round_robin", true]
      : [name, false];
    const alike = run(fleet, policy, { inStep });
    const isSlow = (index: number) => index % 10 === 3;
    const mixed = run({ ...fleet, load: fleet.load * 0.7 }, policy, {
      inStep,
      prepare: (server, i) => server.slowness = isSlow(i) ? 3 : 1,
    });
    const theirs = mixed.servers.filter((_, i) => isSlow(i))
      .reduce((sum, { requests }) => sum + requests, 0) / mixed.requests;
    rows.push([
      name === IN_STEP ? "(all in step)" : `\`${name}\``,
      ms(alike.p50),
      ms(alike.p99),
      ms(alike.p999),
      `${alike.busiest.toFixed(2)} ×`,
      String(alike.deepest),
      ms(mixed.p99),
      `${(theirs * 100).toFixed(1)} %`,
    ]);
  }
  return table(rows);
}

/** What a backend with cold caches goes through when it joins. */
function compareSlowStart(fleet: Fleet): string {
  const joinsAt = 2_000;
  const newcomer = fleet.backends - 1;
  const rows = [["A newcomer, 4 × slower while cold", "p99 there", "queue"]];
  for (const policy of ["round_robin", "ewma"]) {
    for (const slowStartMs of [0, 10_000]) {
      const took: number[] = [];
      const { servers } = run(
        { ...fleet, seconds: 12 },
        policy,
        {
          member: (index) => index !== newcomer,
          prepare: (server, i) => server.coldness = i === newcomer ? 4 : 1,
          heard(_at, index, ms) {
            if (index === newcomer) took.push(ms);
          },
          happen(pools, later) {
            const added: Backend[] = [];
            later(joinsAt, () => {
              for (const pool of pools) {
                added.push(pool.add(
                  `http://10.0.${newcomer >> 8}.${newcomer & 255}`,
                ));
              }
            });
            for (let at = joinsAt; at <= joinsAt + slowStartMs; at += 200) {
              later(at, (now) => {
                if (slowStartMs === 0) return;
                const ramp = rampAfter(now - joinsAt, slowStartMs);
                for (const backend of added) backend.ramp = ramp;
              });
            }
          },
        },
      );
      const last = servers.at(-1)!;
      took.sort((a, b) => a - b);
      rows.push([
        `\`${policy}\`, SLOW_START=${slowStartMs ? "10s" : "off"}`,
        ms(quantile(took, 0.99)),
        String(last.deepest),
      ]);
    }
  }
  return table(rows);
}

/** What the probes of all proxies are to one backend. */
async function probeLoad(fleet: Fleet): Promise<string> {
  const clock = new FakeClock();
  const random = seeded(fleet.seed);
  const at: number[] = [];
  const probers = Array.from({ length: fleet.proxies }, () => {
    const prober = new Prober(new Pool(["http://10.0.0.0"]), {
      ...probing,
      clock,
      random,
      probe: () => {
        at.push(clock.now());
        return Promise.resolve({ status: 200 });
      },
    });
    prober.start();
    return prober;
  });
  await clock.advance(60_000);
  for (const prober of probers) prober.stop();
  const perSecond = new Map<number, number>();
  // The first probes are sent when the proxies start: at worst all at once.
  for (const ms of at.filter((ms) => ms >= 10_000)) {
    const second = Math.floor(ms / 1_000);
    perSecond.set(second, (perSecond.get(second) ?? 0) + 1);
  }
  const counts = [...perSecond.values()];
  const mean = counts.reduce((sum, n) => sum + n, 0) / 50;
  return `Probes per backend, ${fleet.proxies} proxies at 5 s: ` +
    `${mean.toFixed(1)}/s, ${Math.max(...counts)} in the busiest second`;
}

/** Reads `--name=number` into a fleet. */
function fleetOf(args: readonly string[]): Fleet {
  const fleet = { ...FLEET };
  for (const arg of args) {
    const [, name = "", value = ""] = /^--(\w+)=([\d.]+)$/.exec(arg) ?? [];
    if (!Object.hasOwn(fleet, name)) {
      throw new TypeError(
        `Cannot simulate: "${arg}" is none of ${
          Object.keys(fleet).map((key) => `--${key}=`).join(", ")
        }`,
      );
    }
    fleet[name as keyof Fleet] = Number(value);
  }
  return fleet;
}

/** Prints the figures of a fleet. */
export async function fleet(args: readonly string[]): Promise<void> {
  const fleet = fleetOf(args);
  const { proxies, backends, workers, workMs, load, seconds } = fleet;
  console.log(
    `${proxies} proxies, ${backends} backends of ${workers} workers, ` +
      `${workMs} ms of work (one in 50 requests ten times that), ` +
      `${load * 100} % busy, ${seconds} s\n`,
  );
  console.log(comparePolicies(fleet));
  console.log(`\n${compareSlowStart(fleet)}`);
  console.log(`\n${await probeLoad(fleet)}`);
}

if (import.meta.main) await fleet(Deno.args);

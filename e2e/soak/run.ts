/**
 * Mixed traffic through one proxy for a long time, while backends are killed
 * and restarted and `BACKENDS_FILE` changes: how memory and descriptors
 * develop, and whether each failure has a reason.
 *
 * @module
 */

import { seeded } from "../../testing/random.ts";
import { BackendProcess } from "../chaos/process.ts";
import { ADMIN_ENV, adminUrl, EventReader } from "../harness/admin.ts";
import {
  type ProxyProcess,
  type Runtime,
  startProxy,
} from "../harness/proxy.ts";
import { delay, until, within } from "../harness/wait.ts";
import { fitLine } from "./fit.ts";
import type { Sample } from "./plot.ts";
import { drawKind, explainedByKill, type Visit, Visitors } from "./visits.ts";

/** How long and how hard. */
export interface SoakOptions {
  runtime: Runtime;
  transport: "fetch" | "socket";
  seconds: number;
  /** Visits a second. */
  rate: number;
  /** Seconds that the fit leaves out. */
  warmUp: number;
  /** Seconds between samples. @default {5} */
  everySeconds?: number;
  /** Seconds between kills of a backend. @default {20} */
  killSeconds?: number;
  /** Seconds between changes of `BACKENDS_FILE`. @default {7} */
  reloadSeconds?: number;
  /**
   * Seconds between stops of the proxy's process, each of 4 s, as on an
   * overloaded machine. Failures are not checked then. @default {never}
   */
  stallSeconds?: number;
  /** GETs a second in addition to the visits, sent by h2load. @default {0} */
  base?: number;
  /** Is called with each sample. */
  onSample?: (sample: Sample) => void;
}

/** The result. */
export interface Soaked {
  samples: Sample[];
  /** Visits by kind and outcome: `post 502`. */
  outcomes: Map<string, number>;
  /** Failures without a reason; the first fifty. */
  unexplained: string[];
  /**
   * Moments in which this process was more than a second late, and the failures
   * around them: the machine had no time then, for the proxy neither.
   */
  stalls: { count: number; longestMs: number; failures: number };
  /** The GETs of h2load, by result. */
  base: { succeeded: number; failed: number };
  kills: number;
  reloads: number;
  /** By the line through the samples behind the warm-up. */
  grown: { rssMb: number; descriptors: number; inFlight: number };
  /** At the start, and when all clients and backends have gone. */
  descriptors: { before: number; after: number };
  /** Mean share of one core. */
  cpu: number;
  log: string[];
}

const BACKENDS = 3;

/** A visit that lasts longer than this has hung. */
const HUNG_MS = 20_000;

/** A timer that is later than this says that the machine has no time. */
const STALL_MS = 1_000;

/** What such a moment explains around it: what waits then comes late. */
const AROUND_STALL_MS = 5_000;

/** The backends, and what is done to them. */
class Disturbed implements AsyncDisposable {
  /** When a backend was away: from its kill until it listened again. */
  readonly away: { from: number; to: number }[] = [];
  reloads = 0;

  private constructor(
    readonly folder: string,
    readonly all: readonly BackendProcess[],
    readonly random: () => number,
  ) {}

  static async start(random: () => number): Promise<Disturbed> {
    const folder = await Deno.makeTempDir({ prefix: "sluice-soak-" });
    const program = new URL("backend.ts", import.meta.url);
    const all: BackendProcess[] = [];
    for (let i = 0; i < BACKENDS; i++) {
      all.push(await BackendProcess.start(folder, "", program));
    }
    const disturbed = new Disturbed(folder, all, random);
    await disturbed.write();
    return disturbed;
  }

  get file(): string {
    return `${this.folder}/backends`;
  }

  /** Writes all backends, or all but one, with weights drawn by lot. */
  async write(without?: number): Promise<void> {
    const lines = this.all.flatMap(({ url }, i) =>
      i === without
        ? []
        : [`${url} weight=${1 + Math.floor(3 * this.random())}`]
    );
    await Deno.writeTextFile(`${this.file}.new`, lines.join("\n") + "\n");
    await Deno.rename(`${this.file}.new`, this.file);
  }

  async reload(): Promise<void> {
    this.reloads++;
    // Every second time all are there again.
    await this.write(
      this.reloads % 2 === 0 ? undefined : Math.floor(BACKENDS * this.random()),
    );
  }

  async kill(): Promise<void> {
    const backend = this.all[Math.floor(BACKENDS * this.random())]!;
    const window = { from: performance.now(), to: Infinity };
    this.away.push(window);
    await backend.kill();
    await delay(500);
    await backend.start();
    // Requests on its old connections may be reported a little later.
    window.to = performance.now() + 1_000;
  }

  explains(visit: Visit): boolean {
    return explainedByKill(visit) &&
      this.away.some(({ from, to }) =>
        visit.startedAt <= to && visit.endedAt >= from
      );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const backend of this.all) await backend[Symbol.asyncDispose]();
    await Deno.remove(this.folder, { recursive: true });
  }
}

/** Repeats something until it is stopped. */
class Again {
  #ending = Promise.withResolvers<void>();
  readonly #done: Promise<void>;

  constructor(seconds: number, act: () => Promise<void>) {
    this.#done = (async () => {
      while (await this.#pause(seconds)) await act();
    })();
  }

  /** False once it is stopped. */
  async #pause(seconds: number): Promise<boolean> {
    let timer: ReturnType<typeof setTimeout>;
    const over = new Promise<boolean>((resolve) => {
      timer = setTimeout(() => resolve(true), seconds * 1_000);
    });
    const going = await Promise.race([
      over,
      this.#ending.promise.then(() => false),
    ]);
    clearTimeout(timer!);
    return going;
  }

  async end(): Promise<void> {
    this.#ending.resolve();
    await this.#done;
  }
}

/** Visits at a rate, and their results. */
class Traffic {
  readonly outcomes = new Map<string, number>();
  readonly unexplained: string[] = [];
  readonly stalls = { count: 0, longestMs: 0, failures: 0 };
  ended = 0;
  failures = 0;
  readonly #stalled: { from: number; to: number }[] = [];
  readonly #underWay = new Set<Promise<void>>();

  constructor(
    readonly visitors: Visitors,
    readonly disturbed: Disturbed,
    readonly startedAt: number,
    readonly stopped: boolean,
  ) {}

  async run(rate: number, seconds: number): Promise<void> {
    const { random } = this.visitors;
    const end = this.startedAt + seconds * 1_000;
    let due = performance.now();
    while (due < end) {
      const now = performance.now();
      for (; due <= now && due < end; due += 1_000 / rate) {
        const visit = this.#visit(drawKind(random));
        this.#underWay.add(visit);
        visit.then(() => this.#underWay.delete(visit));
      }
      await delay(5);
      const late = performance.now() - now - 5;
      if (late > STALL_MS) this.#stall(now, late);
    }
    await Promise.all(this.#underWay);
  }

  #stall(from: number, ms: number): void {
    const { stalls } = this;
    stalls.count++;
    stalls.longestMs = Math.max(stalls.longestMs, ms);
    this.#stalled.push({
      from: from - AROUND_STALL_MS,
      to: from + ms + AROUND_STALL_MS,
    });
  }

  async #visit(kind: Visit["kind"]): Promise<void> {
    const visiting = this.visitors.visit(kind);
    const startedAt = performance.now();
    const visit = await within(visiting, HUNG_MS, "an answer").catch(() => ({
      kind,
      outcome: "hung",
      startedAt,
      endedAt: performance.now(),
    }));
    this.ended++;
    const name = `${kind} ${visit.outcome}`;
    this.outcomes.set(name, (this.outcomes.get(name) ?? 0) + 1);
    if (visit.outcome === "ok" || this.disturbed.explains(visit)) return;
    // A late timer of this process has fired by then.
    await delay(100);
    const stalled = ({ from, to }: { from: number; to: number }) =>
      visit.startedAt <= to && visit.endedAt >= from;
    if (this.stopped || this.#stalled.some(stalled)) {
      this.stalls.failures++;
      return;
    }
    this.failures++;
    if (this.unexplained.length >= 50) return;
    const seconds = (visit.endedAt - this.startedAt) / 1_000;
    const took = visit.endedAt - visit.startedAt;
    this.unexplained.push(
      `${name} at ${seconds.toFixed(1)} s, after ${took.toFixed(0)} ms`,
    );
  }
}

/** The connections over which {@linkcode baseLoad} sends. */
const BASE_CONNECTIONS = 16;

/** Sends GETs at a steady rate, and counts the results. */
async function baseLoad(
  port: number,
  rate: number,
  seconds: number,
): Promise<Soaked["base"]> {
  if (rate === 0) return { succeeded: 0, failed: 0 };
  const { stdout } = await new Deno.Command("h2load", {
    args: [
      "--h1",
      `--duration=${seconds}`,
      `--clients=${BASE_CONNECTIONS}`,
      `--rps=${rate / BASE_CONNECTIONS}`,
      `http://127.0.0.1:${port}/`,
    ],
    stdin: "null",
    stderr: "null",
  }).output();
  const text = new TextDecoder().decode(stdout);
  const count = (what: string) =>
    Number(new RegExp(`(\\d+) ${what}`).exec(text)?.[1] ?? NaN);
  const succeeded = count("2xx");
  return { succeeded, failed: count("done") - succeeded + count("failed") };
}

async function inFlight(admin: string): Promise<number> {
  const text = await (await fetch(`${admin}/metrics`)).text();
  return Number(/^sluice_requests_in_flight (\d+)$/m.exec(text)?.[1]);
}

/** Reads events until they end, like an open dashboard. */
async function watch(events: EventReader): Promise<void> {
  while (true) {
    try {
      await events.next();
    } catch {
      return;
    }
  }
}

function startSoaked(
  { runtime, transport }: SoakOptions,
  { folder, file }: Disturbed,
): Promise<ProxyProcess> {
  return startProxy(runtime, {
    env: {
      BACKENDS_FILE: file,
      TRANSPORT: transport,
      POLICY: "p2c",
      // A machine that is busy for a while is not a failure of a backend.
      HEALTH_INTERVAL: "5s",
      HEALTH_TIMEOUT: "4500ms",
      HEALTH_RISE: "1",
      RATE_LIMIT: "1000000/s",
      MAX_IN_FLIGHT: "10000",
      REQUEST_ID: "on",
      TRACE: "on",
      ACCESS_LOG: "json",
      ...ADMIN_ENV,
    },
    permissions: [`--allow-read=${folder}`],
  });
}

/** Runs it. */
export async function soak(options: SoakOptions): Promise<Soaked> {
  const { seconds, rate, warmUp, everySeconds = 5 } = options;
  const { killSeconds = 20, reloadSeconds = 7, stallSeconds } = options;
  const random = seeded(18);
  await using disturbed = await Disturbed.start(random);
  await using proxy = await startSoaked(options, disturbed);
  const admin = await adminUrl(proxy);
  await using events = await EventReader.open(`${admin}/events`);
  const watching = watch(events);
  await inFlight(admin);
  const before = proxy.fds();
  const startedAt = performance.now();
  const samples: Sample[] = [];
  const visitors = new Visitors(proxy.port, random);
  const traffic = new Traffic(
    visitors,
    disturbed,
    startedAt,
    stallSeconds !== undefined,
  );
  const startCpu = proxy.cpuMs();
  let last = { at: startedAt, cpuMs: startCpu };
  const sampling = new Again(everySeconds, async () => {
    const count = await inFlight(admin);
    const now = { at: performance.now(), cpuMs: proxy.cpuMs() };
    const sample: Sample = {
      at: (now.at - startedAt) / 1_000,
      rss: proxy.rss() / 1024 ** 2,
      descriptors: proxy.fds(),
      inFlight: count,
      cpu: (now.cpuMs - last.cpuMs) / (now.at - last.at),
      requests: traffic.ended,
      unexplained: traffic.failures,
    };
    last = now;
    // Kept by this process only, which is not measured.
    proxy.stdout.length = 0;
    samples.push(sample);
    options.onSample?.(sample);
  });
  const killing = new Again(killSeconds, () => disturbed.kill());
  const reloading = new Again(reloadSeconds, () => disturbed.reload());
  const stalling = new Again(stallSeconds ?? 1e6, async () => {
    proxy.signal("SIGSTOP");
    await delay(4_000);
    proxy.signal("SIGCONT");
  });
  const [base] = await Promise.all([
    baseLoad(proxy.port, options.base ?? 0, seconds),
    traffic.run(rate, seconds),
  ]);
  const acting = [sampling, killing, reloading, stalling];
  await Promise.all(acting.map((one) => one.end()));
  const cpu = (proxy.cpuMs() - startCpu) / (performance.now() - startedAt);
  visitors[Symbol.dispose]();
  const after = await settled(proxy, admin, disturbed, before);
  await events[Symbol.asyncDispose]();
  await watching;
  return {
    samples,
    outcomes: traffic.outcomes,
    unexplained: traffic.unexplained,
    stalls: traffic.stalls,
    base,
    kills: disturbed.away.length,
    reloads: disturbed.reloads,
    grown: grown(samples.filter(({ at }) => at >= warmUp)),
    descriptors: { before, after },
    cpu,
    log: proxy.stderr,
  };
}

/** Waits until no request is in flight, and descriptors are released. */
async function settled(
  proxy: ProxyProcess,
  admin: string,
  disturbed: Disturbed,
  before: number,
): Promise<number> {
  await until(async () => await inFlight(admin) === 0, {
    timeoutMs: 15_000,
    what: "no request in flight",
  });
  // Runtimes keep connections to backends for minutes: these end with them.
  for (const backend of disturbed.all) await backend.kill();
  await until(() => proxy.fds() <= before, { timeoutMs: 10_000 })
    .catch(() => {});
  return proxy.fds();
}

/** The growth of each over these samples, by the fitted line. */
function grown(samples: readonly Sample[]): Soaked["grown"] {
  const over = (samples.at(-1)?.at ?? 0) - (samples[0]?.at ?? 0);
  const of = (name: "rss" | "descriptors" | "inFlight") =>
    over * fitLine(samples.map((sample) => [sample.at, sample[name]])).slope;
  return {
    rssMb: of("rss"),
    descriptors: of("descriptors"),
    inFlight: of("inFlight"),
  };
}

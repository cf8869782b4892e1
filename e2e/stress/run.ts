/**
 * Good traffic through a proxy, before an attack and during it.
 *
 * @module
 */

import assert from "node:assert/strict";
import { BackendProcess } from "../chaos/process.ts";
import { ADMIN_ENV, adminUrl } from "../harness/admin.ts";
import { type Asked, OpenLoop } from "../harness/open_loop.ts";
import {
  type ProxyProcess,
  type Runtime,
  startProxy,
} from "../harness/proxy.ts";
import { until } from "../harness/wait.ts";
import { Authority, HERE } from "../tls/certificates.ts";
import type { Attack } from "./attacks.ts";

/** How long and how hard. */
export interface StressOptions {
  runtime: Runtime;
  transport: "fetch" | "socket";
  /** Made all at once; either all of HTTP/2 or none. */
  attacks: readonly Attack[];
  /** Seconds before the attacks, and during them. */
  seconds: number;
  /** Seconds that attacks get until the measuring begins. @default {3} */
  rampSeconds?: number;
  /** Good requests a second. @default {100} */
  rate?: number;
  /** Share of the attack's size. @default {1} */
  scale?: number;
}

/** Latencies in milliseconds. */
export interface Latency {
  p50: number;
  p99: number;
}

/** The result. */
export interface Stressed {
  before: Latency;
  during: Latency;
  /** Number of good requests, each of which was answered with 200. */
  asked: number;
  /** Megabytes of memory: before, the most during, and after. */
  rss: [before: number, most: number, after: number];
  /** Descriptors: before, the most during, and after. */
  descriptors: [before: number, most: number, after: number];
  /** What the attacks have printed. */
  output: string[];
}

function latency(asked: readonly Asked[]): Latency {
  const times = asked.map(({ at, endedAt }) => endedAt - at)
    .sort((a, b) => a - b);
  const at = (share: number) => times[Math.floor(share * times.length)] ?? NaN;
  return { p50: at(0.5), p99: at(0.99) };
}

async function start(
  { runtime, transport }: StressOptions,
  backend: string,
  ca: Authority | undefined,
): Promise<ProxyProcess> {
  const pair = await ca?.sign(HERE);
  return await startProxy(runtime, {
    env: {
      BACKENDS: backend,
      TRANSPORT: transport,
      ...ADMIN_ENV,
      ...ca === undefined || pair === undefined ? {} : {
        TLS_CERT: await ca.write("front.pem", pair.cert),
        TLS_KEY: await ca.write("front.key", pair.key),
      },
    },
    permissions: ca === undefined ? [] : ["--allow-read"],
  });
}

async function inFlight(admin: string): Promise<number> {
  const text = await (await fetch(`${admin}/metrics`)).text();
  return Number(/^sluice_requests_in_flight (\d+)$/m.exec(text)?.[1]);
}

const MB = 1024 ** 2;

/** Runs it; throws if good traffic is not served, or something leaks. */
export async function stress(options: StressOptions): Promise<Stressed> {
  const { attacks, seconds, rampSeconds = 3, rate = 100, scale = 1 } = options;
  const http2 = attacks.some((attack) => attack.http2);
  const folder = await Deno.makeTempDir({ prefix: "sluice-" });
  await using ca = http2 ? await Authority.make() : undefined;
  await using backend = await BackendProcess.start(
    folder,
    "",
    new URL("../soak/backend.ts", import.meta.url),
  );
  await using proxy = await start(options, backend.url, ca);
  const admin = await adminUrl(proxy);
  await inFlight(admin);
  const first = proxy.fds();
  await using load = new OpenLoop(proxy.port, {
    even: true,
    ...http2 ? { connect: { tls: {} } } : {},
  });
  // A runtime is slow until it has compiled what is hot.
  await load.run(rate, Math.min(5, seconds));
  const before = await load.run(rate, seconds);
  await load.settle();
  const idle = { fds: proxy.fds(), rss: proxy.rss() };
  const most = { ...idle };
  const watching = setInterval(() => {
    most.fds = Math.max(most.fds, proxy.fds());
    most.rss = Math.max(most.rss, proxy.rss());
  }, 100);
  let during: Asked[] = [];
  let output: string[] = [];
  try {
    const attacking = Promise.all(
      attacks.map((attack) =>
        run(attack.command(proxy.port, seconds + rampSeconds, scale))
      ),
    );
    await load.run(rate, rampSeconds);
    during = await load.run(rate, seconds);
    output = await attacking;
    await load.settle();
  } finally {
    clearInterval(watching);
  }
  const failed = load.asked.filter(({ status }) => status !== 200);
  assert.equal(failed.length, 0, `${failed.length} failed; ${proxy.log}`);
  assert.equal(proxy.exited, undefined);
  assert.doesNotMatch(proxy.log, /is down|is ejected|not handled/);
  // Good clients and the backend go too, with the connections that are kept.
  await load[Symbol.asyncDispose]();
  await until(async () => await inFlight(admin) === 0, { timeoutMs: 20_000 });
  await backend.kill();
  await until(() => proxy.fds() <= first + 5, {
    timeoutMs: 20_000,
    everyMs: 100,
    what: () => `${first} descriptors, not ${proxy.fds()}`,
  });
  await Deno.remove(folder, { recursive: true });
  return {
    before: latency(before),
    during: latency(during),
    asked: load.asked.length,
    rss: [idle.rss / MB, most.rss / MB, proxy.rss() / MB],
    descriptors: [idle.fds, most.fds, proxy.fds()],
    output,
  };
}

/** Runs an attack to its end; returns its output. */
async function run(command: readonly string[]): Promise<string> {
  const [program, ...args] = command;
  const { stdout, stderr } = await new Deno.Command(program!, {
    args,
    stdin: "null",
  }).output();
  const text = new TextDecoder();
  return `${text.decode(stdout)}${text.decode(stderr)}`.trim();
}

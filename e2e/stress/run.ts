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
  attack: Attack;
  /** Seconds before the attack, and during it. */
  seconds: number;
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
  /** What the attack has printed. */
  output: string;
}

/** Time between the start of an attack and that of the measurement. */
const RAMP_SECONDS = 3;

function latency(asked: readonly Asked[]): Latency {
  const times = asked.map(({ at, endedAt }) => endedAt - at)
    .sort((a, b) => a - b);
  const at = (share: number) => times[Math.floor(share * times.length)] ?? NaN;
  return { p50: at(0.5), p99: at(0.99) };
}

async function start(
  { runtime, transport, attack }: StressOptions,
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
    permissions: attack.http2 ? ["--allow-read"] : [],
  });
}

async function inFlight(admin: string): Promise<number> {
  const text = await (await fetch(`${admin}/metrics`)).text();
  return Number(/^sluice_requests_in_flight (\d+)$/m.exec(text)?.[1]);
}

const MB = 1024 ** 2;

/** Runs it; throws if good traffic is not served, or something leaks. */
export async function stress(options: StressOptions): Promise<Stressed> {
  const { attack, seconds, rate = 100, scale = 1 } = options;
  const folder = await Deno.makeTempDir({ prefix: "sluice-" });
  await using ca = attack.http2 ? await Authority.make() : undefined;
  await using backend = await BackendProcess.start(
    folder,
    "",
    new URL("../soak/backend.ts", import.meta.url),
  );
  await using proxy = await start(options, backend.url, ca);
  const admin = await adminUrl(proxy);
  await using load = new OpenLoop(proxy.port, {
    even: true,
    ...attack.http2 ? { connect: { tls: {} } } : {},
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
  let output = "";
  try {
    const attacking = attackOn(attack, proxy.port, seconds, scale);
    await load.run(rate, RAMP_SECONDS);
    during = await load.run(rate, seconds);
    output = await attacking;
    await load.settle();
  } finally {
    clearInterval(watching);
  }
  const failed = load.asked.filter(({ status }) => status !== 200);
  assert.equal(failed.length, 0, `${failed.length} failed; ${proxy.log}`);
  await until(
    async () => await inFlight(admin) === 0 && proxy.fds() <= idle.fds + 5,
    {
      timeoutMs: 20_000,
      everyMs: 100,
      what: () => `${idle.fds} descriptors, not ${proxy.fds()}`,
    },
  );
  assert.equal(proxy.exited, undefined);
  assert.doesNotMatch(proxy.log, /is down|is ejected|not handled/);
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

/** Runs an attack to its end; returns its last line. */
async function attackOn(
  attack: Attack,
  port: number,
  seconds: number,
  scale: number,
): Promise<string> {
  const [program, ...args] = attack.command(
    port,
    seconds + RAMP_SECONDS,
    scale,
  );
  const { stdout, stderr } = await new Deno.Command(program!, {
    args,
    stdin: "null",
  }).output();
  const text = new TextDecoder();
  return `${text.decode(stdout)}${text.decode(stderr)}`.trim();
}

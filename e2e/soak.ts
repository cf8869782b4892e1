/**
 * Leaves a proxy running under mixed traffic: GET, POST, uploads, event
 * streams, WebSockets, clients that leave, backends that are killed and started
 * again, and a `BACKENDS_FILE` that changes. Samples memory, descriptors and
 * requests in flight, and fits a line through what follows the warm-up.
 *
 * ```sh
 * deno task soak                          # 30 minutes each: both runtimes, both transports
 * deno task soak deno socket --minutes=10 # one runtime, one transport
 * deno task soak --rate=100 --out=DIR     # visits a second; CSV and SVG go to DIR
 * deno task soak --base=3000    # GETs a second in addition, sent by h2load
 * deno task soak --stalls=20              # the proxy is stopped for 4 s every 20 s
 * ```
 *
 * @module
 */

import { closeAll } from "./harness/cleanup.ts";
import { RUNTIMES } from "./harness/proxy.ts";
import { csv, svg } from "./soak/plot.ts";
import { soak, type SoakOptions } from "./soak/run.ts";

const TRANSPORTS = ["fetch", "socket"] as const;

/**
 * Megabytes of growth that count as noise: the size of a heap varies. Descriptors
 * and requests in flight depend on how many clients there are, so what counts is
 * how many are left at the end.
 */
const GROWTH_MB = 24;

function flag(name: string): string | undefined {
  const start = `--${name}=`;
  return Deno.args.find((arg) => arg.startsWith(start))?.slice(start.length);
}

/** Runs one, writes its files, prints the result; false if it failed. */
async function report(options: SoakOptions, folder?: string): Promise<boolean> {
  const { runtime, transport, seconds, rate } = options;
  const name = `${runtime}-${transport}`;
  const started = new Date().toISOString();
  console.log(`\n${name}, ${seconds / 60} min, ${rate}/s, from ${started}`);
  const soaked = await soak({
    ...options,
    onSample: ({ at, rss, descriptors, inFlight, unexplained }) => {
      if (Math.round(at) % 60 >= 5) return;
      console.log(
        `${at.toFixed(0).padStart(5)} s ${rss.toFixed(0).padStart(5)} MB`,
        `${descriptors} descriptors, ${inFlight} in flight,`,
        `${unexplained} unexplained`,
      );
    },
  });
  const { samples, outcomes, unexplained, base, grown, descriptors } = soaked;
  if (folder !== undefined) {
    await Deno.mkdir(folder, { recursive: true });
    await Deno.writeTextFile(`${folder}/${name}.csv`, csv(samples));
    await Deno.writeTextFile(`${folder}/${name}.svg`, svg(name, samples));
    await Deno.writeTextFile(`${folder}/${name}.log`, soaked.log.join("\n"));
  }
  const requests = [...outcomes.values()].reduce((sum, count) => sum + count);
  const rss = samples.map((sample) => sample.rss);
  console.log(
    `${requests} visits, ${soaked.kills} kills, ${soaked.reloads} reloads,`,
    `${(100 * soaked.cpu).toFixed(0)} % of a core`,
  );
  console.log(Object.fromEntries([...outcomes].sort()));
  console.log(`h2load: ${base.succeeded} succeeded, ${base.failed} failed`);
  console.log(
    `memory ${Math.min(...rss).toFixed(0)} to ${
      Math.max(...rss).toFixed(0)
    } MB;`,
    `grown after the warm-up by the fit: ${grown.rssMb.toFixed(1)} MB,`,
    `${grown.descriptors.toFixed(1)} descriptors,`,
    `${grown.inFlight.toFixed(1)} in flight;`,
    `descriptors ${descriptors.before} before, ${descriptors.after} after`,
  );
  const { stalls } = soaked;
  if (stalls.count > 0) {
    console.log(
      `the machine had no time ${stalls.count} times, for up to`,
      `${(stalls.longestMs / 1_000).toFixed(1)} s;`,
      `${stalls.failures} failures then`,
    );
  }
  const faults = [
    ...unexplained,
    ...base.failed === 0 ? [] : [`${base.failed} GETs of h2load have failed`],
    ...options.base && !(base.succeeded > 0)
      ? ["no GET of h2load has succeeded"]
      : [],
    ...grown.rssMb > GROWTH_MB
      ? [`memory has grown by ${grown.rssMb.toFixed(1)} MB`]
      : [],
    ...descriptors.after > descriptors.before + 8
      ? [`${descriptors.after - descriptors.before} descriptors are left`]
      : [],
  ];
  for (const fault of faults) console.log(`FAULT: ${fault}`);
  return faults.length === 0;
}

if (import.meta.main) {
  const words = Deno.args.filter((arg) => !arg.startsWith("--"));
  const seconds = 60 * Number(flag("minutes") ?? 30);
  const chosen = <T extends string>(all: readonly T[]): readonly T[] => {
    const some = all.filter((one) => words.includes(one));
    return some.length > 0 ? some : all;
  };
  let good = true;
  for (const runtime of chosen(RUNTIMES)) {
    for (const transport of chosen(TRANSPORTS)) {
      const options: SoakOptions = {
        runtime,
        transport,
        seconds,
        rate: Number(flag("rate") ?? 100),
        base: Number(flag("base") ?? 0),
        warmUp: Math.min(300, seconds / 3),
        ...flag("stalls") === undefined
          ? {}
          : { stallSeconds: Number(flag("stalls")) },
      };
      try {
        good = await report(options, flag("out")) && good;
      } catch (error) {
        good = false;
        console.error(error);
        await closeAll();
      }
    }
  }
  Deno.exit(good ? 0 : 1);
}

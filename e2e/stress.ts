/**
 * Slow clients, slow backends and HTTP/2 floods beside good traffic: what the
 * good traffic notices of them.
 *
 * ```sh
 * deno task stress                     # all, on both runtimes, over both transports
 * deno task stress deno socket resets  # one runtime, one transport, one attack
 * ```
 *
 * @module
 */

import { closeAll } from "./harness/cleanup.ts";
import { RUNTIMES } from "./harness/proxy.ts";
import { ATTACKS, hindrance } from "./stress/attacks.ts";
import { type Latency, stress } from "./stress/run.ts";

const TRANSPORTS = ["fetch", "socket"] as const;

/** Seconds of good traffic before an attack, and during it. */
const SECONDS = 10;

/** What good traffic's p99 may be, as a multiple of what it was before. */
const MOST = 2;

/** Latencies below this are not told apart on a machine with other work. */
const FLOOR_MS = 3;

function shown({ p50, p99 }: Latency): string {
  return `${p50.toFixed(1)}, ${p99.toFixed(1)} ms`;
}

if (import.meta.main) {
  const chosen = <T extends string>(all: readonly T[]): readonly T[] => {
    const some = all.filter((one) => Deno.args.includes(one));
    return some.length > 0 ? some : all;
  };
  const names = chosen(ATTACKS.map(({ name }) => name));
  let good = true;
  for (const runtime of chosen(RUNTIMES)) {
    for (const transport of chosen(TRANSPORTS)) {
      console.log(`\n${runtime}, TRANSPORT=${transport}: p50, p99 of the good`);
      for (const attack of ATTACKS) {
        if (!names.includes(attack.name)) continue;
        const why = hindrance(attack, runtime);
        if (why !== undefined) {
          console.log(`${attack.name.padEnd(14)} skipped: ${why}`);
          continue;
        }
        try {
          const { before, during, asked, rss, descriptors } = await stress({
            runtime,
            transport,
            attacks: [attack],
            seconds: SECONDS,
          });
          const fine = during.p99 <= Math.max(MOST * before.p99, FLOOR_MS);
          good &&= fine;
          console.log(
            attack.name.padEnd(14),
            `${shown(before)} before, ${shown(during)} during,`,
            `${asked} of ${asked} answered,`,
            `${rss.map((mb) => mb.toFixed(0)).join(" → ")} MB,`,
            `${descriptors.join(" → ")} descriptors`,
            fine ? "" : `(p99 over ${MOST} times what it was)`,
          );
        } catch (error) {
          good = false;
          console.log(attack.name.padEnd(14), `BROKEN: ${error}`);
          await closeAll();
        }
      }
    }
  }
  Deno.exit(good ? 0 : 1);
}

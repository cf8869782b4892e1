/**
 * Overloads real backends behind the real program, with `MAX_IN_FLIGHT` as `auto`,
 * as a number and off, and prints what clients got: about a minute for each run,
 * or 90 s with `--seconds=60`.
 *
 * ```sh
 * deno task overload
 * deno task overload bun 24 --seconds=60   # one runtime, one limit
 * ```
 *
 * @module
 */

import { type Asked, OpenLoop } from "./harness/open_loop.ts";
import { type Runtime, RUNTIMES, startProxy } from "./harness/proxy.ts";
import { goodput, median, refused, Workshop } from "./overload/workshop.ts";

/** The number is twice what the backends work on at once. */
const LIMITS = ["auto", "24", "off"] as const;

/** Offered load as a share of the capacity, and for how many seconds. */
function course(
  over: number,
): readonly (readonly [load: number, seconds: number])[] {
  return [[0.7, 10], [2, over], [0.7, 5], [0.7, 10]];
}

/** Milliseconds until the median, and all but one in a hundred, were told 503. */
function told(asked: readonly Asked[]): string {
  const times = asked.filter(({ status }) => status === 503)
    .map(({ at, endedAt }) => endedAt - at).sort((a, b) => a - b);
  if (times.length === 0) return "none told 503";
  const ms = (share: number) =>
    times[Math.floor(share * times.length)]!.toFixed(0);
  return `told 503 in ${ms(0.5)} ms (p99 ${ms(0.99)} ms)`;
}

async function measure(
  runtime: Runtime,
  limit: string,
  seconds: number,
): Promise<void> {
  const steps = course(seconds);
  await using workshop = await Workshop.start(2);
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: workshop.urls, MAX_IN_FLIGHT: limit },
  });
  const parts: { asked: Asked[]; busy: number }[] = [];
  const rss: number[] = [];
  let odd: number;
  {
    await using load = new OpenLoop(proxy.port);
    rss.push(proxy.rss());
    for (const [share, seconds] of steps) {
      const busy = workshop.timed();
      const asked = await load.run(share * workshop.capacity, seconds);
      parts.push({ asked, busy: busy() });
      rss.push(proxy.rss());
    }
    await load.settle();
    odd = load.asked.filter(({ status }) => status === 0).length;
  }
  console.log(`\n${runtime}, MAX_IN_FLIGHT=${limit}`);
  steps.forEach(([share, seconds], i) => {
    const { asked, busy } = parts[i]!;
    const percent = (share: number) => `${(100 * share).toFixed(0)} %`;
    console.log(
      `${share * 100} % for ${seconds} s:`.padEnd(16),
      `${(100 * refused(asked)).toFixed(1)} % refused,`.padStart(16),
      `${percent(busy)} of the backends' time used,`,
      `${percent(goodput(asked, busy))} for answers in time,`,
      `median ${median(asked).toFixed(0)} ms,`,
      told(asked),
    );
  });
  const mb = rss.map((bytes) => (bytes / 1024 ** 2).toFixed(0));
  console.log(`memory at the start and after each: ${mb.join(", ")} MB`);
  if (odd > 0) console.log(`${odd} were not answered at all`, proxy.log);
}

if (import.meta.main) {
  const chosen = <T extends string>(all: readonly T[]): readonly T[] => {
    const some = all.filter((one) => Deno.args.includes(one));
    return some.length > 0 ? some : all;
  };
  const flag = Deno.args.find((arg) => arg.startsWith("--seconds="));
  const seconds = Number(flag?.slice("--seconds=".length) ?? 20);
  for (const runtime of chosen(RUNTIMES)) {
    for (const limit of chosen(LIMITS)) {
      await measure(runtime, limit, seconds);
    }
  }
  Deno.exit();
}

/**
 * Overloads real backends behind the real program, with and without
 * `MAX_IN_FLIGHT=auto`, and prints what clients got: about a minute for each of
 * four runs.
 *
 * ```sh
 * deno task overload
 * ```
 *
 * @module
 */

import { type Asked, OpenLoop } from "./harness/open_loop.ts";
import { type Runtime, RUNTIMES, startProxy } from "./harness/proxy.ts";
import { goodput, median, refused, Workshop } from "./overload/workshop.ts";

/** Offered load as a share of the capacity, and for how many seconds. */
const COURSE: readonly (readonly [load: number, seconds: number])[] = [
  [0.7, 10],
  [2, 20],
  [0.7, 5],
  [0.7, 10],
];

async function measure(runtime: Runtime, limit: string): Promise<void> {
  await using workshop = await Workshop.start(2);
  await using proxy = await startProxy(runtime, {
    env: { BACKENDS: workshop.urls, MAX_IN_FLIGHT: limit },
  });
  const parts: { asked: Asked[]; busy: number }[] = [];
  let odd: number;
  {
    await using load = new OpenLoop(proxy.port);
    for (const [share, seconds] of COURSE) {
      const busy = workshop.timed();
      const asked = await load.run(share * workshop.capacity, seconds);
      parts.push({ asked, busy: busy() });
    }
    await load.settle();
    odd = load.asked.filter(({ status }) => status === 0).length;
  }
  console.log(`\n${runtime}, MAX_IN_FLIGHT=${limit}`);
  COURSE.forEach(([share, seconds], i) => {
    const { asked, busy } = parts[i]!;
    const percent = (share: number) => `${(100 * share).toFixed(0)} %`;
    console.log(
      `${share * 100} % for ${seconds} s:`.padEnd(16),
      `${(100 * refused(asked)).toFixed(1)} % refused,`.padStart(16),
      `${percent(busy)} of the backends' time used,`,
      `${percent(goodput(asked, busy))} for answers in time,`,
      `median ${median(asked).toFixed(0)} ms`,
    );
  });
  if (odd > 0) console.log(`${odd} were not answered at all`, proxy.log);
}

if (import.meta.main) {
  for (const runtime of RUNTIMES) {
    for (const limit of ["auto", "off"]) await measure(runtime, limit);
  }
  Deno.exit();
}

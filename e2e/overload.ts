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

/** Share of the capacity that is asked for, and for how many seconds. */
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
  const parts: Asked[][] = [];
  {
    await using load = new OpenLoop(proxy.port);
    for (const [share, seconds] of COURSE) {
      parts.push(await load.run(share * workshop.capacity, seconds));
    }
  }
  console.log(`\n${runtime}, MAX_IN_FLIGHT=${limit}`);
  COURSE.forEach(([share, seconds], i) => {
    const asked = parts[i]!;
    const good = goodput(asked, seconds) / workshop.capacity;
    console.log(
      `${share * 100} % for ${seconds} s:`.padEnd(16),
      `${(100 * refused(asked)).toFixed(1)} % refused,`.padStart(16),
      `answers in time ${(100 * good).toFixed(0)} % of the capacity,`,
      `median ${median(asked).toFixed(0)} ms`,
    );
  });
}

if (import.meta.main) {
  for (const runtime of RUNTIMES) {
    for (const limit of ["auto", "off"]) await measure(runtime, limit);
  }
  Deno.exit();
}

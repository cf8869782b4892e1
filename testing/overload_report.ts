/**
 * Prints the result of an overload in virtual time, as a table and as CSV.
 *
 * ```sh
 * deno task simulate overload                  # many kinds of work
 * deno task simulate overload step             # one run, second by second
 * deno task simulate overload fleet --work=lognormal --seed=2 > fleet.csv
 * ```
 *
 * @module
 */

import {
  COURSES,
  type Overload,
  overload,
  quantile,
  type Second,
  STEP,
  summary,
  WORKS,
} from "./overload.ts";

/** The seconds of a run as CSV. */
export function csv(seconds: readonly Second[]): string {
  const rows = seconds.map((s, i) => {
    const took = s.took.sort((a, b) => a - b);
    return [
      i,
      s.offered,
      s.refused,
      s.good,
      s.late,
      quantile(took, 0.5).toFixed(1),
      quantile(took, 0.99).toFixed(1),
      s.limit,
      s.waiting,
      s.capacity.toFixed(0),
    ].join();
  });
  return [
    "second,offered,refused,good,late,p50Ms,p99Ms,limit,waiting,capacity",
    ...rows,
  ].join("\n");
}

/** Backends and workers of each for the table. */
const SHAPES: readonly (readonly [backends: number, workers: number])[] = [
  [1, 1],
  [1, 8],
  [3, 4],
  [3, 16],
  [50, 4],
];

/** How each kind of work fares on some pools, with {@linkcode STEP}. */
function table(seed: number): string {
  const lines = [
    "| Work | Pool | 70 %: refused | 200 %: goodput | p50 | p99 | limit | after: refused | unlimited: goodput |",
    "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
  ];
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
  for (const work of Object.keys(WORKS)) {
    for (const [backends, workers] of SHAPES) {
      const { meanMs } = WORKS[work]!;
      const course: Partial<Overload> = {
        ...STEP,
        work,
        backends,
        workers: () => workers,
        nominal: workers,
        seed,
        patienceMs: Math.max(1_000, 10 * meanMs),
      };
      const seconds = overload(course);
      const before = summary(seconds, 1, 20);
      const over = summary(seconds, 22, 50);
      const after = summary(seconds, 55, 70);
      const without = summary(overload({ ...course, unlimited: true }), 22, 50);
      lines.push(
        `| ${
          [
            work,
            `${backends} × ${workers}`,
            percent(before.refused),
            percent(over.goodput),
            `${over.p50.toFixed(0)} ms`,
            `${over.p99.toFixed(0)} ms`,
            over.limit,
            percent(after.refused),
            percent(without.goodput),
          ].join(" | ")
        } |`,
      );
    }
  }
  return lines.join("\n");
}

/** Prints the table, or one course as CSV. */
export function printOverload(args: readonly string[]): void {
  const options: { [name: string]: string } = {};
  for (const arg of args) {
    const [, name, value] = /^--(work|seed|policy|skew)=(\w+)$/.exec(arg) ?? [];
    if (name !== undefined) options[name] = value!;
    else if (!Object.hasOwn(COURSES, arg)) {
      throw new TypeError(
        `Cannot simulate: "${arg}" is none of ${
          Object.keys(COURSES).join(", ")
        }, --work=, --policy=, --seed=, --skew=`,
      );
    }
  }
  const name = args.find((arg) => Object.hasOwn(COURSES, arg));
  const { work = "bimodal", policy = "round_robin" } = options;
  const seed = Number(options["seed"] ?? 1);
  if (name === undefined) console.log(table(seed));
  else {
    const skewMs = Number(options["skew"] ?? 0);
    const course = { ...COURSES[name], work, policy, seed, skewMs };
    console.log(csv(overload(course)));
  }
}

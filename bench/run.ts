// How fast is Sluice, compared with the runtime's bare `fetch` and with other
// proxies? Run by `deno task bench`; `--quick` takes under a minute.
//
// Options: --only=a,b (names that contain one of these), --rows=a,b, --turns=N,
// --seconds=N, --lead=N (seconds of load before each turn), --warm-up=N, --stop and
// --pause=N (see harness.ts), --v8=FLAGS (more flags for Sluice on Deno),
// --before=FOLDER (a checkout of another version, in the same turns). A full
// run is saved as RESULTS.md, and any run with --keep.

import {
  constant,
  type Contender,
  fiveLiner,
  flag,
  interleaved,
  median,
  option,
  Page,
  type Ratio,
  ratio,
  ROWS,
  type Runtime,
  RUNTIMES,
  shown,
  shownRatio,
  sluice,
  startAll,
  startBackends,
  type Turn,
  where,
} from "./harness.ts";
import { PEERS, versions } from "./peers.ts";

const quick = flag("quick");
const only = option("only")?.split(",");
const wanted = option("rows")?.split(",");
const seconds = Number(option("seconds") ?? 1);
const turns = Number(option("turns") ?? (quick ? 2 : 9));
// With sixteen contenders each is idle for half a minute between its turns. The
// first second afterwards is not representative, as V8 has released memory
// (TRIED.md has both measurements), so the first of two does not count.
const lead = Number(option("lead") ?? (quick ? 0 : 1));
const warmUp = Number(option("warm-up") ?? (quick ? 1 : 5));

/**
 * How Sluice sends requests. With its default settings, `auto`, wrk's requests go
 * over sockets on both runtimes: they say neither `User-Agent` nor `Accept`.
 */
const TRANSPORTS = ["auto", "fetch"] as const;
type By = typeof TRANSPORTS[number];

/** Sluice among the contenders. */
function named(runtime: Runtime, by: By): string {
  return by === "auto" ? `Sluice, ${runtime}` : `Sluice, ${runtime}, ${by}`;
}

/** The share of the five-liner's requests/s that is wanted, if not 0.95. */
const LEAST: Record<By, Record<Runtime, Record<string, number>>> = {
  fetch: { deno: {}, bun: {} },
  auto: {
    deno: {
      "GET 13 B": 1.7,
      "POST 1 KB": 1.2,
      "GET 64 KB": 1,
      "POST 64 KB": 1,
    },
    bun: {
      "GET 13 B": 1,
      "POST 1 KB": 1.7,
      "GET 64 KB": 1.2,
      "GET 1 MB": 1,
      "POST 64 KB": 1.2,
      "POST 1 MB": 1,
    },
  },
};

/** The share of the requests/s of Go's ReverseProxy that is wanted on Deno. */
const LEAST_OF_GO: Record<string, number> = {
  "GET 13 B": 1.7,
  "POST 1 KB": 1.2,
};

/** The multiple of the five-liner's p99 that is allowed. */
const MOST_P99 = 1.1;

/** The promised ratio of a row, and whether it was reached. */
interface Verdict {
  what: string;
  row: string;
  wanted: string;
  found: Ratio;
  /** What the five-liner of the same runtime does there. */
  bare: Ratio | undefined;
  met: boolean;
}

function verdicts(row: string, seen: ReadonlyMap<string, Turn[]>): Verdict[] {
  const list: Verdict[] = [];
  const add = (
    what: string,
    name: string,
    other: string,
    key: keyof Turn,
    bound: { least?: number; most?: number },
  ) => {
    const [one, base] = [seen.get(name), seen.get(other)];
    if (one === undefined || base === undefined) return;
    const found = ratio(one, base, key);
    const bare = seen.get(
      name.replace(/^Sluice, (\w+).*/, "five-liner, $1"),
    );
    const { least = -Infinity, most = Infinity } = bound;
    list.push({
      what,
      row,
      wanted: most === Infinity ? `≥ ${least}` : `≤ ${most}`,
      found,
      bare: bare === undefined || bare === base
        ? undefined
        : ratio(bare, base, key),
      met: found.middle >= least && found.middle <= most,
    });
  };
  for (const runtime of RUNTIMES) {
    const five = `five-liner, ${runtime}`;
    for (const by of TRANSPORTS) {
      const name = named(runtime, by);
      add(`${name}: requests/s of the five-liner`, name, five, "rps", {
        least: LEAST[by][runtime][row] ?? 0.95,
      });
      add(`${name}: p99 of the five-liner`, name, five, "p99", {
        most: MOST_P99,
      });
      if (runtime === "deno") {
        add(`${name}: of Go's ReverseProxy`, name, "Go ReverseProxy", "rps", {
          least: LEAST_OF_GO[row] ?? 0.9,
        });
      }
      for (const other of seen.keys()) {
        if (/^(hono|httpxy|http-proxy|@fastify)/.test(other)) {
          add(`${name}: ahead of ${other}`, name, other, "rps", { least: 1 });
        }
      }
    }
  }
  return list;
}

const page = new Page();
await using stack = new AsyncDisposableStack();
const backends = stack.use(await startBackends());
const contenders: Contender[] = RUNTIMES.flatMap((runtime) => [
  fiveLiner(runtime, backends.urls),
  ...TRANSPORTS.map((by) =>
    sluice(runtime, backends.urls, { TRANSPORT: by }, named(runtime, by))
  ),
  constant(runtime),
]);
const v8 = option("v8");
if (v8 !== undefined) {
  const env = { DENO_V8_FLAGS: v8 };
  contenders.push(sluice("deno", backends.urls, env, `Sluice, deno ${v8}`));
}
const before = option("before");
if (before !== undefined) {
  for (const runtime of RUNTIMES) {
    const name = `before, ${runtime}`;
    const entry = `${Deno.realPathSync(before)}/mod.ts`;
    contenders.push(sluice(runtime, backends.urls, {}, name, entry));
  }
}
// Peers cost most of the time.
if (!quick) contenders.push(...PEERS.map((peer) => peer(backends.urls)));
page.print(
  `${where()}; 64 connections, ${turns} turns of ${seconds} s each` +
    (lead > 0
      ? `, each after ${lead} s of the same load that does not count`
      : "") +
    ". Ratios are medians of the ratios of neighbouring turns, in parentheses where " +
    "their middle half lies. Best turns are shown because a machine that is " +
    "shared is at times half as fast, and then for one of a pair only.",
);
page.print(
  "\n`Sluice` has its default settings, with which wrk's requests go over sockets " +
    "on both runtimes; `Sluice, …, fetch` has `TRANSPORT=fetch`; `constant` is a " +
    "handler that answers at once" +
    (before === undefined ? "." : "; `before` is an older version."),
);
if (!quick) page.print(`\nPeers: ${await versions()}.`);
if (quick) page.print("\nThe quick form leaves the other proxies out.");
if (only !== undefined) page.print(`\nOnly: ${only.join(", ")}.`);
const running = await startAll(
  contenders.filter(({ name }) =>
    only === undefined || only.some((part) => name.includes(part))
  ),
  stack,
  (line) => page.print(`\n${line}`),
);
const judged: Verdict[] = [];
/** Sluice's ratio to each of the others, by row. */
const besides = new Map<string, Map<string, string>>();
for (const row of ROWS) {
  if (wanted !== undefined && !wanted.some((w) => row.name.includes(w))) {
    continue;
  }
  const seen = await interleaved(running, row, {
    turns,
    seconds,
    lead,
    warmUp,
  });
  judged.push(...verdicts(row.name, seen));
  for (const runtime of RUNTIMES) {
    for (const by of TRANSPORTS) {
      const own = seen.get(named(runtime, by));
      if (own === undefined) continue;
      for (const [name, turns] of seen) {
        if (/^(Sluice|five-liner|constant)/.test(name)) continue;
        const key = `${named(runtime, by)} to ${name}`;
        const list = besides.get(key) ?? new Map<string, string>();
        list.set(row.name, shownRatio(ratio(own, turns, "rps")));
        besides.set(key, list);
      }
    }
  }
  page.print();
  page.print(`### ${row.name}`);
  page.table(
    [
      "",
      "requests/s",
      "spread",
      "of its five-liner",
      "best turn",
      "of its best",
      "p50 ms",
      "p99 ms",
      "p99 ratio",
      "CPU µs/request",
      "CPU ratio",
      "MB",
      "errors",
    ],
    [...running.keys()].map(({ name, against }) => {
      const turns = seen.get(name)!;
      const base = against === undefined ? undefined : seen.get(against);
      const pick = (key: keyof Turn) => median(turns.map((turn) => turn[key]));
      const rates = turns.map(({ rps }) => rps);
      const best = Math.max(...rates);
      const spread = (best - Math.min(...rates)) / pick("rps");
      const other = base && Math.max(...base.map(({ rps }) => rps));
      const beside = (key: keyof Turn) =>
        base === undefined ? "" : shownRatio(ratio(turns, base, key));
      return [
        name,
        shown(pick("rps"), 0),
        `${shown(spread * 100, 0)} %`,
        beside("rps"),
        shown(best, 0),
        other === undefined ? "" : shown(best / other),
        shown(pick("p50")),
        shown(pick("p99")),
        beside("p99"),
        shown(pick("cpu"), 1),
        beside("cpu"),
        shown(pick("rssMB"), 0),
        String(turns.reduce((sum, { errors }) => sum + errors, 0)),
      ];
    }),
  );
}
if (besides.size > 0) {
  const [list] = besides.values();
  const names = [...list!.keys()];
  page.print("### Sluice against the others, requests/s");
  page.table(
    ["", ...names],
    [...besides].map(([key, list]) => [
      key,
      ...names.map((name) => list.get(name) ?? "–"),
    ]),
  );
}
if (judged.length > 0) {
  page.print("### Targets");
  page.table(
    ["", "row", "wanted", "found", "the five-liner there", "met"],
    judged.filter(({ what, met }) => !what.includes("ahead") || !met)
      .map(({ what, row, wanted, found, bare, met }) => [
        what,
        row,
        wanted,
        shownRatio(found),
        bare === undefined ? "" : shownRatio(bare),
        met ? "yes" : "no",
      ]),
  );
  const ahead = judged.filter(({ what }) => what.includes("ahead"));
  if (ahead.length > 0) {
    const met = ahead.filter(({ met }) => met).length;
    page.print(
      `Ahead of a JavaScript proxy in ${met} of ${ahead.length} comparisons; ` +
        "those in which it is not stand above.",
    );
  }
}
if (flag("keep") || (!quick && only === undefined && wanted === undefined)) {
  await page.keep(
    "RESULTS.md",
    "The last run of `deno task bench` that was kept",
  );
}

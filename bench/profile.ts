// Where does the time of a request go, in Sluice and in the five-liner?
//
//   deno task bench:profile [--rows=a,b] [--turns=N] [--seconds=N]
//     [--transport=auto|fetch|socket] [--runtime=deno|bun]
//
// Each turn starts both afresh under the runtime's own profiler (`--cpu-prof`),
// loads them, and sums the samples of the last seconds by function. A profiler
// slows down the program, so compare the figures only with each other. A full
// run takes five minutes and is saved as PROFILE.md.

import {
  answers,
  child,
  freePort,
  load,
  median,
  option,
  Page,
  ROWS,
  type Runtime,
  RUNTIMES,
  shown,
  startBackends,
  type Turn,
  where,
} from "./harness.ts";
import { BUN_AT_START } from "../runtime/process.ts";
import { bunPath, denoPath, ROOT } from "../testing/tools.ts";

const wanted = option("rows")?.split(",");
const transport = option("transport");
const only = option("runtime");
const turns = Number(option("turns") ?? 3);
const seconds = Number(option("seconds") ?? 3);

/** Microseconds between two samples. */
const EACH = 250;

const WHO = ["five-liner", "Sluice"] as const;
type Who = typeof WHO[number];

/** Kinds of functions, as the table has them. */
const KINDS = [
  "its own functions",
  "the runtime's functions",
  "native functions",
  "the collector",
  "no function of JavaScript's",
] as const;

/** What Deno and Bun write. */
interface Profile {
  nodes: { id: number; callFrame: { functionName: string; url: string } }[];
  samples: number[];
  timeDeltas: number[];
}

/** Microseconds a request by function and by kind, and the collector's pauses. */
interface Seen {
  functions: Map<string, number>;
  kinds: Map<string, number>;
  total: number;
  /** Processor time, as the kernel has it: all threads, and what is native. */
  cpu: number;
  pausesASecond: number;
  longestMs: number;
}

function kindOf(name: string, url: string): typeof KINDS[number] {
  if (name === "(garbage collector)") return KINDS[3];
  if (name === "(program)") return KINDS[4];
  if (url.startsWith("file:")) return KINDS[0];
  return url === "" ? KINDS[2] : KINDS[1];
}

/** Adds up the last seconds of a profile. */
function added(
  profile: Profile,
  { requests, cpu }: Turn,
  runtime: Runtime,
): Seen {
  const nodes = new Map(profile.nodes.map((node) => [node.id, node.callFrame]));
  const functions = new Map<string, number>();
  const kinds = new Map<string, number>(KINDS.map((kind) => [kind, 0]));
  let [total, left, pauses, pause, longest] = [0, seconds * 1e6, 0, 0, 0];
  // Counted back from the end of the load; after it the program is idle.
  let begun = false;
  for (let i = profile.samples.length - 1; i >= 0 && left > 0; i--) {
    const { functionName, url } = nodes.get(profile.samples[i]!)!;
    const idle = functionName === "(idle)";
    begun ||= !idle && functionName !== "(program)";
    if (!begun) continue;
    const delta = profile.timeDeltas[i]!;
    left -= delta;
    const collects = functionName === "(garbage collector)";
    if (collects) pause += delta;
    else if (pause > 0) {
      pauses++;
      longest = Math.max(longest, pause);
      pause = 0;
    }
    if (idle) continue;
    // Bun has no idle samples: idle time is in the delta of the next sample.
    const time = (runtime === "bun" ? Math.min(delta, 2 * EACH) : delta) /
      requests;
    const file = url.replace(/^ext:|\.[jt]s$|^file:\/\//g, "").replace(
      `${ROOT}/`,
      "",
    );
    const name = `${functionName || "(anonymous)"}${file && `, ${file}`}`;
    functions.set(name, (functions.get(name) ?? 0) + time);
    const kind = kindOf(functionName, url);
    kinds.set(kind, kinds.get(kind)! + time);
    total += time;
  }
  return {
    functions,
    kinds,
    total,
    cpu,
    pausesASecond: pauses / seconds,
    longestMs: longest / 1000,
  };
}

/** One start, load and end under the profiler. */
async function profiled(
  runtime: Runtime,
  who: Who,
  backends: readonly string[],
  row: typeof ROWS[number],
): Promise<Seen> {
  const folder = await Deno.makeTempDir({ prefix: "sluice-profile-" });
  try {
    const port = freePort();
    const flags = [
      "--cpu-prof",
      `--cpu-prof-dir=${folder}`,
      `--cpu-prof-interval=${EACH}`,
    ];
    const program = who === "Sluice"
      ? ["mod.ts"]
      : ["bench/five_liner.ts", String(port), ...backends];
    await using running = child(
      runtime === "deno" ? await denoPath() : await bunPath(),
      [...(runtime === "deno" ? ["run", "-A"] : []), ...flags, ...program],
      port,
      {
        PORT: String(port),
        HOST: "127.0.0.1",
        BACKENDS: backends.join(),
        ...(transport === undefined ? {} : { TRANSPORT: transport }),
        // Sluice would start itself again for it on Bun, and the profiler's
        // threads do not outlive that.
        ...BUN_AT_START,
      },
    );
    await answers(port);
    await load(running, row, 2);
    const turn = await load(running, row, seconds);
    await running.end();
    const [{ name }] = [...Deno.readDirSync(folder)] as [Deno.DirEntry];
    const text = await Deno.readTextFile(`${folder}/${name}`);
    return added(JSON.parse(text), turn, runtime);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const page = new Page();
await using backends = await startBackends();
page.print(
  `${where()}; 64 connections, medians of ${turns} turns of ${seconds} s, each ` +
    "of a program started anew and after 2 s of the same load. µs a request as " +
    `the runtime's own profiler has them, a sample each ${EACH} µs; it sees the ` +
    "main thread, and of that nothing that runs while no JavaScript does. The " +
    "process's time is the kernel's count, with the profiler's own share.",
);
for (const row of ROWS) {
  if (wanted !== undefined && !wanted.some((w) => row.name.includes(w))) {
    continue;
  }
  for (const runtime of RUNTIMES) {
    if (only !== undefined && only !== runtime) continue;
    const seen: Record<Who, Seen[]> = { "five-liner": [], Sluice: [] };
    for (let turn = 0; turn < turns; turn++) {
      for (const who of turn % 2 === 0 ? WHO : [...WHO].reverse()) {
        seen[who].push(await profiled(runtime, who, backends.urls, row));
      }
    }
    const line = (name: string, of: (one: Seen) => number) => {
      const [five, own] = WHO.map((who) => median(seen[who].map(of))) as [
        number,
        number,
      ];
      const more = own - five;
      return {
        more,
        cells: [name, ...[five, own, more].map((x) => shown(x, 1))],
      };
    };
    page.print();
    page.print(`### ${row.name}, ${runtime}`);
    page.table(["µs a request", ...WHO, "more"], [
      ...KINDS.map((kind) => line(kind, (one) => one.kinds.get(kind)!).cells),
      line("all of these", (one) => one.total).cells,
      line("processor time of the process", (one) => one.cpu).cells,
      ...(runtime === "deno"
        ? [
          line("the collector's pauses a second", (one) => one.pausesASecond)
            .cells,
          line("the longest, ms", (one) => one.longestMs).cells,
        ]
        : []),
    ]);
    const names = new Set(
      WHO.flatMap((who) =>
        seen[who].flatMap((one) => [...one.functions.keys()])
      ),
    );
    page.print("Where most of what is more lies:");
    page.table(
      ["µs a request", ...WHO, "more"],
      [...names].map((name) =>
        line(name, (one) => one.functions.get(name) ?? 0)
      )
        .sort((a, b) => b.more - a.more).slice(0, 10).map(({ cells }) => cells),
    );
  }
}
if (wanted === undefined && only === undefined) {
  await page.keep(
    "PROFILE.md",
    "The last full run of `deno task bench:profile`",
  );
}

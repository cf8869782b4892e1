// What do two workers gain over one, and which process uses the processors?
//
//   deno run -A bench/workers.ts [--turns=7] [--seconds=2] [--workers=2]
//
// On two cores the load and the backend use part of what a second worker could
// have, so the shares are shown next to the ratio.

import {
  type Contender,
  cpuSeconds,
  flag,
  load,
  median,
  option,
  Page,
  RUNTIMES,
  shown,
  sluice,
  startAll,
  startBackends,
  where,
} from "./harness.ts";

const turns = Number(option("turns") ?? 7);
const seconds = Number(option("seconds") ?? 2);
const workers = option("workers") ?? "2";
const SMALL = { path: "/small" };

/** One turn: requests per second, and processors used by each process. */
interface Shares {
  rps: number;
  proxy: number;
  load: number;
  backend: number;
}

const page = new Page();
page.print(`${where()}; 64 connections, ${turns} turns of ${seconds} s each.`);
await using stack = new AsyncDisposableStack();
const backends = stack.use(await startBackends());
const rows: string[][] = [];
for (const runtime of RUNTIMES) {
  const contenders: Contender[] = ["1", workers].map((count) =>
    sluice(
      runtime,
      backends.urls,
      { WORKERS: count },
      `${runtime}, WORKERS=${count}`,
    )
  );
  await using own = new AsyncDisposableStack();
  const running = await startAll(contenders, own);
  const seen = new Map<string, Shares[]>();
  for (const one of running.values()) await load(one, SMALL, 3);
  for (let turn = 0; turn < turns; turn++) {
    for (const [{ name }, one] of running) {
      const before = cpuSeconds(backends.pid);
      const shown = await load(one, SMALL, seconds);
      const list = seen.get(name) ?? [];
      list.push({
        rps: shown.rps,
        proxy: shown.cpu * shown.rps / 1e6,
        load: shown.load,
        backend: (cpuSeconds(backends.pid) - before) / seconds,
      });
      seen.set(name, list);
    }
  }
  const [one, more] = [...seen.values()];
  for (const [name, list] of seen) {
    const pick = (key: keyof Shares) => median(list.map((turn) => turn[key]));
    rows.push([
      name,
      shown(pick("rps"), 0),
      list === one
        ? ""
        : shown(median(more!.map(({ rps }, i) => rps / one![i]!.rps))),
      shown(pick("proxy")),
      shown(pick("load")),
      shown(pick("backend")),
    ]);
  }
}
page.table(
  ["", "requests/s", "of one", "cores: proxy", "load", "backends"],
  rows,
);
if (flag("keep")) await page.keep("WORKERS.md", "`bench/workers.ts`, last run");

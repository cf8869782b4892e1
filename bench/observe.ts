// What does observability cost? Requests per second with the access log, the
// metrics, a scrape every second and tracing, against the same program without
// them.
//
//   deno run -A bench/observe.ts [--seconds=3] [--turns=5]
//
// Contenders take turns in one run, since the speed of a machine varies; the
// result is the ratio of adjacent turns. nginx is the backend, wrk the clients,
// and the log goes to /dev/null, so that only writing it is measured.

import { bunPath, denoPath, ROOT } from "../testing/tools.ts";
import {
  answers,
  child,
  freePort,
  load,
  median,
  option,
  Page,
  ratio,
  type Running,
  type Runtime,
  RUNTIMES,
  shown,
  shownRatio,
  startBackends,
  type Turn,
  where,
} from "./harness.ts";

const seconds = Number(option("seconds") ?? 3);
const turns = Number(option("turns") ?? 5);
const ASKED = { path: "/small?with=a&query" };

/** Ways to run the program; with the last field, the metrics are scraped. */
const WAYS: readonly (readonly [
  name: string,
  env: Record<string, string>,
  scraped?: "scraped",
])[] = [
  ["nothing", {}],
  ["ACCESS_LOG=json", { ACCESS_LOG: "json" }],
  ["ACCESS_LOG=combined", { ACCESS_LOG: "combined" }],
  ["ADMIN_PORT, no requests", { ADMIN_PORT: String(freePort()) }],
  [
    "ADMIN_PORT, scraped every second",
    { ADMIN_PORT: String(freePort()) },
    "scraped",
  ],
  ["TRACE=on", { TRACE: "on" }],
];

/** Starts the program; unlike the harness, it does not keep its output. */
async function start(
  runtime: Runtime,
  backends: readonly string[],
  env: Record<string, string>,
): Promise<Running> {
  const port = freePort();
  const args = runtime === "deno" ? ["--allow-net", "--allow-env"] : [];
  const running = child(
    runtime === "deno" ? await denoPath() : await bunPath(),
    ["run", ...args, `${ROOT}/mod.ts`],
    port,
    {
      BACKENDS: backends.join(),
      HOST: "127.0.0.1",
      PORT: String(port),
      ...env,
    },
  );
  await answers(port);
  return running;
}

const page = new Page();
page.print(`${where()}; 64 connections, ${turns} turns of ${seconds} s each.`);
await using stack = new AsyncDisposableStack();
const { urls } = stack.use(await startBackends(1));
for (const runtime of RUNTIMES) {
  await using own = new AsyncDisposableStack();
  const running: Running[] = [];
  for (const [, env] of WAYS) {
    running.push(own.use(await start(runtime, urls, env)));
  }
  // Warm: compilers, connections, and backends proven to be good.
  for (const one of running) await load(one, ASKED, 2);
  const seen = WAYS.map((): Turn[] => []);
  for (let turn = 0; turn < turns; turn++) {
    for (const [i, [, env, scraped]] of WAYS.entries()) {
      const timer = scraped && setInterval(async () => {
        const at = `http://127.0.0.1:${env.ADMIN_PORT}/metrics`;
        await (await fetch(at)).bytes();
      }, 1000);
      const shown = await load(running[i]!, ASKED, seconds);
      clearInterval(timer);
      if (shown.errors > 0) {
        throw new Error(`Cannot measure: ${shown.errors} errors`);
      }
      seen[i]!.push(shown);
    }
  }
  page.print(`\n### ${runtime}`);
  page.table(
    ["", "requests/s", "ratio", "CPU µs/request", "ratio"],
    WAYS.map(([name], i) => {
      const turns = seen[i]!;
      return [
        name,
        shown(median(turns.map(({ rps }) => rps)), 0),
        shownRatio(ratio(turns, seen[0], "rps")),
        shown(median(turns.map(({ cpu }) => cpu)), 1),
        shownRatio(ratio(turns, seen[0], "cpu")),
      ];
    }),
  );
}

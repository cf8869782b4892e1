// How long does it take from the command to the first response, and how large
// is the bundle?
//
//   deno run -A bench/start.ts [--runs=9]
//
// Both runtimes cache compiled code, so the first run after a change is slower:
// it is shown separately, with an empty cache. The files themselves are in the
// page cache either way. The five-liner shows how much of the time is the
// runtime's. A run without `--runs` is saved as START.md.

import { bundleProgram, sizeOf } from "../testing/bundle.ts";
import { compile } from "../testing/compile.ts";
import { bunPath, denoPath, ROOT } from "../testing/tools.ts";
import {
  freePort,
  median,
  option,
  Page,
  type Runtime,
  RUNTIMES,
  shown,
  startBackends,
  where,
} from "./harness.ts";

const runs = Number(option("runs") ?? 9);
/** Fewer, since each takes seconds. */
const COLD_RUNS = 3;

/** A program to start, as arguments of the runtime. */
interface Program {
  name: string;
  file: string;
  /** Its arguments and settings, for a port. */
  args: (port: number) => string[];
  env: (port: number) => Record<string, string>;
}

const folder = await Deno.makeTempDir({ prefix: "sluice-bench-" });
const page = new Page();
await using stack = new AsyncDisposableStack();
const [backend = ""] = stack.use(await startBackends(1)).urls;

/** Milliseconds to the first answer. */
async function first(
  runtime: Runtime,
  { file, args, env }: Program,
  cache: string | undefined,
): Promise<number> {
  const port = freePort();
  const began = performance.now();
  const alone = file === executable;
  const child = new Deno.Command(
    alone ? file : runtime === "deno" ? await denoPath() : await bunPath(),
    {
      args: alone ? args(port) : [
        "run",
        ...(runtime === "deno" ? ["--allow-net", "--allow-env"] : []),
        file,
        ...args(port),
      ],
      env: {
        ...env(port),
        ...(cache === undefined
          ? {}
          : { DENO_DIR: cache, BUN_RUNTIME_TRANSPILER_CACHE_PATH: cache }),
      },
      stdin: "null",
      stdout: "null",
      stderr: "null",
    },
  ).spawn();
  try {
    for (;;) {
      try {
        const response = await fetch(`http://127.0.0.1:${port}/small`);
        await response.body?.cancel();
        if (response.ok) return performance.now() - began;
      } catch {
        // Not listening yet.
      }
      if (performance.now() - began > 20_000) throw new Error("no answer");
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  } finally {
    child.kill("SIGKILL");
    await child.status;
  }
}

const sluiceEnv = (port: number) => ({
  BACKENDS: backend,
  PORT: String(port),
  HOST: "127.0.0.1",
});

await bundleProgram(folder);
const file = `${folder}/sluice.js`;
const executable = `${folder}/sluice`;
await compile(executable);
const programs: Program[] = [
  {
    name: "five-liner",
    file: `${ROOT}/bench/five_liner.ts`,
    args: (port) => [String(port), backend],
    env: () => ({}),
  },
  {
    name: "mod.ts",
    file: `${ROOT}/mod.ts`,
    args: () => [],
    env: sluiceEnv,
  },
  { name: "dist/sluice.js", file, args: () => [], env: sluiceEnv },
  {
    name: "dist/sluice, the executable",
    file: executable,
    args: () => [],
    env: sluiceEnv,
  },
];
page.print(
  `${where()}; medians of ${runs} runs, of ${COLD_RUNS} with an empty cache.`,
);
const rows: string[][] = [];
for (const runtime of RUNTIMES) {
  const own = programs.filter(({ file }) =>
    runtime === "bun" || file !== executable
  );
  const cold = new Map<Program, number[]>();
  const warm = new Map<Program, number[]>();
  const add = (to: typeof cold, program: Program, ms: number) =>
    to.set(program, [...to.get(program) ?? [], ms]);
  // In turn, like all measurements here. The first may have to compile.
  for (const program of own) await first(runtime, program, undefined);
  for (let run = 0; run < runs; run++) {
    for (const program of own) {
      add(warm, program, await first(runtime, program, undefined));
      if (run < COLD_RUNS) {
        const cache = await Deno.makeTempDir({ dir: folder });
        add(cold, program, await first(runtime, program, cache));
      }
    }
  }
  for (const program of own) {
    const all = warm.get(program)!;
    rows.push([
      `${program.name}, ${runtime}`,
      shown(median(cold.get(program)!), 0),
      shown(median(all), 0),
      `${shown(Math.min(...all), 0)}–${shown(Math.max(...all), 0)}`,
    ]);
  }
}
page.table(["", "empty cache, ms", "ms", "from–to"], rows);
const { bytes, gzipped } = await sizeOf(file);
const { size } = await Deno.stat(executable);
page.print(
  `The file has ${shown(bytes / 1024, 0)} KB, ${shown(gzipped / 1024, 0)} KB ` +
    `with gzip; the executable has ${shown(size / 1024 / 1024, 0)} MB.`,
);
await Deno.remove(folder, { recursive: true });
if (option("runs") === undefined) {
  await page.keep("START.md", "The last full run of `deno task bench:start`");
}

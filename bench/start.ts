// How long does it take from the command to the first answer, and how large is
// the one file?
//
//   deno run -A bench/start.ts [--runs=9]
//
// The runtimes keep what they have compiled, so the first run after a change is
// slower; it is shown apart, with an empty cache on Deno. The five-liner beside
// it says how much of it is the runtime.

import { bunPath, denoPath, ROOT } from "../testing/tools.ts";
import {
  flag,
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

/** A program to start, by what the runtime is told. */
interface Program {
  name: string;
  file: string;
  /** Its arguments and settings, once a port is known. */
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
  const child = new Deno.Command(
    runtime === "deno" ? await denoPath() : await bunPath(),
    {
      args: [
        "run",
        ...(runtime === "deno" ? ["--allow-net", "--allow-env"] : []),
        file,
        ...args(port),
      ],
      env: {
        ...env(port),
        ...(cache === undefined ? {} : { DENO_DIR: cache }),
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
        // It does not listen yet.
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
const bundle = `${folder}/sluice.js`;
await new Deno.Command(await denoPath(), {
  args: ["bundle", "-q", "-o", bundle, `${ROOT}/mod.ts`],
  cwd: ROOT,
}).output();
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
  { name: "the bundle", file: bundle, args: () => [], env: sluiceEnv },
];
page.print(`${where()}; medians of ${runs} runs.`);
const rows: string[][] = [];
for (const runtime of RUNTIMES) {
  for (const program of programs) {
    const cold = runtime === "deno"
      ? await first(runtime, program, `${folder}/${program.name}`)
      : NaN;
    const warm: number[] = [];
    for (let run = 0; run <= runs; run++) {
      const ms = await first(runtime, program, undefined);
      // The first may have had to compile.
      if (run > 0) warm.push(ms);
    }
    rows.push([
      `${program.name}, ${runtime}`,
      shown(cold, 0),
      shown(median(warm), 0),
      `${shown(Math.min(...warm), 0)}–${shown(Math.max(...warm), 0)}`,
    ]);
  }
}
page.table(["", "empty cache, ms", "ms", "from–to"], rows);
const bytes = await Deno.readFile(bundle);
const packed = await new Response(
  new Blob([bytes]).stream().pipeThrough(new CompressionStream("gzip")),
).bytes();
page.print(
  `The bundle has ${shown(bytes.byteLength / 1024, 0)} KB, ` +
    `${shown(packed.byteLength / 1024, 0)} KB with gzip.`,
);
await Deno.remove(folder, { recursive: true });
if (flag("keep")) {
  await page.keep("START.md", "`deno task bench:start`, last run");
}

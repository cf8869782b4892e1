/**
 * Runs all tests of the project, with `--ok` all checks too, one step after
 * another; the last line has the total of passed and failed tests.
 *
 * ```sh
 * deno task test             # all tests
 * deno task test unit docs   # only these steps
 * deno task ok               # all checks, then all tests
 * ```
 *
 * @module
 */

import { isDocument, isShipped } from "./shipped.ts";
import { bunPath, denoPath, ROOT } from "./tools.ts";

interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

interface Step {
  name: string;
  /** Runs only with `--ok`, or if it is named. */
  check?: true;
  /** What `deno` is called with; undefined if there is nothing for it to do. */
  args: (files: Files) => string[] | undefined;
  /** Past it the step is killed. */
  minutes: number;
  /** Environment variables in addition. */
  env?: Record<string, string>;
}

/** The checkout's files, as paths from its root, sorted. */
interface Files {
  /** `*_test.ts` that need no permission: nearly all. */
  unit: string[];
  /** `*_io_test.ts`, and the tests of `examples/` and `bench/`. */
  io: string[];
  e2e: string[];
  /** What is published, and the documents: where examples are. */
  modules: string[];
}

/**
 * Files at once. Those tests wait for most of their time: with two at once, two
 * processors were busy for a third of it.
 */
const JOBS = { DENO_JOBS: "3" };

// The order is that of cost, so that a slip shows early.
const STEPS: Step[] = [
  {
    name: "fmt",
    check: true,
    args: () => ["fmt", "--check"],
    minutes: 2,
  },
  {
    name: "lint",
    check: true,
    args: () => ["lint"],
    minutes: 2,
  },
  {
    name: "check",
    check: true,
    args: () => ["check", "."],
    minutes: 5,
  },
  {
    name: "doc-lint",
    check: true,
    args: () => ["doc", "--lint", "mod.ts"],
    minutes: 2,
  },
  {
    name: "publish",
    check: true,
    // A dirty work tree is allowed: `ok` checks a change before its commit.
    args: () => ["publish", "--dry-run", "--allow-dirty"],
    minutes: 5,
  },
  {
    name: "unit",
    args: ({ unit }) =>
      unit.length === 0
        ? undefined
        : ["test", "--parallel", "--no-prompt", ...unit],
    minutes: 10,
  },
  {
    name: "docs",
    // Examples may listen and fetch, like the commands in the documents.
    args: ({ modules }) =>
      modules.length === 0 ? undefined : [
        "test",
        "--doc",
        "--permit-no-files",
        "--no-prompt",
        "--allow-net",
        "--allow-env",
        ...modules,
      ],
    minutes: 5,
  },
  {
    name: "io",
    args: ({ io }) =>
      io.length === 0 ? undefined : ["test", "-A", "--parallel", ...io],
    minutes: 10,
  },
  {
    name: "e2e",
    args: ({ e2e }) =>
      e2e.length === 0 ? undefined : ["test", "-A", "--parallel", ...e2e],
    minutes: 40,
    env: JOBS,
  },
  {
    // By default requests are sent over sockets on Deno, and mostly by `fetch` on
    // Bun: this is the other way round.
    name: "transport",
    args: ({ e2e }) => {
      const files = e2e.filter((path) => BY_TRANSPORT.test(path));
      return files.length === 0
        ? undefined
        : ["test", "-A", "--parallel", ...files];
    },
    minutes: 10,
    env: { ...JOBS, TRANSPORT: "other" },
  },
];

/** Tests to which it makes a difference how requests are sent. */
const BY_TRANSPORT =
  /^e2e\/(wire\/(added|answers|bodies|broken|cancelling|fields|framing|heads|methods|no_http|smuggling|streaming|target|unix)|uploads|retry|failures|hostile|leaks)_test\.ts$/;

const NOT_OURS = new Set(["node_modules", "dist", "coverage"]);

function findFiles(): Files {
  const files: Files = { unit: [], io: [], e2e: [], modules: [] };
  const walk = (folder: string) => {
    for (const { name, isDirectory } of Deno.readDirSync(`${ROOT}/${folder}`)) {
      if (name.startsWith(".") || NOT_OURS.has(name)) continue;
      const path = `${folder}${name}`;
      if (isDirectory) {
        walk(`${path}/`);
      } else if (path.endsWith("_test.ts")) {
        if (path.startsWith("e2e/")) files.e2e.push(path);
        else if (/^(examples|bench)\/|_io_test\.ts$/.test(path)) {
          files.io.push(path);
        } else files.unit.push(path);
      } else if (isShipped(path) || isDocument(path)) {
        files.modules.push(path);
      }
    }
  };
  walk("");
  for (const list of Object.values(files)) list.sort();
  return files;
}

/**
 * Reads the counts from the last summary of `deno test`; `undefined` if there
 * is none, as no test was run.
 */
export function readSummary(output: string): Counts | undefined {
  // "ok | 5 passed (2 steps) | 1 failed (1 step) | 2 ignored | … (37ms)", with
  // colours when some variable asks for them. Tests may print such lines too,
  // but only the runner can print after the last of them.
  // deno-lint-ignore no-control-regex
  const plain = output.replace(/\x1b\[[0-9;]*m/g, "");
  const lines = plain.match(/^(ok|FAILED) \| \d+ passed.*$/gm);
  const last = lines?.at(-1);
  if (last === undefined) return undefined;
  const count = (word: string) =>
    Number(new RegExp(`\\| (\\d+) ${word}`).exec(last)?.[1] ?? 0);
  return {
    passed: count("passed"),
    failed: count("failed"),
    skipped: count("ignored"),
  };
}

/** The step's part of the total, from its exit code and output. */
export function judge(
  { check, code, output }: { check: boolean; code: number; output: string },
): Counts {
  if (check) {
    return {
      passed: code === 0 ? 1 : 0,
      failed: code === 0 ? 0 : 1,
      skipped: 0,
    };
  }
  const counts = readSummary(output);
  if (counts === undefined) {
    // A file that does not compile, a crash or a signal; or a docs step without
    // any example, which is not a failure.
    return { passed: 0, failed: code === 0 ? 0 : 1, skipped: 0 };
  }
  // A step that ran no test at all shows nothing.
  const { passed, failed, skipped } = counts;
  if (passed + failed + skipped === 0) counts.failed = 1;
  // Something other than a test failed, such as a file that did not load.
  if (code !== 0 && counts.failed === 0) counts.failed = 1;
  return counts;
}

/** The last line. */
export function sum({ passed, failed, skipped }: Counts): string {
  const line = `${passed} passed, ${failed} failed`;
  return skipped > 0 ? `${line}, ${skipped} skipped` : line;
}

async function pass(
  stream: ReadableStream<Uint8Array>,
  to: { writeSync(bytes: Uint8Array): number },
  keep: string[],
): Promise<void> {
  const decoder = new TextDecoder();
  for await (const bytes of stream) {
    for (let at = 0; at < bytes.length;) {
      at += to.writeSync(bytes.subarray(at));
    }
    keep.push(decoder.decode(bytes, { stream: true }));
  }
}

async function run(deno: string, step: Step, args: string[]): Promise<Counts> {
  console.log(`\n── ${step.name}: deno ${shortened(args)}`);
  const child = new Deno.Command(deno, {
    args,
    cwd: ROOT,
    env: step.env ?? {},
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  // SIGTERM first, so that the runner can print its results.
  let overdue = false;
  let killer: ReturnType<typeof setTimeout> | undefined;
  const timer = setTimeout(() => {
    overdue = true;
    console.log(`\n${step.name}: not done in ${step.minutes} minutes`);
    child.kill("SIGTERM");
    killer = setTimeout(() => child.kill("SIGKILL"), 5_000);
  }, step.minutes * 60_000);
  const output: string[] = [];
  // What a test left running may hold the pipes open; it is not waited for.
  const streams = Promise.all([
    pass(child.stdout, Deno.stdout, output),
    pass(child.stderr, Deno.stderr, []),
  ]);
  const { code } = await child.status;
  clearTimeout(timer);
  clearTimeout(killer);
  let grace: ReturnType<typeof setTimeout> | undefined;
  await Promise.race([
    streams,
    new Promise((resolve) => grace = setTimeout(resolve, 5_000)),
  ]);
  clearTimeout(grace);
  return judge({
    check: step.check === true,
    code: overdue ? code || 1 : code,
    output: output.join(""),
  });
}

function shortened(args: string[]): string {
  const text = args.join(" ");
  return text.length <= 120 ? text : `${text.slice(0, 117)}…`;
}

async function main(args: readonly string[]): Promise<number> {
  const names = args.filter((arg) => arg !== "--ok");
  const unknown = names.find((name) => !STEPS.some((s) => s.name === name));
  if (unknown !== undefined) {
    console.error(
      `No step "${unknown}": there are ${STEPS.map((s) => s.name).join(", ")}`,
    );
    return 2;
  }
  const wanted = STEPS.filter((step) =>
    names.length > 0 ? names.includes(step.name) : (
      !step.check || args.includes("--ok")
    )
  );
  const total: Counts = { passed: 0, failed: 0, skipped: 0 };
  const lines: string[] = [];
  const files = findFiles();
  const deno = await denoPath();
  for (const step of wanted) {
    const stepArgs = step.args(files);
    if (stepArgs === undefined) continue;
    const started = performance.now();
    let counts: Counts;
    try {
      // Fetched before, so that no test's time limit has to cover it.
      if (/^(e2e|io|transport)$/.test(step.name)) await bunPath();
      counts = await run(deno, step, stepArgs);
    } catch (error) {
      console.error(error);
      counts = { passed: 0, failed: 1, skipped: 0 };
    }
    total.passed += counts.passed;
    total.failed += counts.failed;
    total.skipped += counts.skipped;
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    lines.push(`${step.name.padEnd(10)} ${sum(counts)} (${seconds} s)`);
  }
  console.log(`\n${lines.join("\n")}\n\n${sum(total)}`);
  return total.failed === 0 ? 0 : 1;
}

if (import.meta.main) {
  // Not `exit` inside: what was printed has to be out first.
  Deno.exit(await main(Deno.args));
}

/**
 * The long forms of the fuzzing: `deno task fuzz requests 10000`.
 *
 * ```sh
 * deno task fuzz requests [COUNT] [--seed=N] [--runtime=bun] [--transport=fetch]
 * ```
 *
 * @module
 */

import { closeAll } from "./harness/cleanup.ts";
import { type Runtime, RUNTIMES } from "./harness/proxy.ts";
import { AdminFuzz } from "./fuzz/admin.ts";
import { FileFuzz } from "./fuzz/file.ts";
import { AnswerFuzz } from "./fuzz/answers.ts";
import { type FuzzOptions, RequestFuzz } from "./fuzz/requests.ts";
import { WebSocketFuzz } from "./fuzz/websocket.ts";
import { corpus, renew } from "./fuzz/seeds.ts";
import type { Report } from "./fuzz/report.ts";

const USAGE =
  `Usage: deno task fuzz requests|answers|websocket|admin|file [COUNT] [OPTION…]
       deno task fuzz seeds

--seed=N                    the same N gives the same bytes
--from=ID                   begins with this one, to have it again
--runtime=deno|bun          only this one
--transport=socket|fetch    only this one
--samples                   shows examples of what is odd and allowed`;

const TRANSPORTS = ["socket", "fetch"] as const;

/** Options of a run, with the seeds of all groups. */
type Asked = Omit<FuzzOptions, "seeds"> & {
  seeds: Awaited<ReturnType<typeof corpus>>[string][];
};

/** What is fuzzed, by the first word of the command. */
const MACHINES: Record<
  string,
  (asked: Asked) => { run(): Promise<Report> }
> = {
  requests: ({ seeds, ...options }) =>
    new RequestFuzz({
      ...options,
      seeds: seeds.flatMap(({ requests }) => requests),
    }),
  answers: ({ seeds, ...options }) =>
    new AnswerFuzz({
      ...options,
      seeds: seeds.flatMap(({ answers }) => answers),
    }),
  websocket: (asked) => new WebSocketFuzz(asked),
  admin: (asked) => new AdminFuzz(asked),
  file: (asked) => new FileFuzz(asked),
};

function flag(args: readonly string[], name: string): string | undefined {
  return args.find((arg) => arg.startsWith(`--${name}=`))
    ?.slice(name.length + 3);
}

async function main(args: readonly string[]): Promise<number> {
  const [what = "", countText = "1000"] = args.filter((arg) =>
    !arg.startsWith("--")
  );
  const count = Number(countText);
  if (what === "seeds") {
    console.log(`Seeds of ${Object.keys(await renew()).length} groups`);
    return 0;
  }
  const seed = Number(flag(args, "seed") ?? Date.now() % 1e9);
  const from = Number(flag(args, "from") ?? 0);
  const samples = args.includes("--samples");
  if (
    !Object.hasOwn(MACHINES, what) || !(count > 0)
  ) {
    console.error(USAGE);
    return 2;
  }
  const seeds = Object.values(await corpus());
  let bad = 0;
  const run = async (runtime: Runtime, transport: "fetch" | "socket") => {
    const began = performance.now();
    const options = { runtime, transport, count, seed, from };
    const report = await MACHINES[what]!({ ...options, seeds }).run();
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    console.log(`${count} in ${seconds} s: ${report.text({ samples })}`);
    bad += report.bad;
  };
  for (const runtime of RUNTIMES) {
    if (runtime !== (flag(args, "runtime") ?? runtime)) continue;
    for (const transport of TRANSPORTS) {
      if (transport !== (flag(args, "transport") ?? transport)) continue;
      // What sends requests makes no difference to them.
      if (/websocket|admin|file/.test(what) && transport === "fetch") continue;
      await run(runtime, transport);
    }
  }
  return bad === 0 ? 0 : 1;
}

if (import.meta.main) {
  let code = 1;
  try {
    code = await main(Deno.args);
  } finally {
    await closeAll();
  }
  Deno.exit(code);
}

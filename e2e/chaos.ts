/**
 * Faults under load: each case in its long form, on both runtimes, with counted
 * results.
 *
 * ```sh
 * deno task chaos               # all, some minutes
 * deno task chaos bun           # on one runtime
 * deno task chaos killed        # cases with this word in their names
 * deno task chaos --short       # as the tests run them
 * ```
 *
 * @module
 */

import { CASES } from "./chaos/cases.ts";
import { closeAll } from "./harness/cleanup.ts";
import { type Runtime, RUNTIMES } from "./harness/proxy.ts";

if (import.meta.main) {
  const scale = Deno.args.includes("--short") ? "short" : "long";
  const words = Deno.args.filter((arg) => !arg.startsWith("--"));
  const asked = RUNTIMES.filter((runtime) => words.includes(runtime));
  const runtimes: readonly Runtime[] = asked.length > 0 ? asked : RUNTIMES;
  const names = words.filter((word) => !RUNTIMES.includes(word as Runtime));
  let failed = 0;
  for (const { name, run } of CASES) {
    if (names.length > 0 && !names.some((word) => name.includes(word))) {
      continue;
    }
    console.log(`\n${name}`);
    for (const runtime of runtimes) {
      const started = performance.now();
      let text: string;
      try {
        const figures = await run(runtime, scale);
        text = Object.entries(figures)
          .map(([what, figure]) => `${what} ${figure}`).join(", ");
      } catch (error) {
        failed++;
        text = `BROKEN: ${error instanceof Error ? error.message : error}`;
        await closeAll();
      }
      const seconds = ((performance.now() - started) / 1000).toFixed(1);
      console.log(`  ${runtime.padEnd(4)} ${text} (${seconds} s)`);
    }
  }
  Deno.exit(failed === 0 ? 0 : 1);
}

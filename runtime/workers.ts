/**
 * Why there is one listener, and what to do for more.
 *
 * Several listeners on one port need `SO_REUSEPORT`, which Deno 2.9 grants to
 * `Deno.serve` and `Deno.listen` with `--unstable-net` alone; without that flag
 * the attempt ends the process, in a worker as well, and cannot be caught
 * (`e2e/workers_test.ts` shows it). Its `node:net` does share a port without the
 * flag, but HTTP on that is slow: two processes with `node:http` made half of the
 * requests a second of one with `Deno.serve`. `deno serve --parallel` shares a listener
 * between isolates, but it is another command, has no TLS, and none of its
 * isolates is the first, which probes for all. Bun has `reusePort`; what is
 * missing there is the part between the processes: verdicts, ejections and
 * changes of the pool to all, and the metrics of all in one.
 *
 * A setting that is taken and does nothing would be worse than none, so more
 * than one is refused, in words that say what to do.
 *
 * @module
 */

import { availableParallelism } from "node:os";

/** Says why so many workers cannot be had; nothing if they can. */
export function workersFault(
  workers: number | "auto" | undefined,
): string | undefined {
  if (workers === undefined || workers === 1) return undefined;
  if (workers === "auto" && availableParallelism() === 1) return undefined;
  const why = "Bun" in globalThis
    ? "this version runs one listener"
    : "Deno shares a port between listeners with --unstable-net only";
  return `"${workers}" cannot be had: ${why}; write 1, and start as many ` +
    "processes as wanted, each on a PORT of its own, behind a TCP balancer";
}

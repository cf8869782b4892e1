/**
 * Where the program begins: as itself, or as one of its workers.
 *
 * @module
 */

import { COMMANDS } from "../config/commands.ts";
import { args, exit, liftBunLimit, say } from "../runtime/process.ts";
import { isWorker } from "../runtime/sharing.ts";

/** Runs the program, or the part of it that this worker is. */
export async function start(): Promise<void> {
  if (isWorker()) {
    const { work } = await import("./worker.ts");
    return work();
  }
  // Before the rest is loaded, which would be loaded twice; what only prints a
  // text and ends needs no limits.
  if (!args().some((arg) => Object.hasOwn(COMMANDS, arg))) liftBunLimit(say);
  const { main } = await import("./main.ts");
  // What is thrown here would otherwise be taken for one request's fault, and
  // the program would end, or go on without listening, as if all were well.
  await main().catch((error) => {
    say(`cannot start: ${String(error)}`);
    exit(1);
  });
}

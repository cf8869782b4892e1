/**
 * Entry point of the program and of its workers.
 *
 * @module
 */

import { COMMANDS } from "../config/commands.ts";
import { args, exit, liftBunLimit, printError } from "../runtime/process.ts";
import { isWorker } from "../runtime/sharing.ts";

/** Runs the program, or a worker of it. */
export async function start(): Promise<void> {
  if (isWorker()) {
    const { work } = await import("./worker.ts");
    return work();
  }
  // Before the other modules, which would be loaded twice. A command that only
  // prints needs no limits.
  if (!args().some((arg) => Object.hasOwn(COMMANDS, arg))) {
    liftBunLimit(printError);
  }
  const { main } = await import("./main.ts");
  // An error here must end the program: otherwise it would be handled like one
  // request's error, and the program would go on without listening.
  await main().catch((error) => {
    printError(`cannot start: ${String(error)}`);
    exit(1);
  });
}

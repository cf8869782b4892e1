/**
 * The verdict on a case: it holds, it is a known exception, or it is neither.
 *
 * @module
 */

import type { Ground, WireCase } from "./case.ts";
import { Round } from "./case.ts";
import { exceptionFor } from "./exceptions.ts";

/** The result of one case on one runtime. */
export type Verdict =
  | { kind: "holds" }
  /** It fails, in the known way. */
  | { kind: "exception"; instead: string }
  /** It does not hold. */
  | { kind: "fails"; message: string }
  /** It is listed as an exception and passes. */
  | { kind: "mended"; instead: string };

/** Runs a case on each kind of connection that it is for. */
export async function judge(ground: Ground, each: WireCase): Promise<Verdict> {
  const exception = exceptionFor(
    ground.runtime,
    ground.by,
    ground.group.name,
    each.name,
  );
  const message = await firstFailure(ground, each);
  if (message === undefined) {
    return exception === undefined || exception.sometimes === true
      ? { kind: "holds" }
      : { kind: "mended", instead: exception.instead };
  }
  if (exception === undefined) return { kind: "fails", message };
  return exception.seen.test(message)
    ? { kind: "exception", instead: exception.instead }
    : { kind: "fails", message: `not as the exception says: ${message}` };
}

async function firstFailure(
  ground: Ground,
  each: WireCase,
): Promise<string | undefined> {
  const { on = "both" } = each;
  const kinds = ["new", "used", "proven"] as const;
  for (const kind of kinds.slice(0, { fresh: 1, both: 2, proven: 3 }[on])) {
    try {
      await Round.run(ground, each, kind);
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      return `on a ${kind} connection: ${text}`;
    }
  }
  return undefined;
}

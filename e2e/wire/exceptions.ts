/**
 * What a runtime cannot do: the cases that fail on it, and what happens instead.
 *
 * @module
 */

import type { Runtime } from "../harness/proxy.ts";

/** A promise that cannot be kept on a runtime. */
export interface Exception {
  /** Where. */
  runtime: Runtime;
  /** The group of the cases. */
  group: string;
  /** Names of the cases. */
  cases: readonly string[];
  /** What happens instead, as a sentence for the README. */
  instead: string;
  /** Why nothing can be done about it here. */
  reason: string;
  /** The runtime's issue, where one is known. */
  issue?: string;
  /** How the case fails: if it fails in another way, that is another fault. */
  seen: RegExp;
}

/** All of them. */
export const EXCEPTIONS: readonly Exception[] = [];

/** The exception that a case falls under, if there is one. */
export function exceptionFor(
  runtime: Runtime,
  group: string,
  name: string,
): Exception | undefined {
  return EXCEPTIONS.find((row) =>
    row.runtime === runtime && row.group === group && row.cases.includes(name)
  );
}

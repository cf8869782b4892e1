/**
 * What a row of `exceptions.ts` is.
 *
 * @module
 */

import type { Runtime } from "../harness/proxy.ts";

/** A promise that cannot be kept on a runtime. */
export interface Exception {
  /** Where. */
  runtimes: readonly Runtime[];
  /** With which transport only, if it is one's. */
  over?: "fetch" | "socket";
  /**
   * Also with `auto`, on Bun: it cannot be foreseen of a request, or is not worth
   * another transport.
   */
  byAuto?: true;
  /** The group of the cases. */
  group: string;
  /** Begins of the names of the cases. */
  cases: readonly string[];
  /** What happens instead, as a sentence for `docs/limits.md`. */
  instead: string;
  /** Why nothing can be done about it here. */
  reason: string;
  /** The runtime's issue, where one is known. */
  issue?: string;
  /** How the case fails; another failure is a new bug. */
  seen: RegExp;
  /** It depends on when bytes arrive, so the case may hold as well. */
  sometimes?: boolean;
}

/** Both runtimes. */
export const BOTH = ["deno", "bun"] as const;

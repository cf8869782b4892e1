/**
 * A chaos case: a fault under load, and counted results. The short form is a
 * test, the long one is `deno task chaos`.
 *
 * @module
 */

import type { Runtime } from "../harness/proxy.ts";

/** How long or how many; each case interprets it. */
export type Scale = "short" | "long";

/** Figures of one run, in the order they are shown. */
export type Figures = Readonly<Record<string, number | string>>;

/** A fault under load. */
export interface ChaosCase {
  /** What is promised, as a sentence. */
  readonly name: string;
  /** Programs without which it is skipped. */
  readonly needs?: readonly string[];
  /** Runs it; throws if the promise is broken. */
  run(runtime: Runtime, scale: Scale): Promise<Figures>;
}

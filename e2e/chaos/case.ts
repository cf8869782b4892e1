/**
 * What a case of chaos is: something that is broken under load on purpose, and
 * figures of what it cost. The short form is a test, the long one is
 * `deno task chaos`.
 *
 * @module
 */

import type { Runtime } from "../harness/proxy.ts";

/** How long or how much; each case says what it makes of it. */
export type Scale = "short" | "long";

/** Figures of one run, in the order they are shown. */
export type Figures = Readonly<Record<string, number | string>>;

/** Something that is broken on purpose. */
export interface ChaosCase {
  /** What is promised, as a sentence. */
  readonly name: string;
  /** Runs it; throws when the promise is not kept. */
  run(runtime: Runtime, scale: Scale): Promise<Figures>;
}

/**
 * A request as its server hands it over.
 *
 * @module
 */

import type { Read } from "./fields.ts";
import type { Served } from "./guard.ts";

/** A request as its server hands it over. */
export interface Arrival {
  readonly request: Request;
  /** Its fields. */
  readonly fields: Read;
  /** What the runtime hands a handler with it. */
  readonly connection: unknown;
  /** How it came, from a server of our own. */
  readonly served: Served | undefined;
  /** The address that it came from; `null` where that is not known any more. */
  readonly peer: string | null | undefined;
  /** When it came. */
  readonly at: number;
}

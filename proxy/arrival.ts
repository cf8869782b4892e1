/**
 * A request as received from its server.
 *
 * @module
 */

import type { Read } from "./fields.ts";
import type { Served } from "./guard.ts";

/** A request as received from its server. */
export interface Arrival {
  readonly request: Request;
  /** Its header fields. */
  readonly fields: Read;
  /** The second argument of the runtime's handler. */
  readonly connection: unknown;
  /** The server of ours that it came through, if any. */
  readonly served: Served | undefined;
  /** The peer's address; `null` if it is no longer known. */
  readonly peer: string | null | undefined;
  /** When it arrived. */
  readonly at: number;
}

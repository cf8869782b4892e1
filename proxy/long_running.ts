/**
 * Long-running requests: their clients are watched, and their connections kept
 * open.
 *
 * @module
 */

import type { Context } from "./context.ts";
import type { Exchange } from "./exchange.ts";
import { watchClient } from "./watch.ts";

/** Handles a request that has lasted longer than a tick. */
export function longRunning(x: Exchange, { server, streams }: Context): void {
  // Bun closes a connection without traffic, though we wait for a backend.
  server.keepOpen?.(x.request, x.connection);
  watchClient(x);
  x.stream = server.connectionOf?.(x.connection);
  if (x.stream !== undefined) streams.add(x, x.stream);
}

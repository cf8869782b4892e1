/**
 * Requests that last: their client is watched, and their connection is told to
 * wait.
 *
 * @module
 */

import type { Context } from "./context.ts";
import type { Exchange } from "./exchange.ts";
import { watchClient } from "./watch.ts";

/** A request has lasted past a tick. */
export function lasting(x: Exchange, { server, streams }: Context): void {
  // Bun closes a connection that is quiet for long, and cannot know that we
  // wait for a backend.
  server.unhurried?.(x.request, x.connection);
  watchClient(x);
  x.stream = server.connectionOf?.(x.connection);
  if (x.stream !== undefined) streams.add(x, x.stream);
}

/**
 * Requests that last: their client is watched, and their connection is told to
 * wait. Nearly every request is answered before that is worth its cost.
 *
 * @module
 */

import type { Context } from "./context.ts";
import type { Exchange } from "./exchange.ts";
import { CLIENT_LEFT } from "./reasons.ts";

/** Listens for the client leaving. */
export function watchClient(x: Exchange): void {
  if (x.watched) return;
  x.watched = true;
  // A request made in code ends by its own signal as well.
  const { signal } = x.request;
  const left = () => x.end(CLIENT_LEFT);
  // On Bun a signal that fired before anything listened stays silent.
  if (signal.aborted) left();
  else signal.addEventListener("abort", left, { once: true });
}

/** A request has lasted past a tick. */
export function lasting(x: Exchange, { server, streams }: Context): void {
  // Bun closes a connection that is quiet for long, and cannot know that we
  // wait for a backend.
  server.unhurried?.(x.request, x.connection);
  watchClient(x);
  x.stream = server.connectionOf?.(x.connection);
  if (x.stream !== undefined) streams.add(x, x.stream);
}

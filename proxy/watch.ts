/**
 * The client of a request is watched once that may matter. Nearly every request
 * is answered before it is worth its cost.
 *
 * @module
 */

import { CLIENT_LEFT } from "./reasons.ts";

/** A request whose client can be watched. */
export interface Watched {
  readonly request: Request;
  /** Whether it is watched. */
  watched: boolean;
  /** Ends it for a reason of this side's. */
  end(cause: Error): void;
}

/** Listens for the client leaving. */
export function watchClient(x: Watched): void {
  if (x.watched) return;
  x.watched = true;
  // A request made in code ends by its own signal as well.
  const { signal } = x.request;
  const left = () => x.end(CLIENT_LEFT);
  // On Bun a signal that fired before anything listened stays silent.
  if (signal.aborted) left();
  else signal.addEventListener("abort", left, { once: true });
}

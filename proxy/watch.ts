/**
 * Watches the client of a request, once that may matter. Almost all requests
 * end before it is worth its cost.
 *
 * @module
 */

import { CLIENT_LEFT } from "./reasons.ts";

/** A request whose client can be watched. */
export interface Watched {
  readonly request: Request;
  /** Whether it is watched. */
  watched: boolean;
  /** Ends it from this side. */
  end(cause: Error): void;
}

/** Listens for the client's disconnection. */
export function watchClient(x: Watched): void {
  if (x.watched) return;
  x.watched = true;
  // For a request made in code, this is its own signal.
  const { signal } = x.request;
  const left = () => x.end(CLIENT_LEFT);
  // On Bun an aborted signal does not call a listener that is added later.
  if (signal.aborted) left();
  else signal.addEventListener("abort", left, { once: true });
}

/**
 * Who may be picked: every reason to pass a backend over, in one place.
 *
 * @module
 */

import type { Backend } from "./backend.ts";

/** Whether a backend takes a request at all, ejected or not. */
function takes(backend: Backend): boolean {
  return backend.up && !backend.draining && backend.weight > 0 &&
    backend.inFlight < backend.maxConns;
}

/** Whether a backend may be picked before any backup is. */
export function availablePrimary(backend: Backend): boolean {
  return !backend.backup && !backend.ejected && takes(backend);
}

/** Whether a backup may be picked once no other backend can be. */
export function availableBackup(backend: Backend): boolean {
  return backend.backup && !backend.ejected && takes(backend);
}

/** Whether a backend may be picked once no other is left. */
export function ejectedOnly(backend: Backend): boolean {
  return backend.ejected && takes(backend);
}

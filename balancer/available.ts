/**
 * Which backends may be picked: every reason to skip one, in one place.
 *
 * @module
 */

import type { Backend } from "./backend.ts";

/** Whether a backend can take a request, ejected or not. */
function takes(backend: Backend): boolean {
  return backend.up && !backend.draining && backend.weight > 0 &&
    backend.inFlight < backend.maxConns;
}

/** Whether a backend may be picked in the first round, before any backup. */
export function availablePrimary(backend: Backend): boolean {
  return !backend.backup && !backend.ejected && takes(backend);
}

/** Whether a backup may be picked because no other backend is available. */
export function availableBackup(backend: Backend): boolean {
  return backend.backup && !backend.ejected && takes(backend);
}

/** Whether an ejected backend may be picked because no other is left. */
export function ejectedOnly(backend: Backend): boolean {
  return backend.ejected && takes(backend);
}

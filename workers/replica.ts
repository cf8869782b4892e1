/**
 * The pool of the first process, replicated in its workers.
 *
 * Only the first process decides which backends are in the pool and their
 * state: it probes, collects all outcomes, looks up names, reads the file and
 * serves the operator. On each change it sends the whole state. That is more
 * than the difference, but it needs no history, also for a worker that has just
 * replaced another one; and a pool changes rarely.
 *
 * @module
 */

import type { Backend, Pool } from "../balancer.ts";
import type { Place } from "./table.ts";

/** The state of one backend, as plain values. */
export interface BackendState {
  id: string;
  url: string;
  name: string | undefined;
  weight: number;
  backup: boolean;
  maxConns: number;
  authority: string;
  up: boolean;
  ejected: boolean;
  draining: boolean;
  /** Its place in the shared table. */
  place: number;
}

/** The state of a backend. */
export function stateOf(backend: Backend, place: number): BackendState {
  const { id, url, name, weight, backup, maxConns, authority } = backend;
  const { up, ejected, draining } = backend;
  return {
    id,
    url,
    name,
    weight,
    backup,
    maxConns,
    authority,
    up,
    ejected,
    draining,
    place,
  };
}

/**
 * Makes a worker's pool equal to the first process's, with an event for each
 * difference, as if the change had happened here.
 */
export function applyStates(
  pool: Pool,
  states: readonly BackendState[],
  shared: (place: number) => Place,
): void {
  const places = new Map(states.map(({ url, place }) => [url, place]));
  // Remove first: a new backend may have the id or name of a removed one. No
  // request is picked for in between.
  for (const backend of pool.backends) {
    const { at } = backend.shared as Place;
    // A different place means a different backend: the URL was removed and
    // added again.
    if (places.get(backend.url) !== at) pool.remove(backend);
  }
  for (const state of states) {
    const backend = pool.get(state.url) ??
      addBackend(pool, state, shared(state.place));
    applyState(pool, backend, state);
  }
}

function addBackend(pool: Pool, state: BackendState, place: Place): Backend {
  const { id, url, weight, backup, maxConns, authority } = state;
  // The name is set later: another backend may have it until then.
  const backend = pool.add({ id, url, weight, backup, maxConns, authority });
  backend.countWith(place);
  return backend;
}

function applyState(pool: Pool, backend: Backend, state: BackendState): void {
  pool.change(backend, state);
  if (backend.up !== state.up) {
    backend.up = state.up;
    pool.emit({ type: state.up ? "up" : "down", backend });
  }
  if (backend.ejected !== state.ejected) {
    backend.ejected = state.ejected;
    pool.emit({ type: state.ejected ? "ejected" : "readmitted", backend });
  }
  pool.drain(backend, state.draining);
}

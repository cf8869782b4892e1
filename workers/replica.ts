/**
 * The pool of the first process, as its workers have it.
 *
 * The first process alone decides who is in the pool and in what state: it
 * probes, hears all outcomes, looks names up, reads the file and listens to the
 * operator. At each change it sends the whole of what it knows. That is more than
 * the difference, but right whatever was sent before, also for a worker that has
 * just taken a dead one's place; and a pool does not change often.
 *
 * @module
 */

import type { Backend, Pool } from "../balancer.ts";
import type { Place } from "./table.ts";

/** One backend, in plain values. */
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
  /** Its place in the table of common counts. */
  place: number;
}

/** Says what is to be known of a backend. */
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
 * Makes a worker's pool what the first process says it is, and tells the pool's
 * listeners of each difference, as if it had happened here.
 */
export function become(
  pool: Pool,
  states: readonly BackendState[],
  shared: (place: number) => Place,
): void {
  const places = new Map(states.map(({ url, place }) => [url, place]));
  // First those that go, since one that comes may have the id or the name of one
  // of them. No request is picked for in between.
  for (const backend of pool.backends) {
    const { at } = backend.shared as Place;
    // With another place it is another one: the old one has left, and its URL
    // was added again.
    if (places.get(backend.url) !== at) pool.remove(backend);
  }
  for (const state of states) {
    const backend = pool.get(state.url) ??
      joined(pool, state, shared(state.place));
    assume(pool, backend, state);
  }
}

function joined(pool: Pool, state: BackendState, place: Place): Backend {
  const { id, url, weight, backup, maxConns, authority } = state;
  // Its name it is given with the rest: another may have it until then.
  const backend = pool.add({ id, url, weight, backup, maxConns, authority });
  backend.countWith(place);
  return backend;
}

function assume(pool: Pool, backend: Backend, state: BackendState): void {
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

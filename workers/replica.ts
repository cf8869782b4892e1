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

import type { Backend, Pool, Shared } from "../balancer.ts";

/** One backend, in plain values. */
export interface BackendState {
  url: string;
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
  const { url, weight, backup, maxConns, authority } = backend;
  const { up, ejected, draining } = backend;
  return {
    url,
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
  shared: (place: number) => Shared,
): void {
  const urls = new Set(states.map(({ url }) => url));
  // First those that come: at no time may there be nobody.
  for (const state of states) {
    const backend = pool.get(state.url) ?? joined(pool, state);
    backend.shared ??= shared(state.place);
    assume(pool, backend, state);
  }
  for (const backend of pool.backends) {
    if (!urls.has(backend.url)) pool.remove(backend);
  }
}

function joined(pool: Pool, state: BackendState): Backend {
  const { url, weight, backup, maxConns, authority } = state;
  return pool.add({ url, weight, backup, maxConns, authority });
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

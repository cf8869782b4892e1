/**
 * Since when each backend is in its state, and why.
 *
 * @module
 */

import type { Backend, Pool, PoolEvent } from "../balancer.ts";
import { type BackendJson, type LastChange, stateOf } from "./backend_json.ts";

interface Kept extends LastChange {
  readonly state: BackendJson["state"];
}

/** Keeps the last change of each backend's state. */
export class LastChanges {
  readonly #kept = new WeakMap<Backend, Kept>();
  readonly #unsubscribe: () => void;
  readonly #date: () => number;

  /** Starts to keep changes. */
  constructor(pool: Pool, date: () => number = Date.now) {
    this.#date = date;
    for (const backend of pool) this.#keep(backend, undefined, undefined);
    this.#unsubscribe = pool.subscribe((event) => this.#changed(event));
  }

  /** Stops listening to the pool. */
  stop(): void {
    this.#unsubscribe();
  }

  /** The last change of a backend's state. */
  of(backend: Backend): LastChange | undefined {
    return this.#kept.get(backend);
  }

  #changed({ backend, reason }: PoolEvent): void {
    // Not every event changes the state, for example a new weight does not.
    if (
      backend === undefined ||
      this.#kept.get(backend)?.state === stateOf(backend)
    ) return;
    this.#keep(backend, this.#date(), reason);
  }

  #keep(
    backend: Backend,
    at: number | undefined,
    reason: string | undefined,
  ): void {
    this.#kept.set(backend, { state: stateOf(backend), at, reason });
  }
}

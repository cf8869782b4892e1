/**
 * Replaces a list of backends by a new one without a moment in which the pool
 * has no backend to send a request to.
 *
 * @module
 */

import type { BackendInit, Pool, ReplaceCounts } from "../balancer.ts";
import type { Resolver } from "./resolve.ts";

/** A backend of a list; with `resolve`, its host name is looked up. */
export type BackendEntry = BackendInit & { resolve?: boolean | undefined };

/** Separates the entries with `resolve` from the others. */
export function splitByResolve(
  entries: readonly BackendEntry[],
): { fixed: BackendInit[]; named: BackendInit[] } {
  const fixed: BackendInit[] = [];
  const named: BackendInit[] = [];
  for (const { resolve, ...init } of entries) {
    (resolve === true ? named : fixed).push(init);
  }
  return { fixed, named };
}

/** Applies lists of backends to a pool, one at a time. */
export class Membership {
  readonly #pool: Pool;
  readonly #resolver: Resolver;
  readonly #settled: () => Promise<void>;
  #last: Promise<unknown> = Promise.resolve();

  /** `settled` resolves once each backend of the pool has been probed. */
  constructor(pool: Pool, resolver: Resolver, settled: () => Promise<void>) {
    this.#pool = pool;
    this.#resolver = resolver;
    this.#settled = settled;
  }

  /**
   * Makes the pool hold the entries of the list; backends that stay keep their
   * state. New names are looked up and new backends probed before any backend
   * is removed.
   */
  replace(entries: readonly BackendEntry[]): Promise<ReplaceCounts> {
    const done = this.#last.then(() => this.#replace(entries));
    this.#last = done.catch(() => {});
    return done;
  }

  async #replace(entries: readonly BackendEntry[]): Promise<ReplaceCounts> {
    const { fixed, named } = splitByResolve(entries);
    const before = new Set(this.#pool);
    const { changed } = this.#pool.replace(fixed, () => true);
    await this.#resolver.follow(named);
    await this.#settled();
    this.#resolver.forget(named);
    this.#pool.replace(fixed, (backend) => this.#resolver.owns(backend));
    const after = new Set(this.#pool);
    this.#pool.emit({ type: "reloaded" });
    return {
      added: [...after].filter((backend) => !before.has(backend)).length,
      removed: [...before].filter((backend) => !after.has(backend)).length,
      changed,
    };
  }
}

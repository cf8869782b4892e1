/**
 * A new list of backends in place of an old one, without a moment in which there
 * is no backend to send a request to.
 *
 * @module
 */

import type { BackendInit, Pool, ReplaceCounts } from "../balancer.ts";
import type { Resolver } from "./resolve.ts";

/** A backend of a list; with `resolve` its URL has a name to look up. */
export type BackendEntry = BackendInit & { resolve?: boolean | undefined };

/** Those of a list that are what they say, and those that are names. */
export function apart(
  entries: readonly BackendEntry[],
): { fixed: BackendInit[]; named: BackendInit[] } {
  const fixed: BackendInit[] = [];
  const named: BackendInit[] = [];
  for (const { resolve, ...init } of entries) {
    (resolve === true ? named : fixed).push(init);
  }
  return { fixed, named };
}

/** Makes a pool's members those of a list, one list after the other. */
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
   * Makes the members those of the list; who stays keeps its state. Whoever
   * joins has been probed, and its name looked up, before anybody leaves.
   */
  become(entries: readonly BackendEntry[]): Promise<ReplaceCounts> {
    const done = this.#last.then(() => this.#become(entries));
    this.#last = done.catch(() => {});
    return done;
  }

  async #become(entries: readonly BackendEntry[]): Promise<ReplaceCounts> {
    const { fixed, named } = apart(entries);
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

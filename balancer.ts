/**
 * The pool of backends, which one of them is picked, and who may be picked.
 *
 * Everything here is pure: no socket, no timer, no clock. Health, the admin API
 * and the proxy write what they learn into a {@linkcode Backend}, and a
 * {@linkcode Policy} reads it through one predicate, so that every policy
 * honours every reason to pass a backend over without knowing any of them.
 *
 * @module
 */

import {
  Backend,
  type BackendFunction,
  type BackendInit,
} from "./balancer/backend.ts";
import { type Accepts, type Policy, roundRobin } from "./balancer/policies.ts";

export {
  Backend,
  type BackendFunction,
  type BackendInit,
  type Shared,
} from "./balancer/backend.ts";
export {
  type Accepts,
  type Policy,
  policyOf,
  type PolicyOptions,
  roundRobin,
} from "./balancer/policies.ts";

/** Something that changed in a pool. */
export interface PoolEvent {
  /** What happened. */
  type:
    | "up"
    | "down"
    | "ejected"
    | "readmitted"
    | "added"
    | "removed"
    | "changed"
    | "draining"
    | "panic"
    | "reloaded";
  /** Whom it happened to; absent when it concerns the whole pool. */
  backend?: Backend;
  /** Why, in a few words. */
  reason?: string;
}

/** A backend as it may be given: a URL, what it is made from, or a function. */
export type Given = string | BackendInit | BackendFunction;

/** Options for {@linkcode Pool}. */
export interface PoolOptions {
  /** Brings a backend that is given into its normal form, or throws. */
  read?: (given: Given) => BackendInit;
  /**
   * Evenly from 0 up to 1: where in its first round each backend stands. When
   * all proxies of a fleet begin with the first of their common list they march
   * on in step, and each backend in turn gets a request from all of them at once
   * (`deno task simulate fleet`: a median five times as long).
   *
   * @default {in the order of the list}
   */
  random?: () => number;
}

/** What {@linkcode Pool.replace} has done. */
export interface Replaced {
  /** How many have joined. */
  added: number;
  /** How many have left. */
  removed: number;
  /** How many stay with other settings than before. */
  changed: number;
}

/** The backends, and what is known of each right now. */
export class Pool implements Iterable<Backend> {
  #backends: readonly Backend[] = [];
  readonly #policy: Policy;
  readonly #read: (given: Given) => BackendInit;
  readonly #random: () => number;
  #listeners: readonly ((event: PoolEvent) => void)[] = [];
  #panicking = false;

  /** Makes a pool that picks by `policy`. */
  constructor(
    backends: Iterable<Given>,
    policy: Policy = roundRobin(),
    { read = plain, random = () => 0 }: PoolOptions = {},
  ) {
    this.#policy = policy;
    this.#read = read;
    this.#random = random;
    for (const given of backends) this.add(given);
  }

  /** How many backends there are, whatever their state. */
  get size(): number {
    return this.#backends.length;
  }

  /** The backends in their order; a change of the pool makes a new array. */
  get backends(): readonly Backend[] {
    return this.#backends;
  }

  /** Each backend, in the order of {@linkcode backends}. */
  [Symbol.iterator](): IterableIterator<Backend> {
    return this.#backends[Symbol.iterator]();
  }

  /** The backend of this id or URL, if it is here. */
  get(idOrUrl: string): Backend | undefined {
    return this.#backends.find((b) => b.id === idOrUrl || b.url === idOrUrl);
  }

  /**
   * Adds a backend: at once, or after its first passing probe where there are
   * probes.
   *
   * @throws {TypeError | RangeError} If it cannot be used, or one with this URL
   * is here already.
   */
  add(given: Given): Backend {
    const init = this.#read(given);
    if (this.get(init.url) !== undefined) {
      throw new RangeError(`Cannot add "${init.url}": it is in the pool`);
    }
    return this.#join(init);
  }

  #join(init: BackendInit): Backend {
    const backend = new Backend(init);
    backend.turn = this.#random();
    this.#backends = [...this.#backends, backend];
    this.emit({ type: "added", backend });
    return backend;
  }

  /** Removes a backend; what it is answering goes on to its end. */
  remove(backend: Backend): boolean {
    if (!this.#backends.includes(backend)) return false;
    this.#backends = this.#backends.filter((b) => b !== backend);
    backend.draining = true;
    this.emit({ type: "removed", backend });
    return true;
  }

  /** Gives a backend nothing new, or takes that back. */
  drain(backend: Backend, draining = true): void {
    if (backend.draining === draining) return;
    backend.draining = draining;
    this.emit({ type: draining ? "draining" : "changed", backend });
  }

  /**
   * Changes a backend's share.
   *
   * @throws {RangeError} If `weight` is not from 0 to 1000.
   */
  setWeight(backend: Backend, weight: number): void {
    if (!(weight >= 0 && weight <= 1000)) {
      throw new RangeError(
        `Cannot set the weight: ${weight} is not from 0 to 1000`,
      );
    }
    backend.weight = weight;
    this.emit({ type: "changed", backend });
  }

  /**
   * Makes the pool hold what is given and nothing else, but for those of which
   * `keeps` says that they are somebody else's business. Whoever stays keeps its
   * state and what it is answering; its weight and limits become the given ones.
   *
   * @throws {TypeError | RangeError} If one cannot be used; nothing has changed
   * then.
   */
  replace(
    givens: Iterable<Given>,
    keeps: (backend: Backend) => boolean = () => false,
  ): Replaced {
    const replaced: Replaced = { added: 0, removed: 0, changed: 0 };
    const inits = Array.from(givens, (given) => this.#read(given));
    const urls = new Set(inits.map(({ url }) => url));
    for (const init of inits) {
      const backend = this.get(init.url);
      if (backend === undefined) {
        this.#join(init);
        replaced.added++;
      } else if (this.change(backend, init)) {
        replaced.changed++;
      }
    }
    for (const backend of this.#backends) {
      if (urls.has(backend.url) || keeps(backend)) continue;
      this.remove(backend);
      replaced.removed++;
    }
    return replaced;
  }

  /** Gives a backend these settings, as if made with them; says if any is new. */
  change(
    backend: Backend,
    settings: Pick<BackendInit, "weight" | "backup" | "maxConns">,
  ): boolean {
    const { weight = 1, backup = false, maxConns = Infinity } = settings;
    if (
      backend.weight === weight && backend.backup === backup &&
      backend.maxConns === maxConns
    ) return false;
    backend.weight = weight;
    backend.backup = backup;
    backend.maxConns = maxConns;
    this.emit({ type: "changed", backend });
    return true;
  }

  /** Calls `listener` at each change until the returned function is called. */
  subscribe(listener: (event: PoolEvent) => void): () => void {
    this.#listeners = [...this.#listeners, listener];
    return () => {
      this.#listeners = this.#listeners.filter((l) => l !== listener);
    };
  }

  /** Tells the listeners of a change. */
  emit(event: PoolEvent): void {
    for (const listener of this.#listeners) {
      try {
        listener(event);
      } catch (error) {
        // Whoever has made the change must go on with it: a probe that meets a
        // broken listener would never ask again. So it surfaces by itself.
        Promise.reject(error);
      }
    }
  }

  /**
   * Picks a backend that is available and not among `tried`.
   *
   * Backups come in when no other is available. When all that is left is
   * ejected, those are used ("panic"): an ejection is a guess, and a guess must
   * not turn a slow site into a dead one. A backend that probes have found down
   * is never picked.
   */
  pick(key?: string, tried?: readonly Backend[]): Backend | undefined {
    // Apart, since a closure in here would cost every pick an allocation.
    if (tried !== undefined && tried.length > 0) {
      return this.#pickUntried(key, tried);
    }
    const backends = this.#backends;
    const policy = this.#policy;
    const found = policy(backends, availablePrimary, key);
    if (found !== undefined) {
      this.#panicking = false;
      return found;
    }
    const spare = policy(backends, availableBackup, key);
    if (spare !== undefined) return spare;
    const ejected = policy(backends, ejectedOnly, key);
    if (ejected !== undefined && !this.#panicking) {
      this.#panicking = true;
      this.emit({ type: "panic", reason: "all that is left is ejected" });
    }
    return ejected;
  }

  #pickUntried(
    key: string | undefined,
    tried: readonly Backend[],
  ): Backend | undefined {
    const pick = (accepts: Accepts) =>
      this.#policy(
        this.#backends,
        (backend) => accepts(backend) && !tried.includes(backend),
        key,
      );
    return pick(availablePrimary) ?? pick(availableBackup) ?? pick(ejectedOnly);
  }
}

/** A backend that is given as it should be. */
function plain(given: Given): BackendInit {
  if (typeof given === "string") return { url: given };
  if (typeof given !== "function") return given;
  return { url: `function:${given.name || "anonymous"}`, answer: given };
}

/** Whether a backend takes a request at all, ejected or not. */
function takes(backend: Backend): boolean {
  return backend.up && !backend.draining && backend.weight > 0 &&
    backend.inFlight < backend.maxConns;
}

/** Whether a backend may be picked before any backup is. */
function availablePrimary(backend: Backend): boolean {
  return !backend.backup && !backend.ejected && takes(backend);
}

/** Whether a backup may be picked once no other backend can be. */
function availableBackup(backend: Backend): boolean {
  return backend.backup && !backend.ejected && takes(backend);
}

/** Whether a backend may be picked once no other is left. */
function ejectedOnly(backend: Backend): boolean {
  return backend.ejected && takes(backend);
}

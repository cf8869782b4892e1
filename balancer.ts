/**
 * The pool of backends, and the policies that pick one of them.
 *
 * Everything here is pure: no socket, no timer, no clock. Health, the admin API
 * and the proxy write what they learn into a {@linkcode Backend}, and a
 * {@linkcode Policy} reads it through one predicate, so that every policy
 * honours every reason to pass a backend over without knowing any of them.
 *
 * @module
 */

/**
 * A backend that is a function: a maintenance page, a static fallback, another
 * proxy. It is not probed, and only a throw from it is a bad outcome.
 */
export type BackendFunction = (
  request: Request,
) => Response | Promise<Response>;

/** What a {@linkcode Backend} is made from. */
export interface BackendInit {
  /**
   * Where it is: `http://host:port/base`, `https://…` or `unix:/path`, in the
   * normal form that `config/backends.ts` gives. For a function, its name.
   */
  url: string;
  /** Its share beside the others, 0 to 1000; 0 gets nothing. @default {1} */
  weight?: number | undefined;
  /** Gets requests only while no other is available. @default {false} */
  backup?: boolean | undefined;
  /** Most requests at once. @default {Infinity} */
  maxConns?: number | undefined;
  /** Answers in this process; such a backend is never probed. */
  answer?: BackendFunction | undefined;
}

/** A server, or a function, that requests are sent on to. */
export class Backend {
  /** Names it in the admin API and in metrics; stable for one URL. */
  readonly id: string;
  /** As configured, in normal form. */
  readonly url: string;
  /** Scheme and authority: what a target is appended to. */
  readonly origin: string;
  /** `host:port`, for the `Host` field when it is the backend's own. */
  readonly authority: string;
  /** Path in front of every target, without a slash at its end. */
  readonly basePath: string;
  /** Path of a Unix domain socket, when it listens on one. */
  readonly socketPath: string | undefined;
  /** A function backend's function. */
  readonly answer: BackendFunction | undefined;
  /** Gets requests only while no other is available. */
  readonly backup: boolean;
  /** Most requests at once. */
  maxConns: number;
  /** Its share beside the others. */
  weight: number;
  /** The probes' verdict: a fact. */
  up = true;
  /** Out for a while because of outcomes: a guess. */
  ejected = false;
  /** Finishing what it has, given nothing new. */
  draining = false;
  /** Requests that it is answering now, until their bodies have ended. */
  inFlight = 0;
  /** Requests that it was ever given, retries included. */
  requests = 0;
  /** Whole answers in a row; what is proven need not be watched closely. */
  proven = 0;
  /** Share of its weight that it gets while it warms up, 0 to 1. */
  ramp = 1;
  /** Smooth round robin's running count. */
  turn = 0;

  /** Makes a backend that is up and has no past. */
  constructor(init: BackendInit) {
    const { weight = 1, backup = false, maxConns = Infinity } = init;
    this.url = init.url;
    this.answer = init.answer;
    this.weight = weight;
    this.backup = backup;
    this.maxConns = maxConns;
    this.id = idOf(init.url);
    if (init.answer !== undefined) {
      this.origin = "http://function.invalid";
      this.authority = "function.invalid";
      this.basePath = "";
      this.socketPath = undefined;
    } else if (init.url.startsWith("unix:")) {
      // A name is needed for the `Host` field and for `fetch`; RFC 2606 keeps
      // "localhost" from ever meaning another machine.
      this.origin = "http://localhost";
      this.authority = "localhost";
      this.basePath = "";
      this.socketPath = init.url.slice("unix:".length);
    } else {
      const [, origin = "", authority = "", basePath = ""] =
        /^(https?:\/\/([^/]+))(.*)$/.exec(init.url) ?? [];
      this.origin = origin;
      this.authority = authority;
      this.basePath = basePath.replace(/\/+$/, "");
      this.socketPath = undefined;
    }
  }
}

/**
 * A short name that is the same in every process and after every restart, so
 * that a dashboard's link and a metric's label survive a reload: FNV-1a over
 * the URL, 32 bits, since a pool is small.
 */
function idOf(url: string): string {
  let hash = 0x811c9dc5;
  for (let i = 0; i < url.length; i++) {
    hash = Math.imul(hash ^ url.charCodeAt(i), 0x01000193);
  }
  return (hash >>> 0).toString(16).padStart(8, "0");
}

/** Says whether a backend may be picked. */
export type Accepts = (backend: Backend) => boolean;

/**
 * Picks one backend of those that `accepts` lets through, or none when it lets
 * none through. `key` is what the hashing policies hash; others ignore it.
 */
export type Policy = (
  backends: readonly Backend[],
  accepts: Accepts,
  key?: string,
) => Backend | undefined;

/**
 * Smooth weighted round robin, as in nginx: each accepted backend gains its
 * weight, the one with most is picked and pays the sum of all. With weights 5,
 * 1, 1 that gives a a b a c a a instead of five in a row.
 *
 * A backend that is passed over takes no part in the round, so its share falls
 * to all others by weight and never to its neighbour alone. One pass, nothing
 * allocated; linear, since every weight must be looked at.
 */
export function roundRobin(): Policy {
  return (backends, accepts) => {
    let best: Backend | undefined;
    let total = 0;
    for (let i = 0; i < backends.length; i++) {
      const backend = backends[i]!;
      if (!accepts(backend)) continue;
      const weight = backend.weight * backend.ramp;
      backend.turn += weight;
      total += weight;
      if (best === undefined || backend.turn > best.turn) best = backend;
    }
    if (best !== undefined) best.turn -= total;
    return best;
  };
}

/**
 * The policy of a setting's name.
 *
 * @throws {RangeError} If there is none of this name.
 */
export function policyOf(name: string): Policy {
  if (name === "round_robin") return roundRobin();
  throw new RangeError(`Cannot pick by "${name}": there is no such policy`);
}

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

/** The backends, and what is known of each right now. */
export class Pool implements Iterable<Backend> {
  #backends: readonly Backend[] = [];
  #policy: Policy;
  #listeners: readonly ((event: PoolEvent) => void)[] = [];
  #panicking = false;

  /** Makes a pool that picks by `policy`. */
  constructor(backends: Iterable<BackendInit>, policy: Policy = roundRobin()) {
    this.#policy = policy;
    for (const init of backends) this.add(init);
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
   * Adds a backend, which may be picked at once.
   *
   * @throws {RangeError} If one with this URL is here already.
   */
  add(init: BackendInit): Backend {
    if (this.get(init.url) !== undefined) {
      throw new RangeError(`Cannot add "${init.url}": it is in the pool`);
    }
    const backend = new Backend(init);
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

  /** Calls `listener` at each change until the returned function is called. */
  subscribe(listener: (event: PoolEvent) => void): () => void {
    this.#listeners = [...this.#listeners, listener];
    return () => {
      this.#listeners = this.#listeners.filter((l) => l !== listener);
    };
  }

  /** Tells the listeners of a change. */
  emit(event: PoolEvent): void {
    for (const listener of this.#listeners) listener(event);
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
    const fresh = tried === undefined || tried.length === 0;
    const backends = this.#backends;
    const found = this.#policy(
      backends,
      fresh
        ? availablePrimary
        : (b) => availablePrimary(b) && !tried.includes(b),
      key,
    );
    if (found !== undefined) {
      this.#panicking = false;
      return found;
    }
    const spare = this.#policy(
      backends,
      (b) => availableBackup(b) && (fresh || !tried.includes(b)),
      key,
    );
    if (spare !== undefined) return spare;
    const ejected = this.#policy(
      backends,
      (b) => b.ejected && takes(b) && (fresh || !tried.includes(b)),
      key,
    );
    if (ejected !== undefined && fresh && !this.#panicking) {
      this.#panicking = true;
      this.emit({ type: "panic", reason: "all that is left is ejected" });
    }
    return ejected;
  }
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

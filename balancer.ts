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
  availableBackup,
  availablePrimary,
  ejectedOnly,
} from "./balancer/available.ts";
import {
  Backend,
  type BackendFunction,
  type BackendInit,
  idOf,
} from "./balancer/backend.ts";
import { type Accepts, type Policy, roundRobin } from "./balancer/policies.ts";

export {
  Backend,
  type BackendContext,
  type BackendFunction,
  type BackendInit,
  hash,
  type SharedCounts,
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
  /** The backend that it happened to; absent when it concerns the whole pool. */
  backend?: Backend;
  /** Why, in a few words. */
  reason?: string;
}

/** A backend as it may be given: a URL or a function, or either with settings. */
export type BackendSpec =
  | string
  | BackendInit
  | BackendFunction
  | (Omit<BackendInit, "url"> & { answer: BackendFunction });

/** Options for {@linkcode Pool}. */
export interface PoolOptions {
  /** Brings a backend that is given into its normal form, or throws. */
  read?: (spec: BackendSpec) => BackendInit;
  /**
   * Evenly from 0 up to 1: where in its first round each backend stands. When
   * all proxies of a fleet begin with the first of their common list they march
   * on in step, and each backend in turn gets a request from all of them at once
   * (`deno task simulate fleet`: a median five times as long).
   *
   * @default {in the order of the list}
   */
  random?: () => number;
  /**
   * Takes what a listener throws, or what its promise is rejected with. Default:
   * it is a rejection that nothing handles.
   */
  failed?: (error: unknown) => void;
}

/** What {@linkcode Pool.replace} has done. */
export interface ReplaceCounts {
  /** How many have joined. */
  added: number;
  /** How many have left. */
  removed: number;
  /** How many stay with other settings than before. */
  changed: number;
}

/**
 * Events that may come of one another before all listeners have been told. Past
 * that a listener answers its own changes with changes, without an end.
 */
const MOST_EVENTS = 100_000;

/** The backends, and what is known of each right now. */
export class Pool implements Iterable<Backend> {
  /** All of them, in their order. */
  readonly #byId = new Map<string, Backend>();
  readonly #byUrl = new Map<string, Backend>();
  /** By what they are called, each {@linkcode Backend.label} once. */
  readonly #byLabel = new Map<string, Backend>();
  readonly #policy: Policy;
  readonly #read: (spec: BackendSpec) => BackendInit;
  readonly #random: () => number;
  readonly #failed: (error: unknown) => void;
  /** The same as an array; made when it is asked for, and is another by then. */
  #backends: readonly Backend[] | undefined = [];
  #listeners: readonly ((event: PoolEvent) => void)[] = [];
  #events: PoolEvent[] = [];
  #notifying = false;
  #panicking = false;
  #most = Infinity;

  /** Makes a pool that picks by `policy`. */
  constructor(
    backends: Iterable<BackendSpec>,
    policy: Policy = roundRobin(),
    { read = plain, random = () => 0, failed = surface }: PoolOptions = {},
  ) {
    this.#policy = policy;
    this.#read = read;
    this.#random = random;
    this.#failed = failed;
    for (const spec of backends) this.add(spec);
  }

  /** How many backends there are, whatever their state. */
  get size(): number {
    return this.#byId.size;
  }

  /** The backends in their order; a change of the pool makes a new array. */
  get backends(): readonly Backend[] {
    // Not at each change: a list of thousands is taken in one after another.
    return this.#backends ??= [...this.#byId.values()];
  }

  /** Each backend, in their order. */
  [Symbol.iterator](): IterableIterator<Backend> {
    return this.backends[Symbol.iterator]();
  }

  /** The backend of this id, URL or name, if it is here. */
  get(idUrlOrName: string): Backend | undefined {
    return this.#byId.get(idUrlOrName) ?? this.#byUrl.get(idUrlOrName) ??
      this.#byLabel.get(idUrlOrName);
  }

  /** Holds so many at most from now on; throws a RangeError if it has more. */
  limit(most: number): void {
    if (this.size > most) {
      throw new RangeError(
        `Cannot limit the pool to ${most} backends: it has ${this.size}`,
      );
    }
    this.#most = most;
  }

  /**
   * Adds a backend: at once, or after its first passing probe where there are
   * probes.
   *
   * @throws {TypeError | RangeError} If it cannot be used, if one with this URL
   * or name is here already, or if the pool is full.
   */
  add(spec: BackendSpec): Backend {
    const init = this.#read(spec);
    if (this.#byUrl.has(init.url)) {
      throw new RangeError(`Cannot add "${init.url}": it is in the pool`);
    }
    const label = init.name ?? init.url;
    const other = this.#byLabel.get(label);
    if (other !== undefined) {
      throw new RangeError(
        `Cannot add "${init.url}": "${other.url}" is called "${label}" already`,
      );
    }
    this.#makeRoom("add", 1);
    return this.#insert(init);
  }

  #makeRoom(verb: string, count: number): void {
    if (this.size + count <= this.#most) return;
    throw new RangeError(
      `Cannot ${verb}: the pool can hold ${this.#most} backends and would ` +
        `hold ${this.size + count}`,
    );
  }

  #insert(init: BackendInit): Backend {
    // Thirty-two bits: among thousands of URLs two may have one hash, and then
    // share figures, cookies and the path in the admin API. What stands in front
    // makes another hash of it; behind, the two would stay alike (FNV-1a).
    let id = init.id ?? idOf(init.url);
    for (let n = 1; this.#byId.has(id); n++) id = idOf(`${n} ${init.url}`);
    const backend = new Backend({ ...init, id });
    backend.turn = this.#random();
    this.#backends = undefined;
    this.#byId.set(id, backend);
    this.#byUrl.set(backend.url, backend);
    this.#byLabel.set(backend.label, backend);
    this.emit({ type: "added", backend });
    return backend;
  }

  /** Removes a backend; what it is answering goes on to its end. */
  remove(backend: Backend): boolean {
    if (this.#byId.get(backend.id) !== backend) return false;
    this.#backends = undefined;
    this.#byId.delete(backend.id);
    this.#byUrl.delete(backend.url);
    this.#byLabel.delete(backend.label);
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

  /** Changes a backend's share; throws a RangeError if it is not 0 to 1000. */
  setWeight(backend: Backend, weight: number): void {
    if (!(weight >= 0 && weight <= 1000)) {
      throw new RangeError(
        `Cannot set the weight: ${weight} is not from 0 to 1000`,
      );
    }
    if (backend.weight === weight) return;
    backend.weight = weight;
    this.emit({ type: "changed", backend });
  }

  /**
   * Makes the pool hold what is given and nothing else, but for those that
   * `keeps` says are looked after elsewhere. A backend that stays keeps its state
   * and what it is answering; its name, weight and limits become the given ones.
   * It stays if its URL is given, or its function. A name goes to the backend
   * that it is given to, also if another one had it so far.
   *
   * @throws {TypeError | RangeError} If one cannot be used, or not beside the
   * others; nothing has changed then.
   */
  replace(
    specs: Iterable<BackendSpec>,
    keeps: (backend: Backend) => boolean = () => false,
  ): ReplaceCounts {
    const inits = Array.from(specs, (spec) => this.#read(spec));
    const stay = this.#staying(inits);
    const going = this.backends.filter((backend) =>
      !stay.has(backend) && !keeps(backend)
    );
    this.#makeRoom("replace", inits.length - stay.size);
    const of = new Map(Array.from(stay, ([backend, init]) => [init, backend]));
    const replaced: ReplaceCounts = { added: 0, removed: 0, changed: 0 };
    for (const init of inits) {
      const backend = of.get(init);
      if (backend === undefined) {
        this.#takeName(init.name);
        this.#insert(init);
        replaced.added++;
      } else if (this.change(backend, init)) {
        replaced.changed++;
      }
    }
    for (const backend of going) {
      if (this.remove(backend)) replaced.removed++;
    }
    return replaced;
  }

  /**
   * Which backends stay, and as what.
   *
   * @throws {RangeError} If two of the list are one backend, or are called alike.
   */
  #staying(inits: readonly BackendInit[]): Map<Backend, BackendInit> {
    const stay = new Map<Backend, BackendInit>();
    const functions = new Map<BackendFunction, Backend[]>();
    for (const backend of this.backends) {
      const { answer } = backend;
      if (answer === undefined) continue;
      const same = functions.get(answer);
      if (same === undefined) functions.set(answer, [backend]);
      else same.push(backend);
    }
    const labels = new Map<string, string>();
    for (const init of inits) {
      const backend = init.answer === undefined
        ? this.#byUrl.get(init.url)
        : functions.get(init.answer)?.shift();
      if (backend !== undefined) stay.set(backend, init);
      const label = init.name ?? backend?.url ?? init.url;
      const other = labels.get(label);
      if (other !== undefined) {
        throw new RangeError(
          `Cannot replace: "${label}" is given twice` +
            (other === init.url ? "" : `, for "${other}" and "${init.url}"`),
        );
      }
      labels.set(label, init.url);
    }
    return stay;
  }

  /** Takes a name from the backend that has it, which then goes by its URL. */
  #takeName(name: string | undefined): void {
    const other = name === undefined ? undefined : this.#byLabel.get(name);
    if (other === undefined || other.name === undefined) return;
    this.#rename(other, undefined);
    this.emit({ type: "changed", backend: other });
  }

  #rename(backend: Backend, name: string | undefined): void {
    if (this.#byLabel.get(backend.label) === backend) {
      this.#byLabel.delete(backend.label);
    }
    backend.name = name;
    this.#byLabel.set(backend.label, backend);
  }

  /** Gives a backend these settings, as if made with them; says if any is new. */
  change(
    backend: Backend,
    settings: Pick<BackendInit, "name" | "weight" | "backup" | "maxConns">,
  ): boolean {
    const { weight = 1, backup = false, maxConns = Infinity, name } = settings;
    if (
      backend.weight === weight && backend.backup === backup &&
      backend.maxConns === maxConns && backend.name === name
    ) return false;
    backend.weight = weight;
    backend.backup = backup;
    backend.maxConns = maxConns;
    if (backend.name !== name) {
      this.#takeName(name);
      this.#rename(backend, name);
    }
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

  /**
   * Tells the listeners of a change. What comes of it in a listener is told to
   * all of them afterwards, so that each hears of everything in one order.
   */
  emit(event: PoolEvent): void {
    this.#events.push(event);
    if (this.#notifying) return;
    this.#notifying = true;
    for (let i = 0; i < this.#events.length; i++) {
      if (i === MOST_EVENTS) {
        this.#failed(new RangeError("the pool's listeners never come to rest"));
        break;
      }
      for (const listener of this.#listeners) {
        this.#notify(listener, this.#events[i]!);
      }
    }
    this.#events = [];
    this.#notifying = false;
  }

  /** A listener that fails must not keep what made the change from going on. */
  #notify(listener: (event: PoolEvent) => unknown, event: PoolEvent): void {
    try {
      const given = listener(event);
      // An `async` function is a listener too, as far as types can say.
      if (given instanceof Promise) given.catch(this.#failed);
    } catch (error) {
      this.#failed(error);
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
    const { backends } = this;
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
        this.backends,
        (backend) => accepts(backend) && !tried.includes(backend),
        key,
      );
    return pick(availablePrimary) ?? pick(availableBackup) ?? pick(ejectedOnly);
  }
}

/** Lets a listener's fault be seen where nothing takes it. */
function surface(error: unknown): void {
  Promise.reject(error);
}

/** A backend that is given as it should be. */
function plain(spec: BackendSpec): BackendInit {
  if (typeof spec === "string") return { url: spec };
  if (typeof spec === "function") spec = { answer: spec };
  if ("url" in spec) return spec;
  return { url: `function:${spec.answer.name || "anonymous"}`, ...spec };
}

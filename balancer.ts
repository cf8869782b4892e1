/**
 * The pool: the backends, their state, and the choice of one per request.
 *
 * Everything here is pure: no socket, no timer, no clock. Other modules write
 * what they learn about a backend into its {@linkcode Backend}. A
 * {@linkcode Policy} never reads that state to exclude a backend: it calls one
 * predicate, which holds every reason to skip one.
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
  type BackendSpec,
  idOf,
  initOf,
} from "./balancer/backend.ts";
import { type Accepts, type Policy, roundRobin } from "./balancer/policies.ts";

export {
  Backend,
  type BackendContext,
  type BackendFunction,
  type BackendInit,
  type BackendSpec,
  hash,
  type SharedCounts,
} from "./balancer/backend.ts";
export {
  type Accepts,
  type NotedPolicy,
  ownPolicy,
  type Policy,
  policyOf,
  type PolicyOptions,
  roundRobin,
} from "./balancer/policies.ts";

/** An event of the pool: what changed, in which backend, and why. */
export interface PoolEvent {
  /**
   * What happened: a verdict of the probes (`up`, `down`), an ejection or its end
   * (`ejected`, `readmitted`), a change of the list (`added`, `removed`,
   * `reloaded`), new settings or the end of draining (`changed`), `draining`, or
   * that only ejected backends are left and are used (`panic`).
   */
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
  /** The backend that changed; absent if the event concerns the whole pool. */
  backend?: Backend;
  /** The reason, in a few words. */
  reason?: string;
}

/** Options for {@linkcode Pool}. */
export interface PoolOptions {
  /** Normalizes a spec; throws if it is invalid. */
  read?: (spec: BackendSpec) => BackendInit;
  /**
   * Uniform in [0, 1): where in its first round each backend starts. If all
   * proxies of a fleet start with the first backend of the same list, they stay
   * in step, and each backend in turn gets a request from all of them at once
   * (`deno task simulate fleet`: a median five times as long).
   *
   * @default {the order of the list}
   */
  random?: () => number;
  /**
   * Handles an error that a listener throws or rejects with. Default: an
   * unhandled rejection.
   */
  failed?: (error: unknown) => void;
}

/** The changes made by replacing the backends of a pool. */
export interface ReplaceCounts {
  /** Number of backends added. */
  added: number;
  /** Number of backends removed. */
  removed: number;
  /** Number of backends kept with different settings. */
  changed: number;
}

/**
 * Limit of events that listeners may cause within one {@linkcode Pool.emit}.
 * Beyond it, a listener is assumed to answer its own events in a loop.
 */
const MAX_CHAINED_EVENTS = 100_000;

/** The backends and their current state. */
export class Pool implements Iterable<Backend> {
  /** All backends, in list order. */
  readonly #byId = new Map<string, Backend>();
  readonly #byUrl = new Map<string, Backend>();
  /** By {@linkcode Backend.label}, which is unique. */
  readonly #byLabel = new Map<string, Backend>();
  readonly #policy: Policy;
  readonly #read: (spec: BackendSpec) => BackendInit;
  readonly #random: () => number;
  readonly #failed: (error: unknown) => void;
  /** Cached array of `#byId`; `undefined` after a change. */
  #backends: readonly Backend[] | undefined = [];
  #listeners: readonly ((event: PoolEvent) => void)[] = [];
  #events: PoolEvent[] = [];
  #notifying = false;
  #panicking = false;
  #maxSize = Infinity;

  /** Makes a pool that picks by `policy`. */
  constructor(
    backends: Iterable<BackendSpec>,
    policy: Policy = roundRobin(),
    { read = initOf, random = () => 0, failed = surface }: PoolOptions = {},
  ) {
    this.#policy = policy;
    this.#read = read;
    this.#random = random;
    this.#failed = failed;
    for (const spec of backends) this.add(spec);
  }

  /** Number of backends, whatever their state. */
  get size(): number {
    return this.#byId.size;
  }

  /** The backends in list order. Each change of the pool makes a new array. */
  get backends(): readonly Backend[] {
    // Built on demand: rebuilding it for each addition would make loading a
    // list of thousands quadratic.
    return this.#backends ??= [...this.#byId.values()];
  }

  /** Iterates over the backends in list order. */
  [Symbol.iterator](): IterableIterator<Backend> {
    return this.backends[Symbol.iterator]();
  }

  /** The backend with this id, URL or name. */
  get(idUrlOrName: string): Backend | undefined {
    return this.#byId.get(idUrlOrName) ?? this.#byUrl.get(idUrlOrName) ??
      this.#byLabel.get(idUrlOrName);
  }

  /** Limits the pool's size; throws a RangeError if it holds more already. */
  limit(max: number): void {
    if (this.size > max) {
      throw new RangeError(
        `Cannot limit the pool to ${max} backends: it has ${this.size}`,
      );
    }
    this.#maxSize = max;
  }

  /**
   * Adds a backend. With probes, it gets requests after its first passing
   * probe; otherwise at once.
   *
   * @throws {TypeError | RangeError} If the spec is invalid, if its URL or name
   * is in use, or if the pool is full.
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
    if (this.size + count <= this.#maxSize) return;
    throw new RangeError(
      `Cannot ${verb}: the pool can hold ${this.#maxSize} backends and would ` +
        `hold ${this.size + count}`,
    );
  }

  #insert(init: BackendInit): Backend {
    // A 32-bit hash can collide among thousands of URLs; two such backends
    // would share figures, cookies and the path in the admin API. The number
    // goes in front: FNV-1a states that are equal stay equal whatever is
    // appended.
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

  /** Removes a backend; requests in flight finish. */
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

  /** Sets whether a backend is draining: it gets no new requests. */
  drain(backend: Backend, draining = true): void {
    if (backend.draining === draining) return;
    backend.draining = draining;
    this.emit({ type: draining ? "draining" : "changed", backend });
  }

  /** Sets a backend's weight; throws a RangeError unless it is 0 to 1000. */
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
   * Replaces the backends by `specs`, except those for which `keeps` is true. A
   * backend stays if its URL or function is in the list: it keeps its state and
   * its requests in flight, and takes the new name, weight and limits. A name
   * that another backend had moves to the backend that is now given it.
   *
   * @throws {TypeError | RangeError} If a spec is invalid or conflicts with
   * another one; the pool is unchanged then.
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
   * The backends that stay, with their new settings.
   *
   * @throws {RangeError} If two specs have the same URL or name.
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

  /** Frees a name: the backend that has it falls back to its URL. */
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

  /** Applies settings, with defaults for absent ones; true if any differs. */
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

  /** Calls `listener` on each change, until the returned function is called. */
  subscribe(listener: (event: PoolEvent) => void): () => void {
    this.#listeners = [...this.#listeners, listener];
    return () => {
      this.#listeners = this.#listeners.filter((l) => l !== listener);
    };
  }

  /**
   * Sends an event to the listeners. Events that listeners cause are queued, so
   * that every listener sees all events in the same order.
   */
  emit(event: PoolEvent): void {
    this.#events.push(event);
    if (this.#notifying) return;
    this.#notifying = true;
    for (let i = 0; i < this.#events.length; i++) {
      if (i === MAX_CHAINED_EVENTS) {
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

  /** Isolates the caller from a listener that fails. */
  #notify(listener: (event: PoolEvent) => unknown, event: PoolEvent): void {
    try {
      const result = listener(event);
      // TypeScript accepts an `async` function where `void` is expected.
      if (result instanceof Promise) result.catch(this.#failed);
    } catch (error) {
      this.#failed(error);
    }
  }

  /**
   * Picks an available backend that is not in `tried`.
   *
   * Backups are used when no other backend is available. If all that remain are
   * ejected, those are used ("panic"): an ejection is a guess, and must not
   * take down a site that is merely slow. A backend that the probes found down
   * is never picked.
   */
  pick(key?: string, tried?: readonly Backend[]): Backend | undefined {
    // A separate method: a closure in this one would cost an allocation per
    // pick.
    if (tried !== undefined && tried.length > 0) {
      return this.#pickUntried(key, tried);
    }
    const policy = this.#policy;
    const { backends } = this;
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
      this.emit({ type: "panic", reason: "only ejected backends are left" });
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

/** Makes a listener's error visible when no handler is set. */
const surface = (error: unknown) => void Promise.reject(error);

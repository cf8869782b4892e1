/**
 * Backends by name: their addresses are looked up again and again, and each
 * address is a backend of the pool.
 *
 * @module
 */

import type { Backend, BackendInit, Pool } from "../balancer.ts";
import { wordsOf } from "../config/fault.ts";
import type { Lookup, LookupResult } from "../config/options.ts";
import { urlHost } from "../base/text.ts";
import type { Clock, TimerHandle } from "../base/clock.ts";

/** Milliseconds between two look-ups of a name, if no answer says less. */
const EVERY_MS = 10_000;
/** No time to live is taken to be shorter: name servers are to be spared. */
const SHORTEST_MS = 1_000;
/** Milliseconds that the first look-up is waited for. */
const FIRST_MS = 5_000;

/** Options for {@linkcode Resolver}. */
export interface ResolverOptions {
  /** Looks a name up. */
  lookup: Lookup;
  /** Resolves once each backend of the pool has been probed. */
  settled: () => Promise<void>;
  /** Says why a backend may not be had: it is the proxy itself. */
  refuses?: (url: string) => string | undefined;
  /** Time and timers. */
  clock: Clock;
  /** Takes a line for the log. */
  log: (line: string) => void;
}

/** A name that is followed. */
interface Followed {
  init: BackendInit;
  /** Its backends by URL, also those that are draining. */
  readonly backends: Map<string, Backend>;
  /** What was refused, so that it is told once; those it still has. */
  readonly refused: Set<string>;
  dueAt: number;
  asking: boolean;
  /** Why the last look-up failed, if it did; so that it is told once. */
  failure: string | undefined;
}

/** Keeps one backend in the pool for each address of each name. */
export class Resolver {
  readonly #pool: Pool;
  readonly #options: ResolverOptions;
  readonly #names = new Map<string, Followed>();
  /** The backends of all names. */
  readonly #owned = new WeakSet<Backend>();
  /** Those whose address is no longer among their name's. */
  readonly #vanished = new WeakSet<Backend>();
  /** Ends the wait for each first look-up. */
  readonly #waiting = new Set<() => void>();
  #timer: TimerHandle;
  #stopped = false;

  /** Makes a resolver that follows no name yet. */
  constructor(pool: Pool, options: ResolverOptions) {
    this.#pool = pool;
    this.#options = options;
  }

  /** Whether a backend is here for a name. */
  owns(backend: Backend): boolean {
    return this.#owned.has(backend);
  }

  /**
   * Follows these names, each a backend as it was configured, in addition to those that
   * it follows already. Resolves once each new one was looked up, or five seconds
   * have passed.
   */
  follow(inits: readonly BackendInit[]): Promise<void> {
    const { clock, log } = this.#options;
    const first: Promise<void>[] = [];
    for (const init of inits) {
      const followed = this.#names.get(init.url);
      if (followed !== undefined) {
        followed.init = init;
        this.#update(followed);
        continue;
      }
      const fresh: Followed = {
        init,
        backends: new Map(),
        refused: new Set(),
        dueAt: 0,
        asking: false,
        failure: undefined,
      };
      this.#names.set(init.url, fresh);
      first.push(this.#ask(fresh));
    }
    if (this.#names.size > 0 && !this.#stopped) {
      this.#timer ??= clock.setInterval(() => this.#tick(), SHORTEST_MS);
    }
    if (first.length === 0) return Promise.resolve();
    return new Promise<void>((resolve) => {
      const late = clock.setTimeout(() => {
        log("a name is still being looked up: going on without it");
        goOn();
      }, FIRST_MS);
      const goOn = () => {
        clock.clear(late);
        this.#waiting.delete(goOn);
        resolve();
      };
      this.#waiting.add(goOn);
      Promise.all(first).then(goOn);
    });
  }

  /** Follows no names but these; the backends of others leave the pool. */
  forget(others: readonly BackendInit[]): void {
    const urls = new Set(others.map(({ url }) => url));
    for (const [url, { backends }] of this.#names) {
      if (urls.has(url)) continue;
      this.#names.delete(url);
      for (const backend of backends.values()) {
        this.#owned.delete(backend);
        this.#pool.remove(backend);
      }
    }
  }

  /** Ends looking up; the backends stay as they are. */
  stop(): void {
    this.#stopped = true;
    this.#options.clock.clear(this.#timer);
    for (const goOn of this.#waiting) goOn();
  }

  #tick(): void {
    const now = this.#options.clock.now();
    for (const followed of this.#names.values()) {
      if (!followed.asking && followed.dueAt <= now) this.#ask(followed);
      for (const [url, backend] of followed.backends) {
        // What it was answering is done: nothing is lost with it.
        if (!this.#vanished.has(backend) || backend.inFlight > 0) continue;
        followed.backends.delete(url);
        this.#owned.delete(backend);
        this.#pool.remove(backend);
      }
    }
  }

  async #ask(followed: Followed): Promise<void> {
    const { clock, log } = this.#options;
    const { hostname } = new URL(followed.init.url);
    followed.asking = true;
    followed.dueAt = clock.now() + EVERY_MS;
    try {
      const { addresses, ttlMs = EVERY_MS } = await this.#lookUp(hostname);
      if (this.#gone(followed)) return;
      // A look-up of the user's own may give `NaN`, which would never be due.
      const waitMs = Math.min(EVERY_MS, Math.max(SHORTEST_MS, ttlMs || 0));
      followed.dueAt = clock.now() + waitMs;
      if (addresses.length === 0) throw new Error("it has no address");
      const refusal = this.#take(followed, addresses);
      const { failure } = followed;
      followed.failure = refusal;
      if (refusal !== undefined) {
        if (refusal !== failure) log(`${hostname}: ${refusal}`);
      } else if (failure !== undefined) log(`${hostname} resolves again`);
      await this.#release(followed, addresses);
    } catch (error) {
      // What is known stays: a name server that is down ends no backend.
      const failure = wordsOf(error);
      if (this.#gone(followed) || followed.failure === failure) return;
      followed.failure = failure;
      const count = followed.backends.size;
      log(
        `${hostname} does not resolve (${failure}): ` +
          (count > 0 ? `its ${count} known addresses are kept` : "no backend"),
      );
    } finally {
      followed.asking = false;
    }
  }

  /** One look-up; by a user's own function, maybe, which may give anything. */
  async #lookUp(hostname: string): Promise<LookupResult> {
    const found: Partial<LookupResult> | undefined = await this.#options
      .lookup(hostname);
    const { addresses, ttlMs } = found ?? {};
    if (
      !Array.isArray(addresses) ||
      !addresses.every((address) => typeof address === "string")
    ) throw new TypeError("the look-up gave no list of addresses");
    return { addresses, ttlMs };
  }

  /** Whether it is followed no more. */
  #gone(followed: Followed): boolean {
    return this.#stopped || this.#names.get(followed.init.url) !== followed;
  }

  /**
   * Has a backend for each of these addresses. Says why one of them cannot have
   * one, if that is so; the others have theirs all the same.
   */
  #take(followed: Followed, addresses: readonly string[]): string | undefined {
    const { init, backends } = followed;
    const { log } = this.#options;
    const { hostname } = new URL(init.url);
    let refusal: string | undefined;
    const urls = urlsAt(init.url, addresses);
    for (const url of followed.refused) {
      if (!urls.has(url)) followed.refused.delete(url);
    }
    for (const url of urls) {
      const known = backends.get(url);
      if (known !== undefined) {
        // It was on its way out, and its address has come back.
        if (this.#vanished.delete(known)) this.#pool.drain(known, false);
        continue;
      }
      // Two names for one address, or an address that is listed by itself.
      if (this.#pool.get(url) !== undefined) continue;
      const refused = this.#options.refuses?.(url);
      if (refused !== undefined) {
        if (!followed.refused.has(url)) {
          log(`${hostname} has an address that is left out: ${url} ${refused}`);
          followed.refused.add(url);
        }
        continue;
      }
      const [, authority = ""] = /^https?:\/\/([^/]+)/.exec(init.url) ?? [];
      const name = nameAt(init.name, url);
      try {
        const backend = this.#pool.add({ ...init, url, name, authority });
        backends.set(url, backend);
        this.#owned.add(backend);
        log(`${hostname} has a new address: ${backend.label}`);
      } catch (error) {
        refusal = wordsOf(error);
      }
    }
    return refusal;
  }

  /** Lets go of the backends whose address is no longer among these. */
  async #release(
    { init, backends }: Followed,
    addresses: readonly string[],
  ): Promise<void> {
    const { log } = this.#options;
    const { hostname } = new URL(init.url);
    const urls = urlsAt(init.url, addresses);
    // When all addresses change at once, the new ones are to be proved first.
    await this.#options.settled();
    for (const [url, backend] of backends) {
      if (urls.has(url) || this.#vanished.has(backend)) continue;
      log(`${hostname} has lost an address: ${backend.label} is draining`);
      this.#vanished.add(backend);
      this.#pool.drain(backend);
    }
  }

  /** Gives a name's backends the weight, the limits and the name of its entry. */
  #update({ init, backends }: Followed): void {
    for (const [url, backend] of backends) {
      this.#pool.change(backend, { ...init, name: nameAt(init.name, url) });
    }
  }
}

/** What the backend at an address of a name is called, if that has been named. */
function nameAt(name: string | undefined, url: string): string | undefined {
  return name && `${name}@${/^https?:\/\/([^/]+)/.exec(url)?.[1]}`;
}

/** A URL for each address, each once. */
function urlsAt(url: string, addresses: readonly string[]): Set<string> {
  return new Set(
    addresses
      // A link-local address with its zone cannot stand in a URL.
      .filter((address) => !address.includes("%"))
      .map((address) => urlAt(url, address)),
  );
}

/** A URL with an address in place of its host. */
function urlAt(url: string, address: string): string {
  const host = urlHost(address);
  return url.replace(
    /^(https?:\/\/)[^/:]+/,
    (_, scheme: string) => scheme + host,
  );
}

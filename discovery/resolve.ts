/**
 * Backends by name: the name is looked up repeatedly, and each of its addresses
 * is a backend of the pool.
 *
 * @module
 */

import type { Backend, BackendInit, Pool } from "../balancer.ts";
import type { Lookup, LookupResult } from "../config/options.ts";
import { messageOf, urlHost } from "../base/text.ts";
import type { Clock, TimerHandle } from "../base/clock.ts";

/** Milliseconds between two look-ups of a name, unless its TTL is shorter. */
const INTERVAL_MS = 10_000;
/** Minimum of the TTL, to spare the name server. */
const MIN_INTERVAL_MS = 1_000;
/** Milliseconds to wait for the first look-up. */
const FIRST_TIMEOUT_MS = 5_000;

/** Options for {@linkcode Resolver}. */
export interface ResolverOptions {
  /** Looks a name up. */
  lookup: Lookup;
  /** Resolves once each backend of the pool has been probed. */
  settled: () => Promise<void>;
  /** The reason to refuse an address, if any: it is the proxy itself. */
  refuses?: (url: string) => string | undefined;
  /** Time and timers. */
  clock: Clock;
  /** Takes a line for the log. */
  log: (line: string) => void;
}

/** A name that is looked up. */
interface Followed {
  init: BackendInit;
  /** Its backends by URL, draining ones included. */
  readonly backends: Map<string, Backend>;
  /** Refused URLs that it still has; each is logged once. */
  readonly refused: Set<string>;
  dueAt: number;
  looking: boolean;
  /** Why the last look-up failed, if it did; each reason is logged once. */
  failure: string | undefined;
}

/** Keeps one backend in the pool for each address of each name. */
export class Resolver {
  readonly #pool: Pool;
  readonly #options: ResolverOptions;
  readonly #names = new Map<string, Followed>();
  /** The backends of all names. */
  readonly #owned = new WeakSet<Backend>();
  /** Backends whose address the name no longer has. */
  readonly #vanished = new WeakSet<Backend>();
  /** Ends each wait for first look-ups. */
  readonly #waiting = new Set<() => void>();
  #timer: TimerHandle;
  #stopped = false;

  /** Makes a resolver that follows no name yet. */
  constructor(pool: Pool, options: ResolverOptions) {
    this.#pool = pool;
    this.#options = options;
  }

  /** Whether a backend comes from a name. */
  owns(backend: Backend): boolean {
    return this.#owned.has(backend);
  }

  /**
   * Adds names to follow; each is given as a configured backend. Resolves once
   * each new name was looked up, or after five seconds.
   */
  follow(inits: readonly BackendInit[]): Promise<void> {
    const { clock, log } = this.#options;
    const first: Promise<void>[] = [];
    for (const init of inits) {
      const followed = this.#names.get(init.url);
      if (followed !== undefined) {
        followed.init = init;
        this.#applySettings(followed);
        continue;
      }
      const fresh: Followed = {
        init,
        backends: new Map(),
        refused: new Set(),
        dueAt: 0,
        looking: false,
        failure: undefined,
      };
      this.#names.set(init.url, fresh);
      first.push(this.#lookUp(fresh));
    }
    if (this.#names.size > 0 && !this.#stopped) {
      this.#timer ??= clock.setInterval(() => this.#tick(), MIN_INTERVAL_MS);
    }
    if (first.length === 0) return Promise.resolve();
    return new Promise<void>((resolve) => {
      const late = clock.setTimeout(() => {
        log("a name does not resolve yet: starting without it");
        proceed();
      }, FIRST_TIMEOUT_MS);
      const proceed = () => {
        clock.clear(late);
        this.#waiting.delete(proceed);
        resolve();
      };
      this.#waiting.add(proceed);
      Promise.all(first).then(proceed);
    });
  }

  /** Stops following all names but these; the others' backends are removed. */
  forget(kept: readonly BackendInit[]): void {
    const urls = new Set(kept.map(({ url }) => url));
    for (const [url, { backends }] of this.#names) {
      if (urls.has(url)) continue;
      this.#names.delete(url);
      for (const backend of backends.values()) {
        this.#owned.delete(backend);
        this.#pool.remove(backend);
      }
    }
  }

  /** Stops the look-ups; the backends stay. */
  stop(): void {
    this.#stopped = true;
    this.#options.clock.clear(this.#timer);
    for (const proceed of this.#waiting) proceed();
  }

  #tick(): void {
    const now = this.#options.clock.now();
    for (const followed of this.#names.values()) {
      if (!followed.looking && followed.dueAt <= now) this.#lookUp(followed);
      for (const [url, backend] of followed.backends) {
        // Remove it only when its requests in flight have ended.
        if (!this.#vanished.has(backend) || backend.inFlight > 0) continue;
        followed.backends.delete(url);
        this.#owned.delete(backend);
        this.#pool.remove(backend);
      }
    }
  }

  async #lookUp(followed: Followed): Promise<void> {
    const { clock, log } = this.#options;
    const { hostname } = new URL(followed.init.url);
    followed.looking = true;
    followed.dueAt = clock.now() + INTERVAL_MS;
    try {
      const { addresses, ttlMs = INTERVAL_MS } = await this.#query(hostname);
      if (this.#gone(followed)) return;
      // A custom look-up may return `NaN`, which would never be due.
      const waitMs = Math.min(
        INTERVAL_MS,
        Math.max(MIN_INTERVAL_MS, ttlMs || 0),
      );
      followed.dueAt = clock.now() + waitMs;
      if (addresses.length === 0) throw new Error("it has no address");
      const refusal = this.#addBackends(followed, addresses);
      const { failure } = followed;
      followed.failure = refusal;
      if (refusal !== undefined) {
        if (refusal !== failure) log(`${hostname}: ${refusal}`);
      } else if (failure !== undefined) log(`${hostname} resolves again`);
      await this.#drainVanished(followed, addresses);
    } catch (error) {
      // Known backends stay: a name server that is down must not remove them.
      const failure = messageOf(error);
      if (this.#gone(followed) || followed.failure === failure) return;
      followed.failure = failure;
      const count = followed.backends.size;
      log(
        `${hostname} does not resolve (${failure}): ` +
          (count > 0
            ? `its ${count} known addresses are kept`
            : "it has no backend"),
      );
    } finally {
      followed.looking = false;
    }
  }

  /**
   * Looks a name up and checks the result: a custom look-up may return
   * anything.
   */
  async #query(hostname: string): Promise<LookupResult> {
    const found: Partial<LookupResult> | undefined = await this.#options
      .lookup(hostname);
    const { addresses, ttlMs } = found ?? {};
    if (
      !Array.isArray(addresses) ||
      !addresses.every((address) => typeof address === "string")
    ) throw new TypeError("the look-up gave no list of addresses");
    return { addresses, ttlMs };
  }

  /** Whether the name is no longer followed. */
  #gone(followed: Followed): boolean {
    return this.#stopped || this.#names.get(followed.init.url) !== followed;
  }

  /**
   * Adds a backend for each new address. Returns the reason if one could not be
   * added; the others are added nevertheless.
   */
  #addBackends(
    followed: Followed,
    addresses: readonly string[],
  ): string | undefined {
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
        // The address has come back while its backend was draining.
        if (this.#vanished.delete(known)) this.#pool.drain(known, false);
        continue;
      }
      // Two names share the address, or it is configured as a backend itself.
      if (this.#pool.get(url) !== undefined) continue;
      const refused = this.#options.refuses?.(url);
      if (refused !== undefined) {
        if (!followed.refused.has(url)) {
          log(`${hostname} has an address that is ignored: ${url} ${refused}`);
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
        refusal = messageOf(error);
      }
    }
    return refusal;
  }

  /** Drains the backends whose address is no longer among `addresses`. */
  async #drainVanished(
    { init, backends }: Followed,
    addresses: readonly string[],
  ): Promise<void> {
    const { log } = this.#options;
    const { hostname } = new URL(init.url);
    const urls = urlsAt(init.url, addresses);
    // If all addresses change at once, wait until the new ones were probed.
    await this.#options.settled();
    for (const [url, backend] of backends) {
      if (urls.has(url) || this.#vanished.has(backend)) continue;
      log(`${hostname} has lost an address: ${backend.label} is draining`);
      this.#vanished.add(backend);
      this.#pool.drain(backend);
    }
  }

  /** Applies the weight, limits and name of the entry to a name's backends. */
  #applySettings({ init, backends }: Followed): void {
    for (const [url, backend] of backends) {
      this.#pool.change(backend, { ...init, name: nameAt(init.name, url) });
    }
  }
}

/** The name of the backend at an address, if its entry has a name. */
function nameAt(name: string | undefined, url: string): string | undefined {
  return name && `${name}@${/^https?:\/\/([^/]+)/.exec(url)?.[1]}`;
}

/** One URL per address, without duplicates. */
function urlsAt(url: string, addresses: readonly string[]): Set<string> {
  return new Set(
    addresses
      // A link-local address with a zone cannot be written in a URL.
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

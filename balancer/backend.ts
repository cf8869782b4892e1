/**
 * One backend: where it is, and what is known of it right now.
 *
 * @module
 */

/**
 * A backend that is a function: a maintenance page, a static fallback, another
 * proxy. It is not probed, and only a throw from it is a bad outcome.
 */
export type BackendFunction = (
  request: Request,
  context: BackendContext,
) => Response | Promise<Response>;

/** What a {@linkcode BackendFunction} is told of a request. */
export interface BackendContext {
  /** The client's address, as far as it is known. */
  readonly clientAddress: string | undefined;
  /** Which attempt at answering the request this is, from 1. */
  readonly attempt: number;
  /** Fires when the answer is no longer wanted. */
  readonly signal: AbortSignal;
}

/** What a {@linkcode Backend} is made from. */
export interface BackendInit {
  /**
   * Where it is: `http://host:port/base`, `https://…` or `unix:/path`, in the
   * normal form that `config/backends.ts` gives. For a function, its name.
   */
  url: string;
  /**
   * What it is called wherever it is shown; no two backends of a pool are called
   * alike. Default: its URL.
   */
  name?: string | undefined;
  /** Its share beside the others, 0 to 1000; 0 gets nothing. @default {1} */
  weight?: number | undefined;
  /** Gets requests only while no other is available. @default {false} */
  backup?: boolean | undefined;
  /** Most requests at once. @default {Infinity} */
  maxConns?: number | undefined;
  /** Answers in this process; such a backend is never probed. */
  answer?: BackendFunction | undefined;
  /**
   * `name:port` that it goes by, when its URL has an address that the name was
   * looked up to. Default: what stands in the URL.
   */
  authority?: string | undefined;
  /**
   * Names it in the admin API: eight hexadecimal digits. Default: a hash of the
   * URL, or another one if a backend of the pool has that already.
   */
  id?: string | undefined;
}

/**
 * What several workers know of a backend in common, see `workers/table.ts`. A
 * backend without it is this process's alone.
 */
export interface SharedCounts {
  /** Whether this process gives out no requests itself, and only looks. */
  readonly looks: boolean;
  /** Requests under way, in all workers together. */
  readonly inFlight: number;
  /**
   * Takes over what this process had counted by itself: requests under way, and
   * all that were ever given.
   */
  adopt(inFlight: number, requests: number): void;
  /** Requests that it was ever given, by all workers together. */
  readonly requests: number;
  /** One more here, unless `most` are under way everywhere; says whether. */
  enter(most: number): boolean;
  /** One fewer here. */
  leave(): void;
}

/** Milliseconds after which a latency has lost most (63 %) of its say. */
export const LATENCY_DECAY_MS = 10_000;

/**
 * A server, or a function, that requests are sent on to, and what is known of it
 * right now. To change one, use the pool that it is in.
 */
export class Backend {
  /** Names it in the admin API; stable for one URL, and unique in its pool. */
  readonly id: string;
  /**
   * The number behind {@linkcode id}, which hashing policies mix with a key.
   *
   * @ignore
   */
  readonly seed: number;
  /** As configured, in normal form. */
  readonly url: string;
  /** Scheme and authority: what a target is appended to. */
  readonly origin: string;
  /** `host:port`, for the `Host` field when it is the backend's own. */
  readonly authority: string;
  /**
   * Scheme and {@linkcode authority}: what it calls itself in a `Location`.
   *
   * @ignore
   */
  readonly ownOrigin: string;
  /** Path in front of every target, without a slash at its end. */
  readonly basePath: string;
  /** Path of a Unix domain socket, when it listens on one. */
  readonly socketPath: string | undefined;
  /** A function backend's function. */
  readonly answer: BackendFunction | undefined;
  /** What it is called, when that is not its URL. The pool's to change. */
  name: string | undefined;
  /** Gets requests only while no other is available. */
  backup: boolean;
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
  /**
   * Where its counts are, when several workers share them.
   *
   * @ignore
   */
  shared: SharedCounts | undefined;
  /**
   * Requests that other workers had under way at the last {@linkcode refresh}.
   *
   * @ignore
   */
  elsewhere = 0;
  /**
   * Whole answers in a row; what is proven need not be watched closely.
   *
   * @ignore
   */
  proven = 0;
  /**
   * When a body of its was looked at last, on the clock of the proxy.
   *
   * @ignore
   */
  lookedAt: number = -Infinity;
  /**
   * Part of its weight that counts while it warms up, 0 to 1.
   *
   * @ignore
   */
  ramp = 1;
  /**
   * What smooth round robin owes it, in requests.
   *
   * @ignore
   */
  turn = 0;
  /** Peak EWMA of the milliseconds to a header; `NaN` before the first. */
  latencyMs: number = NaN;
  /**
   * When {@linkcode latencyMs} was last written.
   *
   * @ignore
   */
  observedAt = 0;
  #inFlight = 0;
  #requests = 0;

  /**
   * Makes a backend that is up and has no past.
   *
   * @ignore
   */
  constructor(init: BackendInit) {
    const { weight = 1, backup = false, maxConns = Infinity } = init;
    this.url = init.url;
    this.answer = init.answer;
    this.weight = weight;
    this.backup = backup;
    this.maxConns = maxConns;
    this.name = init.name;
    this.id = init.id ?? idOf(init.url);
    this.seed = parseInt(this.id, 16);
    if (init.answer !== undefined) {
      this.origin = "http://function.invalid";
      this.authority = "function.invalid";
      this.ownOrigin = this.origin;
      this.basePath = "";
      this.socketPath = undefined;
    } else if (init.url.startsWith("unix:")) {
      // A name is needed for the `Host` field and for `fetch`; RFC 2606 keeps
      // "localhost" from ever meaning another machine.
      this.origin = "http://localhost";
      this.authority = "localhost";
      this.ownOrigin = this.origin;
      this.basePath = "";
      this.socketPath = init.url.slice("unix:".length);
    } else {
      const [, scheme = "", authority = "", basePath = ""] =
        /^(https?:\/\/)([^/]+)(.*)$/.exec(init.url) ?? [];
      this.origin = scheme + authority;
      this.authority = init.authority ?? authority;
      this.ownOrigin = scheme + this.authority;
      this.basePath = basePath.replace(/\/+$/, "");
      this.socketPath = undefined;
    }
  }

  /** What it is called wherever it is shown. */
  get label(): string {
    return this.name ?? this.url;
  }

  /**
   * Requests that it is answering now, until their bodies have ended. Those of
   * other workers are as of the last {@linkcode refresh}: a policy looks more
   * than once, and what it sees must not change meanwhile.
   */
  get inFlight(): number {
    return this.shared?.looks === true
      ? this.shared.inFlight
      : this.#inFlight + this.elsewhere;
  }

  /** Sets this process's own part. */
  set inFlight(count: number) {
    this.#inFlight = count;
  }

  /** Requests that it was ever given, retries included. */
  get requests(): number {
    return this.shared === undefined ? this.#requests : this.shared.requests;
  }

  /** Sets this process's own part. */
  set requests(count: number) {
    this.#requests = count;
  }

  /**
   * Counts in common with other workers from now on.
   *
   * @ignore
   */
  countWith(shared: SharedCounts): void {
    shared.adopt(this.#inFlight, this.#requests);
    this.shared = shared;
  }

  /**
   * Looks how many requests other workers have under way now.
   *
   * @ignore
   */
  refresh(): void {
    if (this.shared !== undefined) {
      this.elsewhere = this.shared.inFlight - this.#inFlight;
    }
  }

  /**
   * Gives it a request. Says no when another worker has just given it the last
   * that it may have: between a policy's look and this there is no lock.
   *
   * @ignore
   */
  enter(): boolean {
    if (this.shared?.enter(this.maxConns) === false) {
      this.refresh();
      return false;
    }
    this.#inFlight++;
    this.#requests++;
    return true;
  }

  /**
   * A request that it was given has ended.
   *
   * @ignore
   */
  leave(): void {
    this.#inFlight--;
    this.shared?.leave();
  }

  /** What counts of its weight right now. */
  get share(): number {
    return this.weight * this.ramp;
  }

  /**
   * Takes how long it took to a header. A peak counts at once and is lived down
   * over {@linkcode LATENCY_DECAY_MS}: who has become slow should be avoided by
   * the next request and not after a row of them (as in Finagle's Peak EWMA).
   * Weighted by time and not by count, so that a burst is one experience.
   *
   * @ignore
   */
  observed(ms: number, now: number): void {
    const known = this.latencyMs;
    this.latencyMs = known > ms
      ? ms + (known - ms) * Math.exp((this.observedAt - now) / LATENCY_DECAY_MS)
      : ms;
    this.observedAt = now;
  }
}

/** The id of a backend of this URL, if no other has it. */
export function idOf(url: string): string {
  return hash(url).toString(16).padStart(8, "0");
}

/**
 * FNV-1a, 32 bits. Of a backend's URL it is a short name that is the same in
 * every process and after every restart, so that a dashboard's link and a
 * metric's label survive a reload, and replicas hash a key to the same backend.
 */
export function hash(text: string): number {
  let state = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    state = Math.imul(state ^ text.charCodeAt(i), 0x01000193);
  }
  return state >>> 0;
}

/**
 * One backend: its address and its current state.
 *
 * @module
 */

/**
 * A backend that is a function: a maintenance page, a static fallback, another
 * proxy. It is not probed. Only a throw, a rejection or a timeout is a bad
 * outcome.
 */
export type BackendFunction = (
  request: Request,
  context: BackendContext,
) => Response | Promise<Response>;

/** What a {@linkcode BackendFunction} is passed with a request. */
export interface BackendContext {
  /** The client's address, if known. */
  readonly clientAddress: string | undefined;
  /** Number of this attempt at the request, from 1. */
  readonly attempt: number;
  /** Aborted when the response is no longer needed. */
  readonly signal: AbortSignal;
}

/** Settings of a {@linkcode Backend}. */
export interface BackendInit {
  /**
   * `http://host:port/base`, `https://…` or `unix:/path`, normalized by
   * `config/backends.ts`. For a function, `function:` and its name.
   */
  url: string;
  /**
   * Name in logs, metrics and the admin API; unique in the pool. Default: the
   * URL.
   */
  name?: string | undefined;
  /** Relative share of requests, 0 to 1000; 0 gets none. @default {1} */
  weight?: number | undefined;
  /**
   * Whether it gets requests only while no other is available. @default {false}
   */
  backup?: boolean | undefined;
  /** Maximum concurrent requests. @default {Infinity} */
  maxConns?: number | undefined;
  /** Answers requests in this process instead of a server; never probed. */
  answer?: BackendFunction | undefined;
  /**
   * `name:port` for `Host`, when the URL holds an address that was looked up
   * from that name. Default: the authority of the URL.
   */
  authority?: string | undefined;
  /**
   * Id in the admin API: eight hexadecimal digits. Default: a hash of the URL,
   * changed if another backend of the pool has it.
   */
  id?: string | undefined;
}

/**
 * How a backend is configured: a URL or a function, with or without settings.
 */
export type BackendSpec =
  | string
  | BackendInit
  | BackendFunction
  | (Omit<BackendInit, "url"> & { answer: BackendFunction });

/** Normalizes the shape of a spec, without checking it. */
export function initOf(spec: BackendSpec): BackendInit {
  if (typeof spec === "string") return { url: spec };
  if (typeof spec === "function") spec = { answer: spec };
  if ("url" in spec) return spec;
  return { url: `function:${spec.answer.name || "anonymous"}`, ...spec };
}

/**
 * A backend's counters, shared by all workers (`workers/table.ts`). Without
 * them, counts are those of this process.
 */
export interface SharedCounts {
  /** Whether this process only reads the counts and sends no requests. */
  readonly readOnly: boolean;
  /** Requests in flight, over all workers. */
  readonly inFlight: number;
  /**
   * Adds what this process counted before sharing began: requests in flight and
   * total requests.
   */
  adopt(inFlight: number, requests: number): void;
  /** Total requests, over all workers. */
  readonly requests: number;
  /** Counts a request unless `max` are in flight; returns whether it did. */
  enter(max: number): boolean;
  /** Counts the end of a request. */
  leave(): void;
}

/** Time constant of the latency average: after it, 63 % of a peak has faded. */
export const LATENCY_DECAY_MS = 10_000;

/**
 * A server or function that answers requests, and its current state. Change it
 * through its pool.
 */
export class Backend {
  /** Id in the admin API; stable for a URL, unique in the pool. */
  readonly id: string;
  /**
   * {@linkcode id} as a number; hashing policies mix it with the key.
   *
   * @ignore
   */
  readonly seed: number;
  /** The configured URL, normalized. */
  readonly url: string;
  /** Scheme and authority; the request target is appended to it. */
  readonly origin: string;
  /** `host:port` for `Host`, when that is the backend's own. */
  readonly authority: string;
  /**
   * Scheme and {@linkcode authority}: the origin it uses in a `Location`.
   *
   * @ignore
   */
  readonly ownOrigin: string;
  /** Prefix of every target, without a trailing slash. */
  readonly basePath: string;
  /** Path of the Unix domain socket, if it listens on one. */
  readonly socketPath: string | undefined;
  /** The function, if the backend is one. */
  readonly answer: BackendFunction | undefined;
  /** The configured name, if any. Only the pool changes it. */
  name: string | undefined;
  /** Whether it gets requests only while no other is available. */
  backup: boolean;
  /** Maximum concurrent requests. */
  maxConns: number;
  /** Relative share of requests. */
  weight: number;
  /** The verdict of the probes. */
  up = true;
  /** Whether outcomes took it out for a while. */
  ejected = false;
  /** Whether it gets no new requests; those in flight finish. */
  draining = false;
  /**
   * Counters shared with other workers, if there are any.
   *
   * @ignore
   */
  shared: SharedCounts | undefined;
  /**
   * Requests in flight in other workers, as of the last {@linkcode refresh}.
   *
   * @ignore
   */
  elsewhere = 0;
  /**
   * Complete responses in a row; bodies of a proven backend are only sampled.
   *
   * @ignore
   */
  proven = 0;
  /**
   * When one of its bodies was last sampled, on the proxy's clock.
   *
   * @ignore
   */
  sampledAt: number = -Infinity;
  /**
   * Part of its weight that counts during slow start, 0 to 1.
   *
   * @ignore
   */
  ramp = 1;
  /**
   * Credit in smooth round robin, in requests.
   *
   * @ignore
   */
  turn = 0;
  /** Peak EWMA of the milliseconds to the response header; `NaN` if unknown. */
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
   * Makes a backend that is up.
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
      // `Host` and `fetch` need a name. RFC 2606 reserves "localhost", so it
      // never names another machine.
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

  /** Its name, or its URL if it has none. */
  get label(): string {
    return this.name ?? this.url;
  }

  /**
   * Requests in flight, counted until their response bodies end. The part of
   * other workers is as of the last {@linkcode refresh}: a policy reads this
   * several times per pick and needs one consistent value.
   */
  get inFlight(): number {
    return this.shared?.readOnly === true
      ? this.shared.inFlight
      : this.#inFlight + this.elsewhere;
  }

  /**
   * Sets the part of this process.
   *
   * @ignore
   */
  set inFlight(count: number) {
    this.#inFlight = count;
  }

  /** Total requests sent to it, retries included. */
  get requests(): number {
    return this.shared === undefined ? this.#requests : this.shared.requests;
  }

  /**
   * Sets the part of this process.
   *
   * @ignore
   */
  set requests(count: number) {
    this.#requests = count;
  }

  /**
   * Shares the counters with other workers from now on.
   *
   * @ignore
   */
  countWith(shared: SharedCounts): void {
    shared.adopt(this.#inFlight, this.#requests);
    this.shared = shared;
  }

  /**
   * Reads the other workers' requests in flight.
   *
   * @ignore
   */
  refresh(): void {
    if (this.shared !== undefined) {
      this.elsewhere = this.shared.inFlight - this.#inFlight;
    }
  }

  /**
   * Counts a request; false if `maxConns` is reached. Another worker may have
   * taken the last place since the pick: there is no lock across workers.
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
   * Counts the end of a request.
   *
   * @ignore
   */
  leave(): void {
    this.#inFlight--;
    this.shared?.leave();
  }

  /** The effective weight, slow start included. */
  get share(): number {
    return this.weight * this.ramp;
  }

  /**
   * Records the time to a response header. A slower value counts at once and
   * fades over {@linkcode LATENCY_DECAY_MS}: the very next request should avoid
   * a backend that has become slow (as in Finagle's Peak EWMA). The decay is by
   * time, not by count, so that a burst counts as one observation.
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

/** The id of a backend with this URL, unless it collides with another. */
export function idOf(url: string): string {
  return hash(url).toString(16).padStart(8, "0");
}

/**
 * FNV-1a, 32 bits. The hash of a URL is the same in every process and after
 * each restart, so dashboard links and metric labels survive a reload, and
 * replicas hash a key to the same backend.
 */
export function hash(text: string): number {
  let state = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) {
    state = Math.imul(state ^ text.charCodeAt(i), 0x01000193);
  }
  return state >>> 0;
}

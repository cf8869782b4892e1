/**
 * Whether a failed attempt is made again, as a pure decision, and the budget
 * that keeps retries from feeding a storm.
 *
 * @module
 */

/**
 * Methods that may be repeated when it is not known whether the first try
 * arrived: the idempotent ones of RFC 9110 §9.2.2 (TRACE is not forwarded).
 */
const IDEMPOTENT: ReadonlySet<string> = new Set([
  "GET",
  "HEAD",
  "OPTIONS",
  "PUT",
  "DELETE",
]);

/** Whether repeating a request of this method changes nothing more. */
export function isIdempotent(method: string): boolean {
  return IDEMPOTENT.has(method);
}

/** Everything that the decision depends on. */
export interface Situation {
  /** Whether the client has left. */
  clientGone: boolean;
  /** Whether the time limit for the whole request has run out. */
  timedOut: boolean;
  /** Whether anything of the request may have reached the backend. */
  sent: boolean;
  /** Whether the method may be repeated. */
  idempotent: boolean;
  /** Whether the body can be sent again, whole. */
  replayable: boolean;
  /** Retries that reached a backend, so far. */
  retries: number;
  /** Connections that were refused, so far. */
  refusals: number;
  /** Most retries; 0 switches them all off. */
  maxRetries: number;
  /** Whether the budget has one left; asked last, and only when it matters. */
  budget: () => boolean;
}

/** Why an attempt is not made again, or that it is. */
export type Decision =
  | "retry"
  | "client gone"
  | "timed out"
  | "retries off"
  | "body spent"
  | "not repeatable"
  | "enough tried"
  | "budget spent";

/**
 * Refused connections that one request gets over. They cost a backend nothing
 * and tell at once, so they count neither as retries nor against the budget;
 * bounded all the same, so that a very large pool that is gone is found out.
 */
const MAX_REFUSALS = 100;

/** Decides about one failed attempt. */
export function decide(situation: Situation): Decision {
  if (situation.clientGone) return "client gone";
  if (situation.timedOut) return "timed out";
  if (situation.maxRetries === 0) return "retries off";
  if (!situation.replayable) return "body spent";
  if (!situation.sent) {
    return situation.refusals < MAX_REFUSALS ? "retry" : "enough tried";
  }
  if (!situation.idempotent) return "not repeatable";
  if (situation.retries >= situation.maxRetries) return "enough tried";
  return situation.budget() ? "retry" : "budget spent";
}

/** Seconds over which the budget is counted. */
const WINDOW_S = 10;
/** Retries in the window that are free, whatever the number of requests. */
const FREE = 100;

/**
 * Retries allowed: a share of the requests of the last ten seconds, and a
 * hundred besides. The free part covers the death of one backend in a quiet
 * hour, the share the same under load; when everything fails, the backends get
 * at most that much more than they would without any retry.
 */
export class RetryBudget {
  readonly #share: number;
  readonly #free: number;
  // One slot for each second, reused: no list that grows with the load.
  readonly #requests = new Uint32Array(WINDOW_S);
  readonly #retries = new Uint32Array(WINDOW_S);
  #second = 0;
  #refused = 0;

  /**
   * Makes a budget of `share` of the requests, 0 to 1: one of so many `parts`,
   * which have the free retries between them.
   */
  constructor(share: number, parts = 1) {
    this.#share = share;
    this.#free = Math.ceil(FREE / parts);
  }

  /** How many retries it has refused. */
  get refused(): number {
    return this.#refused;
  }

  /** Counts a request; `now` in milliseconds. */
  request(now: number): void {
    this.#requests[this.#slot(now)]!++;
  }

  /** Takes a retry out of the budget, if there is one. */
  take(now: number): boolean {
    const slot = this.#slot(now);
    let requests = 0;
    let retries = 0;
    for (let i = 0; i < WINDOW_S; i++) {
      requests += this.#requests[i]!;
      retries += this.#retries[i]!;
    }
    if (retries + 1 > requests * this.#share + this.#free) {
      this.#refused++;
      return false;
    }
    this.#retries[slot]!++;
    return true;
  }

  /** The slot of this second; slots whose second has passed are emptied. */
  #slot(now: number): number {
    const second = Math.floor(now / 1000);
    if (second !== this.#second) {
      const passed = Math.min(second - this.#second, WINDOW_S);
      for (let i = 0; i < passed; i++) {
        const slot = (second - i) % WINDOW_S;
        this.#requests[slot] = 0;
        this.#retries[slot] = 0;
      }
      this.#second = second;
    }
    return second % WINDOW_S;
  }
}

/**
 * Whether to retry a failed attempt, as a pure decision, and the budget that
 * keeps retries from amplifying an overload.
 *
 * @module
 */

/**
 * Methods that may be repeated if it is unknown whether the first attempt
 * arrived: the idempotent ones of RFC 9110 §9.2.2 (TRACE is not forwarded).
 */
const IDEMPOTENT: ReadonlySet<string> = new Set([
  "GET",
  "HEAD",
  "OPTIONS",
  "PUT",
  "DELETE",
]);

/** Whether repeating a request with this method has no further effect. */
export function isIdempotent(method: string): boolean {
  return IDEMPOTENT.has(method);
}

/** The input of the decision. */
export interface Situation {
  /** Whether the client has disconnected. */
  clientGone: boolean;
  /** Whether the request has exceeded a time limit. */
  timedOut: boolean;
  /** Whether any part of the request may have reached the backend. */
  sent: boolean;
  /** Whether the method is idempotent. */
  idempotent: boolean;
  /** Whether the complete body can be sent again. */
  replayable: boolean;
  /** Retries so far that reached a backend. */
  retries: number;
  /** Refused connections so far. */
  refusals: number;
  /** Maximum retries; 0 disables all of them. */
  maxRetries: number;
  /** Takes a retry from the budget; called last, and only if it matters. */
  budget: () => boolean;
}

/** Whether to retry; if not, why. */
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
 * Refused connections per request. They cost a backend nothing and fail at
 * once, so they count neither as retries nor against the budget. Bounded
 * nevertheless, for a very large pool that is down.
 */
const MAX_REFUSALS = 100;

/** Decides about a failed attempt. */
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

/** Length of the budget's window in seconds. */
const WINDOW_S = 10;
/** Retries in the window that are always allowed. */
const FREE = 100;

/**
 * The allowed retries: a share of the requests of the last ten seconds, plus
 * 100. The fixed part covers the death of one backend at low load, the share
 * covers it at high load. When everything fails, the backends get at most that
 * much more load than without retries.
 */
export class RetryBudget {
  readonly #share: number;
  readonly #free: number;
  // One slot per second, reused: its size does not depend on the load.
  readonly #requests = new Uint32Array(WINDOW_S);
  readonly #retries = new Uint32Array(WINDOW_S);
  #second = 0;
  #refused = 0;

  /**
   * A budget of `share` of the requests, 0 to 1. Several workers (`parts`)
   * divide the fixed part.
   */
  constructor(share: number, parts = 1) {
    this.#share = share;
    this.#free = Math.ceil(FREE / parts);
  }

  /** Number of retries it has refused. */
  get refused(): number {
    return this.#refused;
  }

  /** Counts a request; `now` in milliseconds. */
  request(now: number): void {
    this.#requests[this.#slot(now)]!++;
  }

  /** Takes a retry from the budget; returns whether there was one. */
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

  /** The slot of this second; slots of past seconds are cleared. */
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

/**
 * A lull: a short time in which few requests are admitted, so that these few
 * show how long a backend takes without a queue.
 *
 * While a limit refuses requests all the time, every admitted request has
 * waited in a queue, and no latency shows the time of the work alone. A lull
 * costs little: while the queue drains the backends stay busy, and then half of
 * them are busy until some requests have arrived.
 *
 * @module
 */

/**
 * Requests to measure: those of this time, but at least MIN and at most MAX.
 */
const HOLDS_MS = 200;
const MIN = 10;
const MAX = 200;

/** With fewer requests there is no result. */
const MIN_RESULT = 4;

/** Share of the measured requests that must be answered to end the lull. */
const ANSWERED = 0.98;

/** Follows the first requests of the lull to their responses. */
export class Lull {
  /** Requests that may wait at once during the lull. */
  readonly limit: number;
  readonly #since: number;
  readonly #timeoutMs: number;
  #holds = true;
  #taken = 0;
  #firstAt = NaN;
  #lastAt: number;
  #answered = 0;
  /** Sum of the waits of the answered requests, in milliseconds. */
  #waitedMs = 0;
  /** Sum of the start times of the requests that still wait. */
  #startedMs = 0;

  /**
   * Starts at `now`. `rate`: responses per millisecond; `baseMs`: the known
   * wait without a queue; `waitMs`: the current wait.
   */
  constructor(now: number, rate: number, baseMs: number, waitMs: number) {
    // Half of what just keeps the backends busy: with all of it some requests
    // would queue, and each lull would measure a longer wait.
    this.limit = Math.max(2, Math.floor(rate * baseMs / 2));
    this.#since = now;
    this.#lastAt = now;
    this.#timeoutMs = Math.min(4_000, Math.max(1_500, 3 * waitMs));
  }

  /** Whether requests are held back now. */
  get holds(): boolean {
    return this.#holds;
  }

  /** A request is admitted. */
  enter(now: number): void {
    if (!this.#holds) return;
    if (this.#taken++ === 0) this.#firstAt = now;
    this.#lastAt = now;
    this.#startedMs += now;
    const enough = this.#taken >= MIN && now - this.#firstAt >= HOLDS_MS;
    if (enough || this.#taken === MAX) this.#holds = false;
  }

  /** A request that began at `startedAt` got a response after `waitMs`. */
  answered(startedAt: number, waitMs: number): void {
    if (startedAt < this.#since || startedAt > this.#lastAt) return;
    if (this.#answered === this.#taken) return;
    this.#answered++;
    this.#waitedMs += waitMs;
    this.#startedMs -= startedAt;
  }

  /** Whether the lull has ended. */
  over(now: number): boolean {
    const ms = now - this.#since;
    if (this.#holds && ms > this.#timeoutMs) this.#holds = false;
    return !this.#holds && (this.#answered >= this.#taken * ANSWERED ||
      ms > 2 * this.#timeoutMs);
  }

  /**
   * The mean wait; `undefined` if there were too few requests. Requests that
   * still wait count with their wait so far; otherwise only the quick ones
   * would count.
   */
  meanMs(now: number): number | undefined {
    if (this.#taken < MIN_RESULT) return undefined;
    const open = (this.#taken - this.#answered) * now - this.#startedMs;
    return (this.#waitedMs + open) / this.#taken;
  }
}

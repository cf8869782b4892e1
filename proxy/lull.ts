/**
 * A lull: a short time in which few requests are let through, so that those few
 * show how long a backend takes when nothing queues in front of them.
 *
 * While a limit refuses requests all the time, every request that is let through
 * has waited in a queue, and no latency says any more what the work alone takes.
 * A lull costs little: while the queue drains the backends stay busy, and then
 * half of them are for as long as some requests take to come in.
 *
 * @module
 */

/** Requests that are looked at: those of so many milliseconds, at least, at most. */
const HOLDS_MS = 200;
const LEAST = 10;
const MOST = 200;

/** Fewer say nothing. */
const ENOUGH = 4;

/** Share of the requests looked at that have to be answered before it is over. */
const ANSWERED = 0.98;

/** Looks at the first requests that come in during the lull, to their ends. */
export class Lull {
  /** Requests that may wait at once, while it lasts. */
  readonly limit: number;
  readonly #since: number;
  readonly #patienceMs: number;
  #holds = true;
  #taken = 0;
  #firstAt = NaN;
  #lastAt: number;
  #answered = 0;
  /** Milliseconds that the answered ones have waited. */
  #waitedMs = 0;
  /** When those that wait still came in, all added up. */
  #startedMs = 0;

  /**
   * Begins at `now`. `rate` is answers a millisecond, `baseMs` the wait without a
   * queue as far as it is known, `waitMs` what requests wait now.
   */
  constructor(now: number, rate: number, baseMs: number, waitMs: number) {
    // Half of what the backends have in hand when they are just busy: with all
    // of it some would already queue, and each lull would find a longer wait.
    this.limit = Math.max(2, Math.floor(rate * baseMs / 2));
    this.#since = now;
    this.#lastAt = now;
    this.#patienceMs = Math.min(4_000, Math.max(1_500, 3 * waitMs));
  }

  /** Whether requests are held back at this moment. */
  get holds(): boolean {
    return this.#holds;
  }

  /** A request is let through. */
  enter(now: number): void {
    if (!this.#holds) return;
    if (this.#taken++ === 0) this.#firstAt = now;
    this.#lastAt = now;
    this.#startedMs += now;
    const enough = this.#taken >= LEAST && now - this.#firstAt >= HOLDS_MS;
    if (enough || this.#taken === MOST) this.#holds = false;
  }

  /** A request that came in at `startedAt` has got its answer after `waitMs`. */
  answered(startedAt: number, waitMs: number): void {
    if (startedAt < this.#since || startedAt > this.#lastAt) return;
    if (this.#answered === this.#taken) return;
    this.#answered++;
    this.#waitedMs += waitMs;
    this.#startedMs -= startedAt;
  }

  /** Whether it is over: nothing more is to be learnt from it. */
  over(now: number): boolean {
    const ms = now - this.#since;
    if (this.#holds && ms > this.#patienceMs) this.#holds = false;
    return !this.#holds && (this.#answered >= this.#taken * ANSWERED ||
      ms > 2 * this.#patienceMs);
  }

  /**
   * Mean wait, or nothing if too few were there. Those that wait still have
   * waited that long at least; without them the quick ones would speak for all.
   */
  meanMs(now: number): number | undefined {
    if (this.#taken < ENOUGH) return undefined;
    const open = (this.#taken - this.#answered) * now - this.#startedMs;
    return (this.#waitedMs + open) / this.#taken;
  }
}

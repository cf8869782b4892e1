/**
 * How many requests may wait for the header of their answer at once, learnt from
 * how long they wait.
 *
 * Little's law: requests that wait = answers a second × seconds that each waits.
 * So the limit is the rate at which answers come, times the wait that is allowed.
 * The rate is measured; the wait that is allowed is the wait without a queue
 * ({@linkcode LearntLimit.baseMs}), and some time in a queue on top of it: more
 * for a burst, less for a queue that stands ({@linkcode allowedMs}).
 *
 * What is different from its relatives (Netflix's gradient limits, Envoy's
 * adaptive concurrency, TCP Vegas and BBR):
 *
 * - The base is a mean over many requests. A minimum says nothing where some
 *   requests take 5 ms and others 200 ms.
 * - Nothing is cut while next to nothing is refused: a backend that got slow and
 *   keeps up is not overloaded.
 * - A new limit follows from the rate of answers, which is known at once, and not
 *   from the latencies of requests that came in under the old one.
 * - The base is measured anew in lulls at set times of the wall clock, which are
 *   the same for all replicas: a queue that many have filled drains only when all
 *   of them hold back.
 *
 * Pure: time is handed in, there is no timer and no randomness.
 *
 * @module
 */

import { Lull } from "./lull.ts";

/** The limit before anything is known, and its bounds. */
const START = 100;
const LEAST = 10;
const MOST = 10_000;

/** A wait in a queue that is allowed, in terms of the wait without one. */
interface Allowance {
  /** Times the base … */
  readonly times: number;
  /** … but no less and no more milliseconds than these … */
  readonly leastMs: number;
  readonly mostMs: number;
  /** … except that so many times the base are always allowed. */
  readonly always: number;
}

/** What a burst may wait: 70 % load with uneven latencies is made of bursts. */
const BURST: Allowance = { times: 40, leastMs: 200, mostMs: 800, always: 6 };
/** What a queue that stands may wait: it needs only be never empty. */
const STANDING: Allowance = {
  times: 10,
  leastMs: 100,
  mostMs: 250,
  always: 4,
};
/** Milliseconds of long waits after which a queue is one that stands. */
const STANDS_MS = 3_000;
/** Part of the allowed wait under which it stands no more, after so long. */
const STANDS_NOT = 0.6;
const STANDS_NOT_MS = 1_000;

/** A window of measurement: milliseconds, and answers, unless they take long. */
const WINDOW_MS = 500;
const WINDOW_ANSWERS = 30;
const LONGEST_WINDOW_MS = 2_000;
/** Windows that are averaged. */
const WINDOWS = 4;

/** Answers in a mean that may become the base, or milliseconds and answers. */
const BASE_ANSWERS = 200;
const BASE_MS = 4_000;
const BASE_FEW = 20;
/** The base rises by this factor at most in this time, and falls at once. */
const BASE_RISE = 1.1;
const BASE_RISE_MS = 8_000;

/** Share of the limit that has to be in use for it to grow. */
const NEAR = 0.8;
/** Share of refused requests that is next to nothing. */
const FEW_REFUSED = 0.05;
/** Room over the most that lately waited, while next to nothing is refused. */
const ROOM = 1.5;
/** Milliseconds in which the memory of that fades (to 37 %). */
const PEAK_FADES_MS = 10_000;
/** Places that each replica has on top: without them the small ones starve. */
const EXTRA = 2;

/**
 * Requests that come all at once, out of the calm: a process that stood still for
 * a moment hands over what has come meanwhile. So many milliseconds after no more
 * than half of the limit was in use, so many times the limit may wait.
 */
const SUDDEN_MS = 250;
const SUDDEN_TIMES = 2;

/** Milliseconds of wall clock between two lulls. */
const LULL_EVERY_MS = 30_000;

/**
 * A limit that has shrunk to its floor while the wait stays far over what is
 * allowed: the queue is not ours, and the base must be wrong. After so many
 * milliseconds it is raised, by this factor at most each window.
 */
const STUCK_MS = 3_000;
const STUCK_WAIT = 3;
const STUCK_RISE = 4;
const STUCK_NO_MORE = 0.5;

/** A request that waits for longer than this, and than … */
const STALE_MS = 2_000;
/** … so many times the usual wait, is no part of a queue. */
const STALE_TIMES = 4;

/** Milliseconds from a request to its header that are allowed. */
function allowedMs(
  baseMs: number,
  { times, leastMs, mostMs, always }: Allowance,
): number {
  const queue = Math.min(Math.max(times * baseMs, leastMs), mostMs);
  return baseMs + Math.max(queue, always * baseMs);
}

/** What was counted in one window. */
interface Window {
  ms: number;
  answers: number;
  refused: number;
  asked: number;
  /** Whether the limit was near, or the wait long. */
  busy: boolean;
}

/** Options for {@linkcode LearntLimit}. */
export interface LearntLimitOptions {
  /** The limit before anything is known. @default {100} */
  start?: number;
  /** How many workers begin with it together. @default {1} */
  parts?: number | undefined;
  /** Milliseconds since 1970, the same in all replicas. @default {Date.now} */
  wallMs?: () => number;
}

/** Learns how many requests may wait at once, and counts those that do. */
export class LearntLimit {
  readonly #wallMs: () => number;
  #limit: number;
  #waiting = 0;
  #refusedEver = 0;

  // The window that is open.
  #since = NaN;
  #answers = 0;
  #waitMs = 0;
  #admitted = 0;
  #refused = 0;
  #peak = 0;
  // The last windows, and what fades more slowly.
  readonly #windows: Window[] = [];
  #lastWaitMs = 0;
  #recentPeak = 0;

  #baseMs = NaN;
  #baseAt = 0;
  #meanAnswers = 0;
  #meanMs = 0;
  #meanSince = 0;

  #allowedMs = NaN;
  #longSince = NaN;
  #calmAt = -Infinity;
  #stands = false;
  #shortMs = 0;
  #stuckMs = 0;
  #lull: Lull | undefined;
  #lullTurn = 0;

  /** Makes a limit that knows nothing yet. */
  constructor(
    { start = START, parts = 1, wallMs = Date.now }: LearntLimitOptions = {},
  ) {
    this.#limit = Math.max(LEAST, Math.ceil(start / parts));
    this.#wallMs = wallMs;
  }

  /** Requests that may wait at once, now. */
  get limit(): number {
    return this.#lull?.holds === true
      ? this.#lull.limit
      : Math.floor(this.#limit);
  }

  /** The same, but for a lull: what has been learnt. */
  get learnt(): number {
    return Math.floor(this.#limit);
  }

  /** Requests that wait. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Requests that were refused, ever. */
  get refused(): number {
    return this.#refusedEver;
  }

  /** The wait without a queue, in milliseconds; `NaN` before it is known. */
  get baseMs(): number {
    return this.#baseMs;
  }

  /** Whether the limit is in use so far that it matters who has its places. */
  get near(): boolean {
    return this.#waiting >= NEAR * this.limit;
  }

  /**
   * Milliseconds after which a request that still waits is counted no more: it
   * is a long poll, or its backend hangs, and both must not keep others out.
   */
  get staleMs(): number {
    const usual = Number.isNaN(this.#allowedMs)
      ? STALE_MS
      : Math.max(this.#allowedMs, this.#lastWaitMs);
    return Math.max(STALE_MS, STALE_TIMES * usual);
  }

  /** Whether one more may wait; then it does. */
  enter(now: number): boolean {
    this.#look(now);
    if (2 * this.#waiting <= this.#limit) this.#calmAt = now;
    if (this.#waiting >= this.limit && !this.#isSudden(now)) {
      this.#refused++;
      this.#refusedEver++;
      return false;
    }
    this.#admitted++;
    if (++this.#waiting > this.#peak) this.#peak = this.#waiting;
    this.#lull?.enter(now);
    return true;
  }

  #isSudden(now: number): boolean {
    return !this.#stands && now - this.#calmAt <= SUDDEN_MS &&
      this.#waiting < SUDDEN_TIMES * this.#limit;
  }

  /** One waits no more, for whatever reason. */
  leave(): void {
    this.#waiting--;
  }

  /** One that came in at `startedAt` was answered; its backend took `waitMs`. */
  answered(startedAt: number, waitMs: number, now: number): void {
    // What is counted no more has not waited longer, as far as this goes: the
    // law holds for the time that a request is counted.
    const ms = Math.min(waitMs, this.staleMs);
    this.#answers++;
    this.#waitMs += ms;
    if (this.#lull === undefined) {
      this.#meanAnswers++;
      this.#meanMs += ms;
    } else this.#lull.answered(startedAt, waitMs);
    this.#look(now);
  }

  /** Closes the window if it is time. */
  #look(now: number): void {
    if (this.#lull !== undefined) {
      if (this.#lull.over(now)) this.#endLull(now);
      return;
    }
    if (Number.isNaN(this.#since)) return this.#open(now, true);
    if (this.#stands && this.#lullIsDue()) {
      const { rate } = this;
      this.#lull = new Lull(now, rate, this.#baseMs, this.#lastWaitMs);
      return;
    }
    const ms = now - this.#since;
    if (
      ms < WINDOW_MS ||
      (this.#answers < WINDOW_ANSWERS && ms < LONGEST_WINDOW_MS)
    ) return;
    if (this.#answers > 0) this.#learn(ms, now);
    this.#open(now, false);
  }

  #open(now: number, anew: boolean): void {
    this.#since = now;
    this.#answers = 0;
    this.#waitMs = 0;
    this.#admitted = 0;
    this.#refused = 0;
    this.#peak = this.#waiting;
    if (!anew) return;
    this.#meanAnswers = 0;
    this.#meanMs = 0;
    this.#meanSince = now;
  }

  /** Answers a millisecond in the last windows without a break in which it was busy. */
  get rate(): number {
    let answers = 0;
    let ms = 0;
    for (let i = this.#windows.length - 1; i >= 0; i--) {
      const window = this.#windows[i]!;
      if (!window.busy) break;
      answers += window.answers;
      ms += window.ms;
    }
    return answers / ms;
  }

  /** Share of requests that were refused in the last windows. */
  get #refusedShare(): number {
    let refused = 0;
    let asked = 0;
    for (const window of this.#windows) {
      refused += window.refused;
      asked += window.asked;
    }
    return asked === 0 ? 0 : refused / asked;
  }

  /** Draws the conclusions from a window of `ms` milliseconds. */
  #learn(ms: number, now: number): void {
    const waitMs = this.#waitMs / this.#answers;
    this.#learnBase(waitMs, now);
    const standingMs = allowedMs(this.#baseMs, STANDING);
    this.#judgeQueue(waitMs, standingMs, ms, now);
    this.#allowedMs = this.#stands
      ? standingMs
      : allowedMs(this.#baseMs, BURST);
    const near = this.#refused > 0 || this.#peak > NEAR * this.#limit;
    this.#lastWaitMs = waitMs;
    this.#recentPeak = Math.max(
      this.#peak,
      this.#recentPeak * Math.exp(-ms / PEAK_FADES_MS),
    );
    this.#windows.push({
      ms,
      answers: this.#answers,
      refused: this.#refused,
      asked: this.#admitted + this.#refused,
      busy: near || waitMs > standingMs,
    });
    if (this.#windows.length > WINDOWS) this.#windows.shift();
    this.#unstick(waitMs, ms, now);
    if (near || waitMs > standingMs) this.#adjust(waitMs, near);
    else {
      // Nothing queues, so what comes through may: a moment in which all
      // backends stand still is a burst as well.
      const fits = this.#answers / ms * this.#allowedMs + EXTRA;
      this.#limit = Math.min(MOST, Math.max(this.#limit, fits));
    }
  }

  /** Takes the mean of many requests into the base. */
  #learnBase(waitMs: number, now: number): void {
    if (
      this.#meanAnswers >= BASE_ANSWERS ||
      (this.#meanAnswers >= BASE_FEW && now - this.#meanSince > BASE_MS)
    ) {
      const mean = this.#meanMs / this.#meanAnswers;
      if (!(mean > this.#baseMs)) {
        this.#setBase(mean, now);
      } else if (
        // Where a queue stands, the mean is the queue's.
        (!this.#stands || this.#refusedShare <= FEW_REFUSED) &&
        now - this.#baseAt > BASE_RISE_MS
      ) this.#setBase(Math.min(mean, this.#baseMs * BASE_RISE), now);
      this.#meanAnswers = 0;
      this.#meanMs = 0;
      this.#meanSince = now;
    }
    if (Number.isNaN(this.#baseMs)) this.#baseMs = waitMs;
  }

  #setBase(ms: number, now: number): void {
    this.#baseMs = ms;
    this.#baseAt = now;
  }

  /** Tells a queue that stands from a burst. */
  #judgeQueue(
    waitMs: number,
    standingMs: number,
    ms: number,
    now: number,
  ): void {
    if (this.#stands) {
      const short = waitMs < STANDS_NOT * standingMs && this.#refused === 0;
      this.#shortMs = short ? this.#shortMs + ms : 0;
      if (this.#shortMs < STANDS_NOT_MS) return;
      this.#stands = false;
      this.#longSince = NaN;
    } else if (waitMs <= standingMs) {
      this.#longSince = NaN;
    } else if (Number.isNaN(this.#longSince)) {
      this.#longSince = now - ms;
    } else if (now - this.#longSince >= STANDS_MS) {
      this.#stands = true;
      this.#shortMs = 0;
      this.#lullTurn = this.#turn();
    }
  }

  /** Raises a base that must be wrong. */
  #unstick(waitMs: number, ms: number, now: number): void {
    const factor = this.#stuckMs >= STUCK_MS ? STUCK_NO_MORE : STUCK_WAIT;
    this.#stuckMs = this.#limit <= 1.5 * LEAST &&
        this.#refusedShare > FEW_REFUSED && waitMs > factor * this.#allowedMs
      ? this.#stuckMs + ms
      : 0;
    if (this.#stuckMs < STUCK_MS) return;
    this.#setBase(Math.min(waitMs, this.#baseMs * STUCK_RISE), now);
  }

  /** Sets the limit after a window that was busy. */
  #adjust(waitMs: number, near: boolean): void {
    const { rate } = this;
    const fits = rate * this.#allowedMs + EXTRA;
    if (waitMs > this.#allowedMs) {
      const floor = this.#refusedShare > FEW_REFUSED
        ? 0
        : ROOM * this.#recentPeak;
      this.#limit = Math.min(this.#limit, Math.max(fits, floor));
    } else if (near) {
      // It grows only while it is in use: of more nothing is known.
      if (fits > this.#limit) this.#limit = fits;
      // Slow uploads: they wait, and their backends do not know of them yet.
      else if (waitMs < this.#allowedMs / 2) this.#limit *= 1.1;
    }
    const inHand = rate * this.#baseMs;
    this.#limit = Math.min(MOST, Math.max(LEAST, inHand, this.#limit));
  }

  #turn(): number {
    return Math.floor(this.#wallMs() / LULL_EVERY_MS);
  }

  #lullIsDue(): boolean {
    const turn = this.#turn();
    if (turn === this.#lullTurn) return false;
    this.#lullTurn = turn;
    return this.#refusedShare > FEW_REFUSED && this.rate > 0;
  }

  #endLull(now: number): void {
    const mean = this.#lull!.meanMs(now);
    this.#lull = undefined;
    // Twice as much is not the work alone: others have not held back.
    if (mean !== undefined && mean <= 2 * this.#baseMs) {
      this.#setBase(Math.min(mean, this.#baseMs * BASE_RISE), now);
    }
    this.#open(now, true);
  }
}

/**
 * The number of requests that may wait for a response header at once, learnt
 * from how long they wait.
 *
 * Little's law: waiting requests = responses per second × seconds of wait. So
 * the limit is the measured rate of responses times the allowed wait. The
 * allowed wait is the wait without a queue ({@linkcode LearntLimit.baseMs})
 * plus some time in a queue: more for a burst, less for a standing queue
 * (`allowed_wait.ts`).
 *
 * It differs from Netflix's gradient limits, Envoy's adaptive concurrency, TCP
 * Vegas and BBR as follows:
 *
 * - The base is a mean over many requests. A minimum is meaningless if some
 *   requests take 5 ms and others 200 ms.
 * - The limit is not lowered while almost nothing is refused: a backend that
 *   became slower and keeps up is not overloaded.
 * - A new limit follows from the rate of responses, which is known at once, and
 *   not from latencies of requests that were admitted under the old limit.
 * - The base is measured again in lulls at fixed times of the wall clock, the
 *   same for all replicas: a queue that many replicas fill drains only when all
 *   of them hold back.
 *
 * Pure: the time is an argument, and there is no timer and no randomness.
 *
 * @module
 */

import { allowedMs, BURST, STANDING } from "./allowed_wait.ts";
import { Lull } from "./lull.ts";

/** The limit at the start, and its bounds. */
const START = 100;
const MIN = 10;
const MAX = 10_000;

/** Milliseconds of long waits that turn a burst into a standing queue. */
const STANDING_AFTER_MS = 3_000;
/** Waits below this part of the allowed wait, for so long, end it. */
const STANDING_ENDS = 0.6;
const STANDING_ENDS_MS = 1_000;

/** A measurement window: minimum time and responses, and its maximum time. */
const WINDOW_MS = 500;
const WINDOW_ANSWERS = 30;
const MAX_WINDOW_MS = 2_000;
/** Number of windows that are averaged. */
const WINDOWS = 4;

/** Responses in a mean that may become the base; or fewer, after some time. */
const BASE_ANSWERS = 200;
const BASE_MS = 4_000;
const BASE_FEW = 20;
/** The base rises by at most this factor per this time; it falls at once. */
const BASE_RISE = 1.1;
const BASE_RISE_MS = 8_000;
/** Part of the limit that must be in use for the limit to grow. */
const NEAR = 0.8;
/** Share of refused requests that counts as almost nothing. */
const FEW_REFUSED = 0.05;
/** Margin over the recent peak of waiting requests, while few are refused. */
const MARGIN = 1.5;
/** Time constant with which that peak fades, in milliseconds. */
const PEAK_FADES_MS = 10_000;
/** Additional places per replica; without them, small replicas starve. */
const EXTRA = 2;

/**
 * A sudden batch after a calm: a process that was paused hands over everything
 * that arrived meanwhile. Within this time after at most half of the limit was
 * in use, this many times the limit may wait.
 */
const SUDDEN_MS = 250;
const SUDDEN_TIMES = 2;

/** Milliseconds of wall clock between two lulls. */
const LULL_EVERY_MS = 30_000;

/**
 * When the limit is at its minimum and waits stay far above the allowed wait,
 * the queue is not ours and the base must be wrong. After this time the base is
 * raised, by at most this factor per window.
 */
const STUCK_MS = 3_000;
const STUCK_WAIT = 3;
const STUCK_RISE = 4;
const STUCK_NO_MORE = 0.5;

/** A request that waits longer than this, and longer than … */
const STALE_MS = 2_000;
/** … this many times the usual wait, is not part of a queue. */
const STALE_TIMES = 4;

/** The counts of one window. */
interface Window {
  ms: number;
  answers: number;
  refused: number;
  requested: number;
  /** Whether the limit was nearly reached, or the waits were long. */
  busy: boolean;
}

/** Options for {@linkcode LearntLimit}. */
export interface LearntLimitOptions {
  /** The limit at the start. @default {100} */
  start?: number;
  /** Number of workers that share this start. @default {1} */
  parts?: number | undefined;
  /** Milliseconds since 1970, equal in all replicas. @default {Date.now} */
  wallMs?: () => number;
}

/** Learns how many requests may wait at once, and counts those that wait. */
export class LearntLimit {
  readonly #wallMs: () => number;
  #limit: number;
  #waiting = 0;
  #totalRefused = 0;

  // The current window.
  #since = NaN;
  #answers = 0;
  #waitMs = 0;
  #admitted = 0;
  #refused = 0;
  #peak = 0;
  // The last windows, and averages over a longer time.
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
  #standing = false;
  #shortMs = 0;
  #stuckMs = 0;
  #lull: Lull | undefined;
  #lullTurn = 0;

  /** Makes a limit that has learnt nothing yet. */
  constructor(
    { start = START, parts = 1, wallMs = Date.now }: LearntLimitOptions = {},
  ) {
    this.#limit = Math.max(MIN, Math.ceil(start / parts));
    this.#wallMs = wallMs;
  }

  /** The limit now. */
  get limit(): number {
    return this.#lull?.holds === true
      ? this.#lull.limit
      : Math.floor(this.#limit);
  }

  /** The learnt limit, without the effect of a lull. */
  get learnt(): number {
    return Math.floor(this.#limit);
  }

  /** Number of waiting requests. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Total number of refused requests. */
  get refused(): number {
    return this.#totalRefused;
  }

  /** The wait without a queue, in milliseconds; `NaN` if unknown. */
  get baseMs(): number {
    return this.#baseMs;
  }

  /** Whether so much of the limit is in use that stale requests matter. */
  get near(): boolean {
    return this.#waiting >= NEAR * this.limit;
  }

  /**
   * Milliseconds after which a waiting request is no longer counted: it is a
   * long poll, or its backend hangs, and neither must keep others out.
   */
  get staleMs(): number {
    const usual = Number.isNaN(this.#allowedMs)
      ? STALE_MS
      : Math.max(this.#allowedMs, this.#lastWaitMs);
    return Math.max(STALE_MS, STALE_TIMES * usual);
  }

  /** Admits a request if the limit allows; returns whether it did. */
  enter(now: number): boolean {
    if (!this.admits(now)) return false;
    this.#admitted++;
    this.enterAgain();
    this.#lull?.enter(now);
    return true;
  }

  /** Returns whether the limit allows one more; if not, counts a refusal. */
  admits(now: number): boolean {
    this.#update(now);
    if (2 * this.#waiting <= this.#limit) this.#calmAt = now;
    if (this.#waiting < this.limit || this.#isSudden(now)) return true;
    this.#refused++;
    this.#totalRefused++;
    return false;
  }

  /** Counts a request that was admitted before, whatever the limit. */
  enterAgain(): void {
    if (++this.#waiting > this.#peak) this.#peak = this.#waiting;
  }

  #isSudden(now: number): boolean {
    return !this.#standing && now - this.#calmAt <= SUDDEN_MS &&
      this.#waiting < SUDDEN_TIMES * this.#limit;
  }

  /** A request no longer waits, for whatever reason. */
  leave(): void {
    this.#waiting--;
  }

  /** A request that began at `startedAt` got a response after `waitMs`. */
  answered(startedAt: number, waitMs: number, now: number): void {
    // Little's law applies to the time for which a request is counted, and that
    // ends at `staleMs`.
    const ms = Math.min(waitMs, this.staleMs);
    this.#answers++;
    this.#waitMs += ms;
    if (this.#lull === undefined) {
      this.#meanAnswers++;
      this.#meanMs += ms;
    } else this.#lull.answered(startedAt, waitMs);
    this.#update(now);
  }

  /** Ends the window or the lull if it is time. */
  #update(now: number): void {
    if (this.#lull !== undefined) {
      if (this.#lull.over(now)) this.#endLull(now);
      return;
    }
    if (Number.isNaN(this.#since)) return this.#open(now, true);
    if (this.#standing && this.#lullIsDue()) {
      const { rate } = this;
      this.#lull = new Lull(now, rate, this.#baseMs, this.#lastWaitMs);
      return;
    }
    const ms = now - this.#since;
    if (
      ms < WINDOW_MS ||
      (this.#answers < WINDOW_ANSWERS && ms < MAX_WINDOW_MS)
    ) return;
    if (this.#answers > 0) this.#learn(ms, now);
    this.#open(now, false);
  }

  #open(now: number, resetMean: boolean): void {
    this.#since = now;
    this.#answers = 0;
    this.#waitMs = 0;
    this.#admitted = 0;
    this.#refused = 0;
    this.#peak = this.#waiting;
    if (!resetMean) return;
    this.#meanAnswers = 0;
    this.#meanMs = 0;
    this.#meanSince = now;
  }

  /** Responses per millisecond over the last consecutive busy windows. */
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

  /** Share of requests refused in the last windows. */
  get #refusedShare(): number {
    let refused = 0;
    let requested = 0;
    for (const window of this.#windows) {
      refused += window.refused;
      requested += window.requested;
    }
    return requested === 0 ? 0 : refused / requested;
  }

  /** Learns from a window of `ms` milliseconds. */
  #learn(ms: number, now: number): void {
    const waitMs = this.#waitMs / this.#answers;
    this.#learnBase(waitMs, now);
    const standingMs = allowedMs(this.#baseMs, STANDING);
    this.#judgeQueue(waitMs, standingMs, ms, now);
    this.#allowedMs = this.#standing
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
      requested: this.#admitted + this.#refused,
      busy: near || waitMs > standingMs,
    });
    if (this.#windows.length > WINDOWS) this.#windows.shift();
    this.#unstick(waitMs, ms, now);
    if (near || waitMs > standingMs) this.#adjust(waitMs, near);
    else {
      // Nothing queues, so the current throughput fits. This matters for the
      // next burst, such as a moment in which all backends pause.
      const fits = this.#answers / ms * this.#allowedMs + EXTRA;
      this.#limit = Math.min(MAX, Math.max(this.#limit, fits));
    }
  }

  /** Updates the base by the mean of many requests. */
  #learnBase(waitMs: number, now: number): void {
    if (
      this.#meanAnswers >= BASE_ANSWERS ||
      (this.#meanAnswers >= BASE_FEW && now - this.#meanSince > BASE_MS)
    ) {
      const mean = this.#meanMs / this.#meanAnswers;
      if (!(mean > this.#baseMs)) {
        this.#setBase(mean, now);
      } else if (
        // With a standing queue, the mean includes the time in the queue.
        (!this.#standing || this.#refusedShare <= FEW_REFUSED) &&
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

  /** Distinguishes a standing queue from a burst. */
  #judgeQueue(
    waitMs: number,
    standingMs: number,
    ms: number,
    now: number,
  ): void {
    if (this.#standing) {
      const short = waitMs < STANDING_ENDS * standingMs && this.#refused === 0;
      this.#shortMs = short ? this.#shortMs + ms : 0;
      if (this.#shortMs < STANDING_ENDS_MS) return;
      this.#standing = false;
      this.#longSince = NaN;
    } else if (waitMs <= standingMs) {
      this.#longSince = NaN;
    } else if (Number.isNaN(this.#longSince)) {
      this.#longSince = now - ms;
    } else if (now - this.#longSince >= STANDING_AFTER_MS) {
      this.#standing = true;
      this.#shortMs = 0;
      this.#lullTurn = this.#turn();
    }
  }

  /** Raises a base that must be too low. */
  #unstick(waitMs: number, ms: number, now: number): void {
    const factor = this.#stuckMs >= STUCK_MS ? STUCK_NO_MORE : STUCK_WAIT;
    this.#stuckMs = this.#limit <= 1.5 * MIN &&
        this.#refusedShare > FEW_REFUSED && waitMs > factor * this.#allowedMs
      ? this.#stuckMs + ms
      : 0;
    if (this.#stuckMs < STUCK_MS) return;
    this.#setBase(Math.min(waitMs, this.#baseMs * STUCK_RISE), now);
  }

  /** Sets the limit after a busy window. */
  #adjust(waitMs: number, near: boolean): void {
    const { rate } = this;
    const fits = rate * this.#allowedMs + EXTRA;
    if (waitMs > this.#allowedMs) {
      const floor = this.#refusedShare > FEW_REFUSED
        ? 0
        : MARGIN * this.#recentPeak;
      this.#limit = Math.min(this.#limit, Math.max(fits, floor));
    } else if (near) {
      // It grows only while it is in use: otherwise nothing was measured.
      if (fits > this.#limit) this.#limit = fits;
      // Slow uploads wait here before their backends have any work.
      else if (waitMs < this.#allowedMs / 2) this.#limit *= 1.1;
    }
    const noQueue = rate * this.#baseMs;
    this.#limit = Math.min(MAX, Math.max(MIN, noQueue, this.#limit));
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
    // More than twice the base includes a queue: other replicas did not hold
    // back.
    if (mean !== undefined && mean <= 2 * this.#baseMs) {
      this.#setBase(Math.min(mean, this.#baseMs * BASE_RISE), now);
    }
    this.#open(now, true);
  }
}

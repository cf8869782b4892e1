/**
 * The requests that wait for a response header under a learnt limit
 * (`MAX_IN_FLIGHT=auto`), counted per backend.
 *
 * Only the wait for the header counts, not the body: a download of an hour does
 * not load a backend, and must not keep other clients out.
 *
 * The limit is the pool's, since few proxies see enough of each backend to
 * learn one per backend. But when it is nearly reached, no backend may have
 * much more than its share: one that hangs or has become slow would take all of
 * it (as in "consistent hashing with bounded loads", Mirrokni et al. 2016).
 *
 * @module
 */

import type { Backend, Pool } from "../balancer.ts";
import type { LearntLimit } from "./learnt_limit.ts";

/** Multiple of its share that a backend may have. */
const SLACK = 1.25;
/** Requests that any backend may have. */
const FEW = 2;
/** Milliseconds for which the sum of the shares is cached. */
const SHARES_MS = 100;

/** The part of a request that is needed here. */
export interface WaitingRequest {
  /** When the wait began: at arrival, or when the `onRequest` hook ended. */
  waitsSince: number;
  /** Where it is counted while it waits. */
  room: Waiting | undefined;
  /** Its backend, if one was picked. */
  readonly backend: Backend | undefined;
}

/** Counts waiting requests. */
export class Waiting {
  readonly #pool: Pool;
  readonly #limit: LearntLimit;
  // By backend; those without requests are absent.
  readonly #held = new Map<Backend, number>();
  #shares = 0;
  #sharesAt = -Infinity;
  #now = 0;

  /** Starts with none. */
  constructor(pool: Pool, limit: LearntLimit) {
    this.#pool = pool;
    this.#limit = limit;
  }

  /**
   * Counts a request if the limit allows; then its `room` must be set to this.
   */
  enter(now: number): boolean {
    this.#now = now;
    return this.#limit.enter(now);
  }

  /**
   * Returns whether one more may wait, without counting it: the `onRequest`
   * hook runs first and may answer the request itself.
   */
  admits(now: number): boolean {
    this.#now = now;
    return this.#limit.admits(now);
  }

  /**
   * Stops counting a request while a hook runs: that time is not the backend's.
   * Returns whether the request was counted.
   */
  pause(x: WaitingRequest): boolean {
    if (x.room === undefined) return false;
    this.left(x);
    this.over(x);
    return true;
  }

  /**
   * Counts a request when its hook has ended. One that was counted before is
   * always admitted; another only if the limit allows. Returns whether it was.
   */
  resume(x: WaitingRequest, had: boolean, now: number): boolean {
    if (had) this.#limit.enterAgain();
    else if (!this.enter(now)) return false;
    x.room = this;
    x.waitsSince = now;
    this.assigned(x);
    return true;
  }

  /** A backend was picked for it. */
  assigned(x: WaitingRequest): void {
    if (x.room === undefined) return;
    const backend = x.backend!;
    this.#held.set(backend, (this.#held.get(backend) ?? 0) + 1);
  }

  /** Whether a backend has its share, while others may have less. */
  full(backend: Backend): boolean {
    if (!this.#limit.near) return false;
    const held = this.#held.get(backend) ?? 0;
    if (held < FEW) return false;
    if (this.#now - this.#sharesAt > SHARES_MS) this.#addShares();
    return held >= SLACK * this.#limit.limit * backend.share / this.#shares;
  }

  /** Its response header arrived, `ms` after the last byte was sent. */
  answered(x: WaitingRequest, status: number, ms: number, now: number): void {
    if (x.room === undefined) return;
    this.#now = now;
    this.left(x);
    this.over(x);
    // A backend that fails fast must not look fast, and a WebSocket handshake
    // is not a measure of work.
    if (status < 500 && status !== 101) {
      this.#limit.answered(x.waitsSince, ms, now);
    }
  }

  /** Its attempt has ended; it may continue at another backend. */
  left(x: WaitingRequest): void {
    if (x.room === undefined || x.backend === undefined) return;
    const held = this.#held.get(x.backend);
    if (held === undefined) return;
    if (held > 1) this.#held.set(x.backend, held - 1);
    else this.#held.delete(x.backend);
  }

  /** It no longer waits, for whatever reason. */
  over(x: WaitingRequest): void {
    if (x.room === undefined) return;
    x.room = undefined;
    this.#limit.leave();
  }

  /** Stops counting it if it has waited too long to be part of a queue. */
  dropIfStale(x: WaitingRequest, now: number): void {
    if (now - x.waitsSince < this.#limit.staleMs) return;
    this.left(x);
    this.over(x);
  }

  #addShares(): void {
    this.#sharesAt = this.#now;
    let shares = 0;
    for (const { up, ejected, draining, backup, share } of this.#pool) {
      if (up && !ejected && !draining && !backup) shares += share;
    }
    this.#shares = shares;
  }
}

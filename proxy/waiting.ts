/**
 * The requests that wait for the header of their answer, under a limit that is
 * learnt (`MAX_IN_FLIGHT=auto`), and how many each backend has of them.
 *
 * Only the wait for the header counts, and not the body: a download that takes an
 * hour keeps no backend from its work, and must not keep other clients out.
 *
 * The limit is the pool's, since few proxies see enough of each backend to learn
 * one for it. But while it is nearly used up, no backend may have much more than
 * its share: one that hangs, or has got slow, would come to hold all of it (as in
 * "consistent hashing with bounded loads", Mirrokni et al. 2016).
 *
 * @module
 */

import type { Backend, Pool } from "../balancer.ts";
import type { LearntLimit } from "./learnt_limit.ts";

/** Times its share that a backend may have. */
const SLACK = 1.25;
/** Any backend may have so many. */
const FEW = 2;
/** Milliseconds for which the backends' shares are remembered. */
const SHARES_MS = 100;

/** A request, as far as it matters here. */
export interface Waits {
  /** When the wait began: at arrival, or when the `onRequest` hook ended. */
  waitsSince: number;
  /** Where it counts among those that wait, while it does. */
  room: Waiting | undefined;
  /** The backend that has got it, if one has. */
  readonly backend: Backend | undefined;
}

/** Counts requests that wait. */
export class Waiting {
  readonly #pool: Pool;
  readonly #limit: LearntLimit;
  // By backend; those that have none are not in it.
  readonly #held = new Map<Backend, number>();
  #shares = 0;
  #sharesAt = -Infinity;
  #now = 0;

  /** Counts none yet. */
  constructor(pool: Pool, limit: LearntLimit) {
    this.#pool = pool;
    this.#limit = limit;
  }

  /** Whether one more may wait; then it counts, and has to be given this room. */
  enter(now: number): boolean {
    this.#now = now;
    return this.#limit.enter(now);
  }

  /**
   * Returns whether one more may wait, without counting it: the `onRequest` hook
   * runs first and may answer the request itself.
   */
  admits(now: number): boolean {
    this.#now = now;
    return this.#limit.admits(now);
  }

  /**
   * Stops counting a request while a hook runs: that time is not the backend's.
   * Returns whether the request was counted.
   */
  pause(x: Waits): boolean {
    if (x.room === undefined) return false;
    this.left(x);
    this.over(x);
    return true;
  }

  /**
   * Counts a request when its hook has ended. One that was counted before is
   * always admitted; another only if the limit allows. Returns whether it was.
   */
  resume(x: Waits, had: boolean, now: number): boolean {
    if (had) this.#limit.enterAgain();
    else if (!this.enter(now)) return false;
    x.room = this;
    x.waitsSince = now;
    this.given(x);
    return true;
  }

  /** A backend has got it. */
  given(x: Waits): void {
    if (x.room === undefined) return;
    const backend = x.backend!;
    this.#held.set(backend, (this.#held.get(backend) ?? 0) + 1);
  }

  /** Whether a backend has enough of them, while others might have fewer. */
  full(backend: Backend): boolean {
    if (!this.#limit.near) return false;
    const held = this.#held.get(backend) ?? 0;
    if (held < FEW) return false;
    if (this.#now - this.#sharesAt > SHARES_MS) this.#addShares();
    return held >= SLACK * this.#limit.limit * backend.share / this.#shares;
  }

  /** Its header has come, `ms` after the last byte was sent. */
  answered(x: Waits, status: number, ms: number, now: number): void {
    if (x.room === undefined) return;
    this.#now = now;
    this.left(x);
    this.over(x);
    // A backend that fails fast must not look as if it were fast; and a
    // WebSocket's handshake is no work.
    if (status < 500 && status !== 101) {
      this.#limit.answered(x.waitsSince, ms, now);
    }
  }

  /** Its backend has got rid of it, though it may go on elsewhere. */
  left(x: Waits): void {
    if (x.room === undefined || x.backend === undefined) return;
    const held = this.#held.get(x.backend);
    if (held === undefined) return;
    if (held > 1) this.#held.set(x.backend, held - 1);
    else this.#held.delete(x.backend);
  }

  /** It waits no more, for whatever reason. */
  over(x: Waits): void {
    if (x.room === undefined) return;
    x.room = undefined;
    this.#limit.leave();
  }

  /** It has been here for a while: it may have waited too long to count. */
  look(x: Waits, now: number): void {
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

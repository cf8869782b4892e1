/**
 * Token buckets for any number of keys in memory of a fixed size.
 *
 * A bucket is one number: the time at which it will be full again (as in the
 * GCRA of ATM networks). A request advances it by the time of one token, and is
 * refused if that exceeds the time in which a bucket fills. So nothing has to
 * be refilled and no timer runs. A bucket whose time has passed is full: its
 * slot is free without being cleared.
 *
 * Slots are grouped in sets of {@linkcode WAYS}. A keyed hash gives the set of
 * a key, and 32 bits that identify it within the set. If all slots of a set are
 * in use, a new key takes the slot of the fullest bucket; the previous key gets
 * back the tokens it had used, which are the fewest in the set. So a key with
 * many requests keeps its bucket, however many other keys come.
 *
 * Two keys with the same hash share a bucket. For a key, the probability that
 * another one matches it is {@linkcode WAYS} in 2^32.
 *
 * @module
 */

import type { Hash } from "./keyed_hash.ts";

/** Slots per set. */
const WAYS = 8;
/** Binary logarithm of the number of sets: 262,144 slots of 12 bytes each. */
const SET_BITS = 15;
const SLOTS = WAYS << SET_BITS;

/** Bytes before the slots: the seed of the hash. */
const SEED_BYTES = 8;

/** Size of a table in bytes: 3 MB. */
export const RATE_TABLE_BYTES: number = SEED_BYTES + SLOTS * (8 + 4);

/**
 * A time that exceeds the fill time of a bucket by this much comes from a
 * process with another clock; it would block its client until then.
 */
const SKEW_MS = 1_000;

/** Requests per time, which is also the size of a burst. */
export interface Rate {
  /** Tokens of a full bucket. */
  readonly requests: number;
  /** Milliseconds in which an empty bucket fills. */
  readonly perMs: number;
}

/** Token buckets by the hash of a key. */
export class RateTable {
  /** The seed of the hash, equal for all processes that share the memory. */
  readonly seed: Uint32Array<ArrayBufferLike>;
  // Shared memory without atomics: 64-bit machines read and write aligned
  // numbers as a whole. If two workers serve one client in the same fraction of
  // a microsecond, one of the two tokens is not counted.
  readonly #fullAt: Float64Array<ArrayBufferLike>;
  readonly #tags: Uint32Array<ArrayBufferLike>;
  readonly #perMs: number;
  readonly #tokenMs: number;

  /** `memory` may be shared, zeroed or in use. */
  constructor({ requests, perMs }: Rate, memory: ArrayBufferLike) {
    this.#perMs = perMs;
    this.#tokenMs = perMs / requests;
    this.seed = new Uint32Array(memory, 0, 2);
    this.#fullAt = new Float64Array(memory, SEED_BYTES, SLOTS);
    this.#tags = new Uint32Array(memory, SEED_BYTES + SLOTS * 8, SLOTS);
  }

  /**
   * Takes a token from a key's bucket at `now`, in milliseconds. Returns 0, or
   * the milliseconds until there is a token.
   */
  take({ low, high }: Hash, now: number): number {
    const first = (low >>> (32 - SET_BITS)) * WAYS;
    const tags = this.#tags;
    const fullAt = this.#fullAt;
    let slot = first;
    let found = false;
    for (let i = first; i < first + WAYS; i++) {
      if (tags[i] === high) {
        slot = i;
        found = true;
        break;
      }
      if (fullAt[i]! < fullAt[slot]!) slot = i;
    }
    let at = now;
    if (found) {
      const known = fullAt[slot]!;
      if (known > now && known <= now + this.#perMs + SKEW_MS) at = known;
    } else {
      tags[slot] = high;
    }
    const next = at + this.#tokenMs;
    const over = next - now - this.#perMs;
    // Tolerance of a thousandth of a token: sums of fractions are not exact,
    // and the last token of a full bucket must be usable.
    if (over > this.#tokenMs * 1e-3) return over;
    fullAt[slot] = next;
    return 0;
  }
}

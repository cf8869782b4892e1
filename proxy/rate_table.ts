/**
 * Token buckets of any number of keys in memory of a fixed size.
 *
 * A bucket is one number: the time at which it will be full again (as in the
 * GCRA of ATM networks). A request moves it on by the time of one token; it is
 * refused where that would be further ahead than a full bucket lasts. So nothing
 * has to be filled up, no timer runs, and a bucket whose time has passed is full:
 * its slot is free without being cleared.
 *
 * Slots are grouped in sets of {@linkcode WAYS}. The set of a key, and the 32 bits
 * that tell it from the others there, come from a hash with a secret seed. If all
 * slots of a set are in use, a new key takes the slot of the fullest bucket. The
 * key that had it is given back what it had used, which is the least of all in its
 * set. So a key that asks for much keeps its bucket, however many others come by.
 *
 * Two keys of the same hash share a bucket. The odds that a key meets another one
 * there are {@linkcode WAYS} in 2^32.
 *
 * @module
 */

import type { Hash } from "./keyed_hash.ts";

/** Slots of a set. */
const WAYS = 8;
/** Bits of the number of sets: 262,144 slots in all, of 12 bytes each. */
const SET_BITS = 15;
const SLOTS = WAYS << SET_BITS;

/** Bytes in front of the slots: the seed of the hash. */
const SEED_BYTES = 8;

/** Size of a table in bytes, whatever is in it: 3 MB. */
export const RATE_TABLE_BYTES: number = SEED_BYTES + SLOTS * (8 + 4);

/**
 * A time further ahead than a bucket lasts, by this much, comes from a process
 * whose clock is another; it would keep its client out until then.
 */
const SKEW_MS = 1_000;

/** So many requests in so many milliseconds, and as many at once. */
export interface Rate {
  /** Tokens of a full bucket. */
  readonly requests: number;
  /** Milliseconds in which an empty one fills. */
  readonly perMs: number;
}

/** Token buckets by the hash of a key. */
export class RateTable {
  /** The seed of the hash, which all that share the memory have in common. */
  readonly seed: Uint32Array<ArrayBufferLike>;
  // Shared memory without atomics: aligned numbers are read and written whole
  // on 64-bit machines, and where two workers serve one client in the same
  // fraction of a microsecond, one of the two tokens is not counted.
  readonly #fullAt: Float64Array<ArrayBufferLike>;
  readonly #tags: Uint32Array<ArrayBufferLike>;
  readonly #perMs: number;
  readonly #tokenMs: number;

  /** Looks at `memory`, which may be shared, zeroed or in use. */
  constructor({ requests, perMs }: Rate, memory: ArrayBufferLike) {
    this.#perMs = perMs;
    this.#tokenMs = perMs / requests;
    this.seed = new Uint32Array(memory, 0, 2);
    this.#fullAt = new Float64Array(memory, SEED_BYTES, SLOTS);
    this.#tags = new Uint32Array(memory, SEED_BYTES + SLOTS * 8, SLOTS);
  }

  /**
   * Takes a token from a key's bucket at `now`, in milliseconds. Returns 0, or
   * the milliseconds until there will be one.
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
    // A thousandth of a token of grace: sums of fractions are not exact, and the
    // last token of a full bucket must not be lost to that.
    if (over > this.#tokenMs * 1e-3) return over;
    fullAt[slot] = next;
    return 0;
  }
}

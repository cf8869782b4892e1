/**
 * HalfSipHash-2-4 (Aumasson and Bernstein): without its key, collisions cannot
 * be found. With an unkeyed hash, a client could choose a name that shares
 * another client's bucket, and use it up.
 *
 * @module
 */

/** 64 bits of a hash. */
export interface Hash {
  low: number;
  high: number;
}

/** Hashes 32-bit words one by one. Reused for one hash at a time. */
export class KeyedHash implements Hash {
  /** The result of {@linkcode end}; valid until the next {@linkcode begin}. */
  low = 0;
  high = 0;
  readonly #key: ArrayLike<number>;
  #v0 = 0;
  #v1 = 0;
  #v2 = 0;
  #v3 = 0;
  #words = 0;

  /** `key`: two words. */
  constructor(key: ArrayLike<number>) {
    this.#key = key;
  }

  /** Starts a hash. */
  begin(): void {
    const k0 = this.#key[0]! | 0;
    const k1 = this.#key[1]! | 0;
    this.#v0 = k0;
    this.#v1 = k1 ^ 0xee;
    this.#v2 = k0 ^ 0x6c796765;
    this.#v3 = k1 ^ 0x74656462;
    this.#words = 0;
  }

  /** Adds a word. */
  word(word: number): void {
    this.#words++;
    this.#v3 ^= word;
    this.#round();
    this.#round();
    this.#v0 ^= word;
  }

  /**
   * Adds a text: its length first, so that no two texts give the same words.
   */
  text(text: string): void {
    this.word(text.length);
    for (let i = 0; i < text.length; i += 2) {
      // `charCodeAt` past the end is NaN, which counts as 0.
      this.word(text.charCodeAt(i) | text.charCodeAt(i + 1) << 16);
    }
  }

  /** Ends the hash: the result is in {@linkcode low} and {@linkcode high}. */
  end(): void {
    this.word(this.#words * 4 << 24);
    this.#v2 ^= 0xee;
    for (let i = 0; i < 4; i++) this.#round();
    this.low = (this.#v1 ^ this.#v3) >>> 0;
    this.#v1 ^= 0xdd;
    for (let i = 0; i < 4; i++) this.#round();
    this.high = (this.#v1 ^ this.#v3) >>> 0;
  }

  #round(): void {
    let v0 = this.#v0;
    let v1 = this.#v1;
    let v2 = this.#v2;
    let v3 = this.#v3;
    v0 = v0 + v1 | 0;
    v1 = (v1 << 5 | v1 >>> 27) ^ v0;
    v0 = v0 << 16 | v0 >>> 16;
    v2 = v2 + v3 | 0;
    v3 = (v3 << 8 | v3 >>> 24) ^ v2;
    v0 = v0 + v3 | 0;
    v3 = (v3 << 7 | v3 >>> 25) ^ v0;
    v2 = v2 + v1 | 0;
    v1 = (v1 << 13 | v1 >>> 19) ^ v2;
    this.#v0 = v0;
    this.#v1 = v1;
    this.#v2 = v2 << 16 | v2 >>> 16;
    this.#v3 = v3;
  }
}

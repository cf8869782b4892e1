/**
 * Randomness that a test can repeat.
 *
 * @module
 */

/** Numbers from 0 up to 1, the same for one seed in each run (mulberry32). */
export function seeded(seed: number): () => number {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Splits bytes at random places; each chunk has its own memory. */
export function cutAtRandom(
  bytes: Uint8Array<ArrayBuffer>,
  random: () => number,
): Uint8Array<ArrayBuffer>[] {
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  // Mostly long or mostly short, so that both are tried.
  const most = 1 + Math.floor(random() * random() * bytes.length);
  for (let at = 0; at < bytes.length;) {
    const size = 1 + Math.floor(random() * most);
    pieces.push(bytes.slice(at, at + size));
    at += size;
  }
  return pieces;
}

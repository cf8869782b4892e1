/**
 * Which small bodies are read to their end, and which the runtime passes
 * through.
 *
 * Reading a small body here costs about half of the throughput of the runtimes'
 * `fetch` (0.53 of the native pass-through on Deno, 0.55 on Bun). So only
 * samples of a proven backend's bodies are read: enough to eject one that
 * begins to truncate them. A body that is large or of unknown length is always
 * followed: the client determines how long it takes, and a client that reads
 * nothing must be noticed.
 *
 * @module
 */

import type { Backend } from "../balancer.ts";

/** Bytes of a declared body that may pass unread. */
export const SMALL_BODY = 64 * 1024;

/**
 * Complete responses in a row after which not every body of a backend is read.
 * A backend that is new or has failed is always read, so that it is ejected
 * after as many truncated bodies as configured.
 */
const PROVEN = 64;

/** Milliseconds between two samples of a proven backend. */
const BACKEND_MS = 100;

/**
 * Milliseconds between two samples of any proven backend: with 1000 backends,
 * ten samples per second each would be all of their responses.
 */
const ANY_MS = 10;

/** Decides which small bodies are read. */
export class Sampling {
  #nextAt = 0;

  /** Whether a small body of this backend may pass unread now. */
  skips(backend: Backend, now: number): boolean {
    if (backend.proven < PROVEN) return false;
    if (now < this.#nextAt || now - backend.sampledAt < BACKEND_MS) return true;
    backend.sampledAt = now;
    this.#nextAt = now + ANY_MS;
    return false;
  }
}

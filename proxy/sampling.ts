/**
 * Whose small bodies are read to their end, and whose go out as the runtime's
 * own.
 *
 * To see a small body end is to read it here, which costs about half of the
 * requests a second over the runtimes' `fetch` (0.53 of the native hand-over on
 * Deno, 0.55 on Bun). So only samples of a backend that has proved itself are
 * read: enough to eject one that begins to cut its bodies. A body that is large,
 * or of unknown length, is always followed: how long it takes is the client's to
 * say, and a client that takes nothing has to be noticed.
 *
 * @module
 */

import type { Backend } from "../balancer.ts";

/** Bytes of a declared body that may go unread. */
export const SMALL_BODY = 64 * 1024;

/**
 * Whole answers in a row after which not every body of a backend is read. One
 * that is new or has failed is watched closely, so that one that cuts its bodies
 * is ejected after as many as the setting says.
 */
const PROVEN = 64;

/** Milliseconds between two samples of one proven backend. */
const BACKEND_MS = 100;

/**
 * Milliseconds between two samples of all proven backends: ten a second of each
 * of a thousand backends would be all of their answers.
 */
const ANY_MS = 10;

/** Decides which small bodies are read. */
export class Sampling {
  #nextAt = 0;

  /** Whether a small body of this backend goes out unread at this time. */
  skips(backend: Backend, now: number): boolean {
    if (backend.proven < PROVEN) return false;
    if (now < this.#nextAt || now - backend.sampledAt < BACKEND_MS) return true;
    backend.sampledAt = now;
    this.#nextAt = now + ANY_MS;
    return false;
  }
}

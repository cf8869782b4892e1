/**
 * Step 5: picks a backend for a request.
 *
 * @module
 */

import type { Backend } from "../balancer.ts";
import type { Context } from "./context.ts";

/**
 * Picks a backend that is not in `tried`, and counts the request as one of its
 * requests in flight.
 */
export function pick(
  key: string | undefined,
  tried: readonly Backend[] | undefined,
  c: Context,
): Backend | undefined {
  c.refresh?.();
  for (;;) {
    const backend = choose(key, tried, c);
    // Another worker may have taken its last place a moment ago. The policy
    // sees that now and does not choose it again.
    if (backend === undefined || backend.enter()) return backend;
  }
}

/** Full backends that are skipped for one request; each costs a pick. */
const MAX_SKIPPED = 32;

/**
 * Skips a backend to which the request would have to wait, or that has more
 * than its share of waiting requests, if there is another one. Otherwise the
 * policy's first choice is used.
 */
function choose(
  key: string | undefined,
  tried: readonly Backend[] | undefined,
  c: Context,
): Backend | undefined {
  const { pool } = c;
  const first = pool.pick(key, tried);
  if (first === undefined || !isFull(first, c)) return first;
  const skipped = [...tried ?? [], first];
  for (;;) {
    const next = pool.pick(key, skipped);
    if (
      next === undefined || next.backup !== first.backup ||
      next.ejected !== first.ejected
    ) return first;
    if (!isFull(next, c)) return next;
    if (skipped.push(next) > MAX_SKIPPED) return first;
  }
}

/** Whether a backend should be skipped if possible. */
function isFull(backend: Backend, { transport, room }: Context): boolean {
  return transport.full?.(backend) === true || room?.full(backend) === true;
}

/**
 * Step 3: a backend for a request.
 *
 * @module
 */

import type { Backend } from "../balancer.ts";
import type { Context } from "./context.ts";

/**
 * Picks a backend that is not among those tried, and gives it the request: from
 * here it counts as one of its requests in flight.
 */
export function pick(
  key: string | undefined,
  tried: readonly Backend[] | undefined,
  c: Context,
): Backend | undefined {
  c.refresh?.();
  for (;;) {
    const backend = choose(key, tried, c);
    // Another worker may have given it its last place a moment ago. It knows
    // of that now, and is not chosen once more.
    if (backend === undefined || backend.enter()) return backend;
  }
}

/** Backends that a request is not given to for having enough: each costs a pick. */
const MOST_PASSED = 32;

/**
 * One that the runtime would let wait, or that has more than its share of those
 * that wait, is passed over for one of which neither is true; when there is
 * none, it is the policy's choice again.
 */
function choose(
  key: string | undefined,
  tried: readonly Backend[] | undefined,
  c: Context,
): Backend | undefined {
  const { pool } = c;
  const first = pool.pick(key, tried);
  if (first === undefined || !isFull(first, c)) return first;
  const passed = [...tried ?? [], first];
  for (;;) {
    const next = pool.pick(key, passed);
    if (
      next === undefined || next.backup !== first.backup ||
      next.ejected !== first.ejected
    ) return first;
    if (!isFull(next, c)) return next;
    if (passed.push(next) > MOST_PASSED) return first;
  }
}

/** Whether a backend should rather be passed over. */
function isFull(backend: Backend, { transport, room }: Context): boolean {
  return transport.full?.(backend) === true || room?.full(backend) === true;
}

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

/**
 * One that the runtime would let wait is passed over for one that it would
 * not; when it would for all, it is the policy's choice again.
 */
function choose(
  key: string | undefined,
  tried: readonly Backend[] | undefined,
  { pool, transport }: Context,
): Backend | undefined {
  const first = pool.pick(key, tried);
  if (first === undefined || transport.full?.(first) !== true) return first;
  const passed = [...tried ?? [], first];
  for (;;) {
    const next = pool.pick(key, passed);
    if (
      next === undefined || next.backup !== first.backup ||
      next.ejected !== first.ejected
    ) return first;
    if (!transport.full(next)) return next;
    passed.push(next);
  }
}

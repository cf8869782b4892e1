/**
 * A proxy's way from its first look-up to its last line: what begins when, and
 * what has to be ended.
 *
 * @module
 */

import type { BackendInit, Pool } from "../balancer.ts";
import { SlowStart } from "../proxy/slow_start.ts";
import { Membership } from "../discovery/membership.ts";
import { Resolver } from "../discovery/resolve.ts";
import type { Callbacks } from "./callbacks.ts";
import type { Judges } from "./health.ts";

/** What there is to begin and to end. */
export interface Living {
  /** Backends that are names to look up. */
  named: readonly BackendInit[];
  pool: Pool;
  /** 0 for no slow start. */
  slowStartMs: number;
  /** Why an address may not be a backend, if it may not. */
  refuses: (url: string) => string | undefined;
  judges: Judges;
  callbacks: Callbacks;
  /** Ends what else there is. */
  stopped(): void;
}

/** What goes on from then on. */
export interface Life {
  /** Makes the pool's members those of another list. */
  readonly members: Membership;
  /** Resolves once each backend was probed, or timed out. */
  readonly ready: Promise<void>;
  /** Ends it; may be called twice. */
  readonly stop: () => Promise<void>;
}

/** Begins at once: look-ups first, then probes. */
export function lifeOf(
  { named, pool, slowStartMs, refuses, judges, callbacks, stopped }: Living,
): Life {
  const { lookup, clock, log } = callbacks;
  const { settled } = judges;
  const resolver = new Resolver(pool, {
    lookup,
    settled,
    refuses,
    clock,
    log,
  });
  let slowStart: SlowStart | undefined;
  let ended: Promise<void> | undefined;
  // What is there at the start is not new: neither unproved nor slow to start.
  const start = () => {
    if (ended !== undefined) return Promise.resolve();
    if (slowStartMs > 0) slowStart = new SlowStart(pool, slowStartMs, clock);
    return judges.start();
  };
  const ready = named.length === 0
    ? start()
    : resolver.follow(named).then(start);
  return {
    members: new Membership(pool, resolver, settled),
    ready,
    stop: () =>
      ended ??= (async () => {
        resolver.stop();
        slowStart?.stop();
        judges.stop();
        await Promise.resolve();
        stopped();
        await callbacks.flush();
      })(),
  };
}

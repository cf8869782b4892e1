/**
 * The life cycle of a proxy: the order in which its parts start, and what must
 * be stopped.
 *
 * @module
 */

import type { BackendInit, Pool } from "../balancer.ts";
import { SlowStart } from "../proxy/slow_start.ts";
import { Membership } from "../discovery/membership.ts";
import { Resolver } from "../discovery/resolve.ts";
import type { Callbacks } from "./callbacks.ts";
import type { Judges } from "./health.ts";

/** The parts to start and stop. */
export interface LifeParts {
  /** Backends whose names must be looked up. */
  named: readonly BackendInit[];
  pool: Pool;
  /** 0: no slow start. */
  slowStartMs: number;
  /** The reason to refuse an address as a backend, if any. */
  refuses: (url: string) => string | undefined;
  judges: Judges;
  callbacks: Callbacks;
  /** Stops everything else. */
  stopped(): void;
}

/** A running proxy. */
export interface Life {
  /** Applies another list of backends to the pool. */
  readonly members: Membership;
  /** Resolves once each backend was probed or has timed out. */
  readonly ready: Promise<void>;
  /** Stops everything; idempotent. */
  readonly stop: () => Promise<void>;
}

/** Starts at once: look-ups first, then probes. */
export function lifeOf(
  { named, pool, slowStartMs, refuses, judges, callbacks, stopped }: LifeParts,
): Life {
  const { lookup, lasting: clock, log } = callbacks;
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
  // Backends at start count as up, and have no slow start.
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

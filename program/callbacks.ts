/**
 * The callbacks of a proxy: the user's functions or the defaults, each safe to
 * call from anywhere.
 *
 * @module
 */

import type { Lookup, ProxyOptions } from "../config/options.ts";
import { type Clock, systemClock } from "../base/clock.ts";
import { LineWriter, standard } from "../runtime/lines.ts";
import { plain } from "../base/text.ts";
import { systemLookup } from "../runtime/lookup.ts";
import { guarded, guardedClock, guardedRandom, logOnce } from "./guarded.ts";

/** Milliseconds to wait at the end until the logs are written. */
const FLUSH_MS = 1_000;

/** Callbacks that never throw; only `lookup` may reject. */
export interface Callbacks {
  /** Takes a line for the log. */
  log: (line: string) => void;
  /** Takes a line of the access log. */
  logAccess: (line: string) => void;
  /** Uniform in [0, 1). */
  random: () => number;
  /** Time and timers. */
  clock: Clock;
  /** Looks a name up. */
  lookup: Lookup;
  /** Number of access log lines lost so far. */
  linesLost(): number;
  /** Waits briefly until the logs are written. */
  flush(): Promise<void>;
}

/** The callbacks of a proxy's options. */
export function callbacksOf(options: ProxyOptions): Callbacks {
  const { random, clock, lookup = systemLookup } = options;
  const errors = new LineWriter(standard("err"), { clock: systemClock });
  // A log function that fails has no place to report it.
  const log = options.log === undefined
    ? (line: string) => errors.line(plain(`sluice: ${line}`))
    : guarded(options.log, () => {});
  const lines = new LineWriter(standard("out"), {
    clock: systemClock,
    onLoss: () =>
      log("access log lines are dropped: standard output is not being read"),
  });
  return {
    log,
    logAccess: options.logAccess === undefined
      ? (line) => lines.line(line)
      : guarded(options.logAccess, logOnce("logAccess", log)),
    random: random === undefined
      ? Math.random
      : guardedRandom(random, logOnce("random", log)),
    clock: clock === undefined
      ? systemClock
      : guardedClock(clock, logOnce("clock", log)),
    lookup,
    linesLost: () => lines.dropped,
    flush: () =>
      Promise.all([lines.flush(FLUSH_MS), errors.flush(FLUSH_MS)])
        .then(() => {}),
  };
}

/**
 * What a proxy tells and goes by: a user's own functions, or the defaults, each
 * safe to call from anywhere.
 *
 * @module
 */

import type { Lookup, ProxyOptions } from "../config/options.ts";
import { type Clock, systemClock } from "../base/clock.ts";
import { LineWriter, standard } from "../runtime/lines.ts";
import { plain } from "../base/text.ts";
import { systemLookup } from "../runtime/lookup.ts";
import { guarded, guardedClock, guardedRandom, toldOnce } from "./guarded.ts";

/** Milliseconds that the log has at most to be written at the end. */
const FLUSH_MS = 1_000;

/** Functions that never throw, except that a look-up may be rejected. */
export interface Callbacks {
  /** Takes a line for the log. */
  log: (line: string) => void;
  /** Takes a line of the access log. */
  logAccess: (line: string) => void;
  /** Evenly from 0 up to 1. */
  random: () => number;
  /** Time and timers. */
  clock: Clock;
  /** Looks a name up. */
  lookup: Lookup;
  /** Lines of the access log that were lost, so far. */
  linesLost(): number;
  /** Waits for what was told to be written, but not long. */
  flush(): Promise<void>;
}

/** Takes the callbacks out of a proxy's options. */
export function callbacksOf(options: ProxyOptions): Callbacks {
  const { random, clock, lookup = systemLookup } = options;
  const errors = new LineWriter(standard("err"), { clock: systemClock });
  // A log that fails can be told of nowhere.
  const log = options.log === undefined
    ? (line: string) => errors.line(plain(`sluice: ${line}`))
    : guarded(options.log, () => {});
  const lines = new LineWriter(standard("out"), {
    clock: systemClock,
    onLoss: () =>
      log("lines of the access log are lost: standard output is not read"),
  });
  return {
    log,
    logAccess: options.logAccess === undefined
      ? (line) => lines.line(line)
      : guarded(options.logAccess, toldOnce("logAccess", log)),
    random: random === undefined
      ? Math.random
      : guardedRandom(random, toldOnce("random", log)),
    clock: clock === undefined
      ? systemClock
      : guardedClock(clock, toldOnce("clock", log)),
    lookup,
    linesLost: () => lines.dropped,
    flush: () =>
      Promise.all([lines.flush(FLUSH_MS), errors.flush(FLUSH_MS)])
        .then(() => {}),
  };
}

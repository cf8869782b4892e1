/**
 * The callbacks of a proxy: the user's functions or the defaults, each safe to
 * call from anywhere.
 *
 * @module
 */

import type { Lookup, ProxyOptions } from "../config/options.ts";
import { type Clock, systemClock } from "../base/clock.ts";
import { DueTimers } from "../base/due_timers.ts";
import { LineWriter, standard } from "../runtime/lines.ts";
import { plain } from "../base/text.ts";
import { systemLookup } from "../runtime/lookup.ts";
import { onWeb } from "../runtime/runtime.ts";
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
  /** Timers of what outlives a request; where none can, they run with requests. */
  lasting: Clock;
  /** Those timers, where requests have to run them. */
  due: DueTimers | undefined;
  /** Number of access log lines lost so far. */
  linesLost(): number;
  /** Waits briefly until the logs are written. */
  flush(): Promise<void>;
}

/** The callbacks of a proxy's options. */
export function callbacksOf(options: ProxyOptions): Callbacks {
  const { random, lookup = systemLookup } = options;
  const errors = outputTo("err");
  // A log function that fails has no place to report it.
  const log = options.log === undefined
    ? (line: string) => errors.line(plain(`sluice: ${line}`))
    : guarded(options.log, () => {});
  const lines = outputTo(
    "out",
    () =>
      log("access log lines are dropped: standard output is not being read"),
  );
  const clock = options.clock === undefined
    ? systemClock
    : guardedClock(options.clock, logOnce("clock", log));
  const due = onWeb ? new DueTimers(() => clock.now()) : undefined;
  return {
    log,
    logAccess: options.logAccess === undefined
      ? lines.line
      : guarded(options.logAccess, logOnce("logAccess", log)),
    random: random === undefined
      ? Math.random
      : guardedRandom(random, logOnce("random", log)),
    clock,
    lasting: due ?? clock,
    due,
    lookup,
    linesLost: () => lines.dropped,
    flush: () => Promise.all([lines.flush(), errors.flush()]).then(() => {}),
  };
}

/** Where lines go. */
interface Output {
  readonly dropped: number;
  line(this: void, text: string): void;
  flush(): Promise<void>;
}

/** Standard output or error; the console of a platform without them. */
function outputTo(to: "out" | "err", onLoss?: () => void): Output {
  if (onWeb) {
    const line = to === "out" ? console.log : console.error;
    return { dropped: 0, line, flush: () => Promise.resolve() };
  }
  const clock = systemClock;
  const writer = new LineWriter(standard(to), {
    clock,
    ...(onLoss === undefined ? {} : { onLoss }),
  });
  return {
    get dropped() {
      return writer.dropped;
    },
    line: (text) => writer.line(text),
    flush: () => writer.flush(FLUSH_MS),
  };
}

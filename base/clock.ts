/**
 * Time, handed in: what waits is given a {@linkcode Clock}, so that a test or
 * the simulator can move hours in a moment.
 *
 * @module
 */

/** Names one timer of a {@linkcode Clock}; only that clock can read it. */
export type TimerHandle = unknown;

/** The time and the timers that the proxy, the probes and the server use. */
export interface Clock {
  /** Milliseconds on a clock that never goes back. */
  now(): number;
  /** Calls `callback` once, `ms` milliseconds from now. */
  setTimeout(callback: () => void, ms: number): TimerHandle;
  /** Calls `callback` every `ms` milliseconds until the timer is cleared. */
  setInterval(callback: () => void, ms: number): TimerHandle;
  /** Stops a timer; one that has fired or was cleared before is ignored. */
  clear(handle: TimerHandle): void;
}

/**
 * A timer that must not keep a program alive: a proxy whose server has been
 * stopped lets the process end, though `stop()` was not called.
 */
function unref(timer: unknown): TimerHandle {
  (timer as { unref?(): void }).unref?.();
  return timer;
}

/** The clock of the machine. None of its timers keeps the process running. */
export const systemClock: Clock = {
  now: () => performance.now(),
  setTimeout: (callback, ms) => unref(setTimeout(callback, ms)),
  setInterval: (callback, ms) => unref(setInterval(callback, ms)),
  // Both runtimes clear either kind of timer with either function.
  clear: (handle) => clearTimeout(handle as number),
};

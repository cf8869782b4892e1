/**
 * Time as a parameter: code that waits is given a {@linkcode Clock}, so a test
 * or the simulator can advance hours in an instant.
 *
 * @module
 */

/** A timer of a {@linkcode Clock}; opaque to everything else. */
export type TimerHandle = unknown;

/** The time and the timers that the proxy, the probes and the server use. */
export interface Clock {
  /** Milliseconds on a monotonic clock. */
  now(): number;
  /** Calls `callback` once, `ms` milliseconds from now. */
  setTimeout(callback: () => void, ms: number): TimerHandle;
  /** Calls `callback` every `ms` milliseconds until the timer is cleared. */
  setInterval(callback: () => void, ms: number): TimerHandle;
  /** Clears a timer; does nothing if it has fired or was cleared. */
  clear(handle: TimerHandle): void;
}

/**
 * Keeps a timer from holding the process open: the process can end once its
 * server has stopped, even if `stop()` of the proxy was not called.
 */
function unref(timer: unknown): TimerHandle {
  (timer as { unref?(): void }).unref?.();
  return timer;
}

/** The clock of the machine. Its timers do not keep the process running. */
export const systemClock: Clock = {
  now: () => performance.now(),
  setTimeout: (callback, ms) => unref(setTimeout(callback, ms)),
  setInterval: (callback, ms) => unref(setInterval(callback, ms)),
  // Both runtimes clear either kind of timer with either function.
  clear: (handle) => clearTimeout(handle as number),
};

/**
 * A worker and the line to it, whichever way the runtime makes one.
 *
 * @module
 */

/** One end of a line between two threads or processes. */
export interface Line<In, Out> {
  /** Sends a plain value; to one that has ended it does nothing. */
  post(message: Out): void;
  /** Takes what comes; to be set at once. */
  onMessage: (message: In) => void;
}

/** A worker, as the one that started it holds it. */
export interface Worker<In, Out> extends Line<In, Out> {
  /** Called once, when it has ended; the reason is empty if none is known. */
  onEnd: (reason: string) => void;
  /** Ends it at once. */
  kill(): void;
}

/**
 * A worker and the channel to it, independent of the runtime.
 *
 * @module
 */

/** One end of a channel between two threads or processes. */
export interface Channel<In, Out> {
  /** Sends a plain value; ignored if the other end has ended. */
  post(message: Out): void;
  /** Handles messages; set it before returning to the event loop. */
  onMessage: (message: In) => void;
}

/** A worker, as seen by the process that started it. */
export interface Worker<In, Out> extends Channel<In, Out> {
  /** Called once when it has ended; the reason may be empty. */
  onEnd: (reason: string) => void;
  /** Ends it at once. */
  kill(): void;
}

/**
 * Why a request was ended from this side. Each is a single error object,
 * compared by identity.
 *
 * @module
 */

/** The client has disconnected. All of these are passed to `abort()`. */
export const CLIENT_LEFT = new Error("Cannot answer: the client has left");
export const CLIENT_SLOW = new Error("Cannot go on: the client is too slow");
export const TIMED_OUT = new Error("Cannot answer: the time limit has run out");
export const IDLE = new Error("Cannot go on: no byte within the idle limit");
export const TOO_LARGE = new Error(
  "Cannot forward: the body is over the limit",
);
export const NOT_NEEDED = new Error(
  "Cannot go on: the rest of the body is not needed",
);
export const STOPPED = new Error("Cannot go on: the proxy is being stopped");

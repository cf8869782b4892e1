/**
 * Why a request was ended from this side. Each is one error, so that it is told
 * by identity from whatever else is thrown.
 *
 * @module
 */

/** The client has left. Each is given to `abort()` as its reason. */
export const CLIENT_LEFT = new Error("Cannot answer: the client has left");
export const CLIENT_SLOW = new Error("Cannot go on: the client is too slow");
export const TIMED_OUT = new Error("Cannot answer: the time limit has run out");
export const IDLE = new Error("Cannot go on: no byte within the idle limit");
export const TOO_LARGE = new Error(
  "Cannot forward: the body is over the limit",
);
export const STOPPED = new Error("Cannot go on: the proxy is being stopped");

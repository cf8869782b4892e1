/**
 * What the outside may know of a request: for the log, the figures, and a client
 * that may ask. Types alone; `observe/` makes something of them.
 *
 * @module
 */

import type { Backend } from "../balancer.ts";
import type { ErrorType } from "./errors.ts";

/** One attempt at answering a request, as the log tells it. */
export interface Attempt {
  /** Whom it went to. */
  backend: Backend;
  /** When it began. */
  startedAt: number;
  /** Milliseconds to its end or to the response header. */
  ms: number;
  /** Its status, or why it failed. */
  outcome: string;
  /** Its span, when requests are traced. */
  spanId: string | undefined;
}

/** What the outside may know of a request once it is over. */
export interface Settled {
  /** The client's address, or `-`. */
  client: string;
  /** Method as sent. */
  method: string;
  /** Target as sent. */
  target: string;
  /** Status that the client was told; 499 when it had left. */
  status: number;
  /** Bytes of the answer's body, as far as they were seen. */
  bytes: number;
  /** Milliseconds from the request to the end of its answer. */
  ms: number;
  /** Who answered, if anybody did. */
  backend: Backend | undefined;
  /** Each attempt. */
  attempts: readonly Attempt[];
  /** The request's id, if it has one. */
  requestId: string | undefined;
  /** The trace that it belongs to, when requests are traced. */
  traceId: string | undefined;
  /** The request, for what else may be wanted of it. */
  request: Request;
}

/** Counts, while somebody wants figures. Called often: must not throw. */
export interface Meter {
  /** A request is over, `ms` after it came. */
  request(status: number, ms: number): void;
  /** A backend has sent a response header, `ms` after it was asked. */
  answered(backend: Backend, status: number, ms: number): void;
  /** An attempt has failed, and not by the client's doing. */
  failed(backend: Backend, type: ErrorType): void;
  /** A request is sent once more. */
  retried(): void;
}

/** Tells a client that may know it how its request was answered. */
export interface Explainer {
  /** Whether the client may know; `asked` is what its `Sluice-Debug` says. */
  allows(asked: string): boolean;
  /** The value of a `Server-Timing`. */
  text(attempts: readonly Attempt[], ms: number): string;
}

/**
 * What can be observed of a request: for the log, the metrics, and clients that
 * may ask. Types only; `observe/` uses them.
 *
 * @module
 */

import type { Backend } from "../balancer.ts";
import type { ErrorType } from "./errors.ts";

/** One attempt, as logged. */
export interface Attempt {
  /** Its backend. */
  backend: Backend;
  /** When it began. */
  startedAt: number;
  /** Milliseconds to its end or to the response header. */
  ms: number;
  /** Its status, or why it failed. */
  outcome: string;
  /** Its span, if requests are traced. */
  spanId: string | undefined;
}

/** What can be observed of a request that has ended. */
export interface Settled {
  /** The client's address, or `-`. */
  client: string;
  /** Method as sent. */
  method: string;
  /** Target as sent. */
  target: string;
  /** Status sent to the client; 499 if it had disconnected. */
  status: number;
  /** Bytes of the response body that were seen. */
  bytes: number;
  /** Milliseconds from the request to the end of its response. */
  ms: number;
  /** The backend that answered, if one did. */
  backend: Backend | undefined;
  /** Each attempt. */
  attempts: readonly Attempt[];
  /** The request's id, if it has one. */
  requestId: string | undefined;
  /** Its trace, if requests are traced. */
  traceId: string | undefined;
  /** The request itself. */
  request: Request;
}

/** Keeps figures. Called often; must not throw. */
export interface Meter {
  /** A request has ended, `ms` after it arrived. */
  request(status: number, ms: number): void;
  /** A backend has sent a response header, `ms` after the request. */
  answered(backend: Backend, status: number, ms: number): void;
  /** An attempt has failed, not because of the client. */
  failed(backend: Backend, type: ErrorType): void;
  /** A request is retried. */
  retried(): void;
}

/** Explains to an authorized client how its request was answered. */
export interface Explainer {
  /** Whether the client is authorized; `value` is its `Sluice-Debug`. */
  allows(value: string): boolean;
  /** The value of `Server-Timing`. */
  text(attempts: readonly Attempt[], ms: number): string;
}

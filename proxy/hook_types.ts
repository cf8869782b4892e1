/**
 * The types of the hooks: their arguments and results.
 *
 * @module
 */

import type { Backend } from "../balancer.ts";
import type { ErrorType } from "./errors.ts";

/** What hooks are passed about a request. */
export interface RequestContext {
  /** The client's request as passed to the handler. Do not read its body. */
  readonly request: Request;
  /**
   * The client's address: the connection's, or as reported by a trusted proxy.
   * `undefined` if unknown.
   */
  readonly clientAddress: string | undefined;
  /** The request's id, if `requestId` is on. */
  readonly requestId: string | undefined;
  /**
   * Aborted when the response is no longer needed: the client has disconnected,
   * a time limit has expired, or the proxy stops. Pass it to asynchronous work.
   */
  readonly signal: AbortSignal;
}

/** What hooks are passed about an attempt at a backend. */
export interface AttemptContext extends RequestContext {
  /** The backend: `url`, `id`, `name`, and its current state. */
  readonly backend: Backend;
  /** Number of this attempt at the request, from 1. */
  readonly attempt: number;
}

/** Why the proxy answers a request itself. */
export interface ProxyFailure {
  /** The status of the response. */
  readonly status: number;
  /** The error type of RFC 9209 §2.3, as in `Proxy-Status`. */
  readonly type: ErrorType;
  /**
   * The reason, in a few words, for logs and code. Do not show it to clients:
   * it may reveal internals.
   */
  readonly reason: string;
}

/** Edits the request to a backend, or answers in its place. */
export type OnRequest = (
  headers: Headers,
  context: AttemptContext,
) => void | Response | Promise<void | Response>;

/** Edits or replaces a backend's response. */
export type OnResponse = (
  response: Response,
  context: AttemptContext,
) => void | Response | Promise<void | Response>;

/** Replaces an error response of the proxy's own. */
export type OnError = (
  failure: ProxyFailure,
  context: RequestContext,
) => void | Response | Promise<void | Response>;

/** Returns the key that hash policies hash. */
export type KeyFunction = (
  request: Request,
  context: RequestContext,
) => string | undefined;

/** The hooks that are set. */
export interface Hooks {
  /** Called before each attempt. */
  readonly onRequest?: OnRequest | undefined;
  /** Called with each response of a backend. */
  readonly onResponse?: OnResponse | undefined;
  /** Called for each error response of our own. */
  readonly onError?: OnError | undefined;
  /** Called for each request. Never throws. */
  readonly key?: KeyFunction | undefined;
  /** Called with the error of a hook. */
  failed(hook: string, error: unknown): void;
}

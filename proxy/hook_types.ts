/**
 * The hooks of those who build on the proxy, as types alone: what each is told,
 * and what it may give.
 *
 * @module
 */

import type { Backend } from "../balancer.ts";
import type { ErrorType } from "./errors.ts";

/** What hooks are told of a request. */
export interface RequestContext {
  /** The client's request, as the handler got it. Its body is not to be read. */
  readonly request: Request;
  /**
   * The client's address: the connection's, or what a trusted proxy in front
   * says. `undefined` where there is none to know.
   */
  readonly clientAddress: string | undefined;
  /** The request's id, if `requestId` is on. */
  readonly requestId: string | undefined;
  /**
   * Fires when the answer is no longer wanted: the client has left, a time limit
   * has run out, or the proxy is being stopped. Pass it to what a hook waits for.
   */
  readonly signal: AbortSignal;
}

/** What hooks are told of one attempt at a backend. */
export interface AttemptContext extends RequestContext {
  /** The backend: `url`, `id`, `name`, and what is known of it right now. */
  readonly backend: Backend;
  /** Which attempt at answering the request this is, from 1. */
  readonly attempt: number;
}

/** Why a request is answered by the proxy and by no backend. */
export interface ProxyFailure {
  /** The status of the answer. */
  readonly status: number;
  /** The error type of RFC 9209 §2.3, as in `Proxy-Status`. */
  readonly type: ErrorType;
  /**
   * Why, in a few words: for a log or for code. Do not show it to clients: it
   * may tell them how things look behind the proxy.
   */
  readonly reason: string;
}

/** Edits what a backend is sent, or answers in its place. */
export type OnRequest = (
  headers: Headers,
  context: AttemptContext,
) => void | Response | Promise<void | Response>;

/** Edits or replaces a backend's answer. */
export type OnResponse = (
  response: Response,
  context: AttemptContext,
) => void | Response | Promise<void | Response>;

/** Replaces an answer of the proxy's own. */
export type OnError = (
  failure: ProxyFailure,
  context: RequestContext,
) => void | Response | Promise<void | Response>;

/** Says what hashing policies hash of a request. */
export type KeyFunction = (
  request: Request,
  context: RequestContext,
) => string | undefined;

/** The hooks that are set. */
export interface Hooks {
  /** Called before each attempt. */
  readonly onRequest?: OnRequest | undefined;
  /** Called with each answer of a backend. */
  readonly onResponse?: OnResponse | undefined;
  /** Called in place of each answer of our own. */
  readonly onError?: OnError | undefined;
  /** Called for each request. Never throws. */
  readonly key?: KeyFunction | undefined;
  /** Takes what a hook has failed with. */
  failed(hook: string, error: unknown): void;
}

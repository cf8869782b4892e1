/**
 * The parts and options that all steps of a request share.
 *
 * @module
 */

import type { Backend, Pool } from "../balancer.ts";
import type { Clock } from "../base/clock.ts";
import type { BridgeBudget } from "./bridge_budget.ts";
import type { Limits } from "./exchange.ts";
import type { HostHeader, RequestRules } from "./headers.ts";
import type { InFlight } from "./in_flight.ts";
import type { KeyOf } from "./keys.ts";
import type { Hooks } from "./hook_types.ts";
import type { Explainer, Meter, Settled } from "./observed.ts";
import type { RateLimiter } from "./rate_limit.ts";
import type { RetryBudget } from "./retry.ts";
import type { Sampling } from "./sampling.ts";
import type { Server } from "./server.ts";
import type { Sticky } from "./sticky.ts";
import type { Streams } from "./streams.ts";
import type { Transport } from "./transport.ts";
import type { Waiting } from "./waiting.ts";

/** Options for a forwarder, already checked. */
export interface ForwarderOptions extends Limits {
  /** The backends. */
  pool: Pool;
  /** The runtime's server. */
  server: Server;
  /** Sends requests to backends. */
  transport: Transport;
  /** Time and timers. */
  clock: Clock;
  /** Rewrites the request's header fields. */
  rules: RequestRules;
  /** The requests in flight. */
  inFlight: InFlight;
  /** Which `Host` backends are sent. */
  hostHeader: HostHeader;
  /** Maximum retries of a request. */
  retries: number;
  /** Limits retries as a share of requests. */
  budget: RetryBudget;
  /** Milliseconds to connect, for connections opened here. */
  connectTimeoutMs: number;
  /** Maximum bytes of a request body. */
  maxBodyBytes: number;
  /** Maximum bytes of a WebSocket message. */
  maxMessageBytes: number;
  /** Maximum concurrent requests. */
  maxInFlight: number;
  /** The learnt limit of waiting requests, if there is one. */
  room: Waiting | undefined;
  /** The rate limit per client. */
  rates: RateLimiter | undefined;
  /** Whether an interrupted response is continued from another backend. */
  resume: boolean;
  /** Whether every body must be followed to its end. */
  exact: boolean;
  /** Whether requests get an id. */
  requestId: boolean;
  /** Whether requests are traced. */
  trace: boolean;
  /** Called with each outcome. */
  outcome: (
    backend: Backend,
    good: boolean,
    startedAt: number,
    reason: string,
  ) => void;
  /** Called with each request that has ended; `undefined` saves the work. */
  settled: ((settled: Settled) => void) | undefined;
  /** Computes the key that the policy hashes, if it hashes one. */
  keyOf: KeyOf | undefined;
  /** The user's hooks. */
  hooks: Hooks;
  /** The cookies of a sticky policy, if it is one. */
  sticky: Sticky | undefined;
  /** Whether the policy reads latencies. */
  timed: boolean;
  /** Reads the other workers' requests in flight, if there are workers. */
  refresh: (() => void) | undefined;
  /** Whether responses should close their connections. */
  closing: () => boolean;
  /** Takes a line for the log. */
  log: (line: string) => void;
}

/** What all steps share. */
export interface Context extends ForwarderOptions {
  /** Decides which small bodies are read. */
  readonly sampling: Sampling;
  /** Long-running requests by connection. */
  readonly streams: Streams;
  /** Memory limit of all WebSockets. */
  readonly bridges: BridgeBudget;
  /** Ends each wait for a hook outside of any exchange, on shutdown. */
  readonly hooksWaiting: Set<() => void>;
  /** Whether WebSockets must be closed because this process ends. */
  goneAway: boolean;
  /** Requests refused because of the limit of concurrent requests. */
  refusedFull: number;
  /** Keeps figures; `undefined` until they are needed. */
  meter: Meter | undefined;
  /** Explains requests to clients; `undefined` if none may ask. */
  explainer: Explainer | undefined;
}

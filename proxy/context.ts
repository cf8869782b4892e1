/**
 * What all steps of a request share: the parts they work with, and the options
 * they go by.
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

/** Options for a forwarder; the values are checked by its caller. */
export interface ForwarderOptions extends Limits {
  /** The backends. */
  pool: Pool;
  /** The runtime's server. */
  server: Server;
  /** How requests get to backends. */
  transport: Transport;
  /** Time and timers. */
  clock: Clock;
  /** What becomes of the request's fields. */
  rules: RequestRules;
  /** The requests under way. */
  inFlight: InFlight;
  /** What `Host` says to a backend. */
  hostHeader: HostHeader;
  /** Most retries of a request. */
  retries: number;
  /** What retries are taken from. */
  budget: RetryBudget;
  /** Milliseconds to connect, where the connection is opened here. */
  connectTimeoutMs: number;
  /** Bytes of a request body. */
  maxBodyBytes: number;
  /** Bytes of a WebSocket message. */
  maxMessageBytes: number;
  /** Requests at once. */
  maxInFlight: number;
  /** For those that wait for a header, where their limit is learnt. */
  room: Waiting | undefined;
  /** Refuses those who ask too often. */
  rates: RateLimiter | undefined;
  /** Whether a broken answer is carried on from another backend. */
  resume: boolean;
  /** Whether every body must be followed to its end. */
  exact: boolean;
  /** Whether requests get an id. */
  requestId: boolean;
  /** Whether requests are traced. */
  trace: boolean;
  /** Takes each outcome. */
  outcome: (
    backend: Backend,
    good: boolean,
    startedAt: number,
    reason: string,
  ) => void;
  /** Takes each request that is over; none spares the work. */
  settled: ((settled: Settled) => void) | undefined;
  /** What the pool's policy hashes; none when it hashes nothing. */
  keyOf: KeyOf | undefined;
  /** What users have set to be called on a request's way. */
  hooks: Hooks;
  /** The cookies of a policy that sticks; none when it does not. */
  sticky: Sticky | undefined;
  /** Whether the pool's policy goes by latencies. */
  timed: boolean;
  /** Looks what other workers have under way; none when there are none. */
  refresh: (() => void) | undefined;
  /** Whether answers should now end their connections. */
  closing: () => boolean;
  /** Takes a line for the log. */
  log: (line: string) => void;
}

/** What all steps share. */
export interface Context extends ForwarderOptions {
  /** Which small bodies are read. */
  readonly sampling: Sampling;
  /** Lasting requests by connection. */
  readonly streams: Streams;
  /** What all WebSockets may keep. */
  readonly bridges: BridgeBudget;
  /** Ends what is waited for outside of any exchange, when all is to end. */
  readonly hooksWaiting: Set<() => void>;
  /** Whether WebSockets are to be closed, since this process ends. */
  goneAway: boolean;
  /** Requests that were refused since too many were under way. */
  refusedFull: number;
  /** Counts; none until figures are wanted. */
  meter: Meter | undefined;
  /** Explains; none while no client may know. */
  explainer: Explainer | undefined;
}

/**
 * The options of both runtimes' transports.
 *
 * @module
 */

import type { Clock } from "../base/clock.ts";

/** Options of a transport over sockets. */
export interface SocketOptions extends TransportOptions {
  /** Milliseconds to connect, TLS handshake included. */
  connectTimeoutMs: number;
  /** Time and timers. */
  clock: Clock;
  /** Whether any initial backend uses TLS. @default {false} */
  secure?: boolean;
}

/** Options of a transport. */
export interface TransportOptions {
  /** TLS towards `https:` backends, as PEM text. */
  tls?: {
    ca?: string | undefined;
    cert?: string | undefined;
    key?: string | undefined;
  } | undefined;
  /** `User-Agent` of probes. */
  userAgent?: string;
  /** Number of backends, if they share its capacity. */
  backends?: () => number;
}

/**
 * The options of both runtimes' transports.
 *
 * @module
 */

import type { Clock } from "../base/clock.ts";
import type { BackendTlsOptions } from "../config/options.ts";

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
  tls?: BackendTlsOptions | undefined;
  /** `User-Agent` of probes. */
  userAgent?: string;
  /** Number of backends, if they share its capacity. */
  backends?: () => number;
}

/**
 * What both runtimes' transports are made with.
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
  /** Whether some backend of now is asked over TLS. @default {false} */
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
  /** What probes say they are. */
  userAgent?: string;
  /** How many backends it sends to, when they have to share its capacity. */
  backends?: () => number;
}

/**
 * What a server in front of a proxy is to the rest, whichever runtime runs it.
 *
 * @module
 */

import type { BunWebSocketHandlers } from "./bun/websocket.ts";

/** An ordinary handler; `connection` is whatever the runtime hands it. */
export type Handler = (
  request: Request,
  connection?: unknown,
) => Response | Promise<Response>;

/** Options of a listener. */
export interface ListenOptions {
  /** Port; 0 takes a free one. */
  port: number;
  /** Address or name to listen on. */
  host: string;
  /** Certificate and key as PEM text, for TLS. */
  tls?: { cert: string; key: string } | undefined;
  /** Whether other workers listen on the same port. */
  shared?: boolean | undefined;
  /** Whether a refusal may come later than at once. */
  refusesLate?: boolean | undefined;
  /** What takes WebSockets, on Bun; none are taken there without it. */
  websocket?: BunWebSocketHandlers | undefined;
  /** Takes a line for the log. */
  log: (line: string) => void;
}

/** A port that is listened on. */
export interface Listener {
  /** The port, also when a free one was taken. */
  readonly port: number;
  /** Ends listening and idle connections; resolves when the rest is done. */
  close(): Promise<void>;
  /** Ends everything at once. */
  kill(): void;
  /** Whether {@linkcode close} would cut uploads that are under way. */
  readonly cutsUploads: boolean;
  /**
   * Shows each connection that is accepted from now on another certificate, and
   * leaves those that stand as they are. Rejects with the reason when it cannot,
   * and then nothing has changed. Absent where there is no TLS, or no way.
   */
  setCertificate?(tls: { cert: string; key: string }): Promise<void>;
}

/**
 * The interface to a listening server, independent of the runtime.
 *
 * @module
 */

import type { BunWebSocketHandlers } from "./bun/websocket.ts";

/** A handler; `connection` is the runtime's second argument. */
export type Handler = (
  request: Request,
  connection?: unknown,
) => Response | Promise<Response>;

/** Options of a listener. */
export interface ListenOptions {
  /** Port; 0: any free port. */
  port: number;
  /** Address or name to listen on. */
  host: string;
  /** Certificate and key as PEM text, for TLS. */
  tls?: { cert: string; key: string } | undefined;
  /** Whether other workers listen on the same port. */
  shared?: boolean | undefined;
  /** WebSocket handlers for Bun; without them, no upgrades there. */
  websocket?: BunWebSocketHandlers | undefined;
  /** Takes a line for the log. */
  log: (line: string) => void;
}

/** A listening port. */
export interface Listener {
  /** The port it listens on. */
  readonly port: number;
  /**
   * Stops listening and closes idle connections; resolves when all are closed.
   */
  close(): Promise<void>;
  /** Stops everything at once. */
  kill(): void;
  /** Whether {@linkcode close} would cut uploads. */
  readonly cutsUploads: boolean;
  /**
   * Uses another certificate for new connections; existing ones keep theirs.
   * Rejects with the reason if it fails; nothing has changed then. Absent
   * without TLS or without support.
   */
  setCertificate?(tls: { cert: string; key: string }): Promise<void>;
}

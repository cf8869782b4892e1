/**
 * Upgrading a request to a WebSocket: first the backend's side, on a connection
 * of its own, then the client's. Both are functions of only what they need.
 *
 * @module
 */

import type { Backend } from "../balancer.ts";
import { type Fields, type ResponseFacts, responseFields } from "./headers.ts";
import type { Bridge } from "./bridge.ts";
import { HandshakeFailed, type Opened, openWebSocket } from "./handshake.ts";
import type { Server } from "./server.ts";
import type { Transport } from "./transport.ts";

/** What {@linkcode openBackend} needs. */
export interface UpgradeAttempt {
  /** Opens the connection. */
  transport: Transport;
  /** The backend. */
  backend: Backend;
  /** Path and query, without the backend's base path. */
  target: string;
  /** The header fields for the backend. */
  fields: Fields;
  /** Aborts the attempt. */
  signal: AbortSignal;
  /** Milliseconds to connect, TLS handshake included. */
  connectTimeoutMs: number;
}

/**
 * Requests a WebSocket of a backend. Returns the open connection, or the
 * response of a backend that refuses; otherwise the connection is closed.
 *
 * @throws {HandshakeFailed} If there is neither.
 */
export async function openBackend(
  { transport, backend, target, fields, signal, connectTimeoutMs }:
    UpgradeAttempt,
): Promise<Opened | Response> {
  const socket = await transport.dial(backend, signal, connectTimeoutMs)
    .catch((error) => {
      throw new HandshakeFailed(transport.classifyDial(error));
    });
  return await openWebSocket(socket, backend.basePath + target, fields, signal);
}

/** What {@linkcode acceptClient} needs. */
export interface UpgradeAcceptance {
  /** Upgrades the client. */
  server: Server;
  /** The client's request. */
  request: Request;
  /** The second argument of the server's handler. */
  connection: unknown;
  /** The backend's accepted WebSocket. */
  opened: Opened;
  /** Facts for rewriting the fields of the backend's 101. */
  facts: ResponseFacts;
  /** Takes a line for the log. */
  log: (line: string) => void;
}

/**
 * Upgrades the client, whose messages go to the bridge from then on. Returns
 * the 101, or a status if there is none: 499 if the client has disconnected,
 * 501 if the server cannot upgrade. The caller must then abandon the bridge.
 */
export async function acceptClient(
  bridge: Bridge,
  { server, request, connection, opened, facts, log }: UpgradeAcceptance,
): Promise<Response | 499 | 501> {
  try {
    if (await server.clientPresent?.(request) === false) return 499;
    const fields = acceptedFields(opened, facts);
    const { protocol } = opened;
    return server.accept(request, connection, { protocol, fields }, bridge);
  } catch (error) {
    if (server.clientGone?.(request) === true) return 499;
    log(`cannot upgrade a request: ${String(error)}`);
    return 501;
  }
}

/** The fields of the client's 101. */
function acceptedFields(opened: Opened, facts: ResponseFacts): Fields {
  // A 101 keeps its connection, also while the proxy drains and closes the
  // connections of all other responses.
  const added = facts.added?.filter(([name]) => name !== "connection") ?? [];
  // The id is ours, and is sent once.
  const kept = added.some(([name]) => name === "x-request-id")
    ? opened.fields.filter(([name]) => name !== "x-request-id")
    : opened.fields;
  return responseFields(new Headers(kept), { ...facts, added });
}

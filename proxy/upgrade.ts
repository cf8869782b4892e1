/**
 * A request that asks for a WebSocket: the backend's side first, on a connection
 * of its own, and then the client's.
 *
 * Both steps are functions that are handed what they need, since a request on
 * its way has more to it than either of them wants to know.
 *
 * @module
 */

import type { Backend } from "../balancer.ts";
import { type Fields, type ResponseFacts, responseFields } from "./headers.ts";
import type { Bridge } from "./bridge.ts";
import { HandshakeFailed, type Opened, openWebSocket } from "./handshake.ts";
import type { Server } from "./server.ts";
import type { Transport } from "./transport.ts";

/** What {@linkcode askBackend} needs of a request. */
export interface UpgradeAttempt {
  /** How the connection is opened. */
  transport: Transport;
  /** The backend that is asked. */
  backend: Backend;
  /** Path and query, without the backend's base path. */
  target: string;
  /** The request's fields as the backend gets them. */
  fields: Fields;
  /** Ends the attempt. */
  signal: AbortSignal;
  /** Milliseconds for the connecting, TLS handshake included. */
  connectTimeoutMs: number;
}

/**
 * Asks a backend for a WebSocket. Gives the open connection, or the answer of a
 * backend that does not grant it; a connection that is not given is closed.
 *
 * @throws {HandshakeFailed} If there is neither.
 */
export async function askBackend(
  { transport, backend, target, fields, signal, connectTimeoutMs }:
    UpgradeAttempt,
): Promise<Opened | Response> {
  const socket = await transport.dial(backend, signal, connectTimeoutMs)
    .catch((error) => {
      throw new HandshakeFailed(transport.undialled(error));
    });
  return await openWebSocket(socket, backend.basePath + target, fields, signal);
}

/** What {@linkcode acceptClient} needs of a request. */
export interface UpgradeAcceptance {
  /** How the client is upgraded. */
  server: Server;
  /** The client's request. */
  request: Request;
  /** What the server handed the handler with it. */
  connection: unknown;
  /** What the backend has granted. */
  opened: Opened;
  /** What the fields of the backend's 101 are rewritten with. */
  facts: ResponseFacts;
  /** Takes a line for the log. */
  log: (line: string) => void;
}

/**
 * Upgrades the client, whose messages the bridge gets from then on. Gives the
 * 101, or a status that says why there is none: 499 if the client has left, 501
 * if the server cannot do it. The bridge is then the caller's to abandon.
 */
export async function acceptClient(
  bridge: Bridge,
  { server, request, connection, opened, facts, log }: UpgradeAcceptance,
): Promise<Response | 499 | 501> {
  try {
    if (await server.present?.(request) === false) return 499;
    const fields = grantedFields(opened, facts);
    const { protocol } = opened;
    return server.accept(request, connection, { protocol, fields }, bridge);
  } catch (error) {
    if (server.left?.(request) === true) return 499;
    log(`cannot upgrade a request: ${String(error)}`);
    return 501;
  }
}

/** The fields of the client's 101. */
function grantedFields(opened: Opened, facts: ResponseFacts): Fields {
  // A 101 is what this connection goes on with, also while the proxy drains and
  // tells every other answer's client to close it.
  const added = facts.added?.filter(([name]) => name !== "connection") ?? [];
  // The id is ours and said once, whatever the backend calls the request.
  const said = added.some(([name]) => name === "x-request-id")
    ? opened.fields.filter(([name]) => name !== "x-request-id")
    : opened.fields;
  return responseFields(new Headers(said), { ...facts, added }) ?? said;
}

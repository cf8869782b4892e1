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
import type { Transport } from "./transport.ts";
import {
  type Bridge,
  HandshakeFailed,
  handshakeFailure,
  type Opened,
  shakeHands,
} from "./websocket.ts";

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
}

/**
 * Asks a backend for a WebSocket. Gives the open connection, or the answer of a
 * backend that does not grant it.
 *
 * @throws {HandshakeFailed} If there is neither.
 */
export async function askBackend(
  { transport, backend, target, fields, signal }: UpgradeAttempt,
): Promise<Opened | Response> {
  const socket = await transport.dial(backend, signal).catch((error) => {
    throw new HandshakeFailed(transport.undialled(error));
  });
  const left = () => socket.destroy();
  signal.addEventListener("abort", left, { once: true });
  try {
    const answer = await shakeHands(socket, backend.basePath + target, fields);
    if (!(answer instanceof Response)) {
      signal.removeEventListener("abort", left);
    }
    return answer;
  } catch (error) {
    socket.destroy();
    throw new HandshakeFailed(handshakeFailure(error));
  }
}

/** What {@linkcode acceptClient} needs of a request. */
export interface UpgradeAcceptance {
  /** How the client is upgraded. */
  transport: Transport;
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
export function acceptClient(
  bridge: Bridge,
  { transport, request, connection, opened, facts, log }: UpgradeAcceptance,
): Response | 499 | 501 {
  const fields = responseFields(new Headers(opened.fields), facts);
  try {
    return transport.accept(request, connection, {
      protocol: opened.protocol,
      fields: fields ?? opened.fields,
    }, bridge);
  } catch (error) {
    if (transport.left?.(request) === true) return 499;
    log(`cannot upgrade a request: ${String(error)}`);
    return 501;
  }
}

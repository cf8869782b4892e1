/**
 * Opens connections on Bun: TCP, TLS and Unix domain sockets.
 *
 * `Bun.connect` cannot be aborted before it has connected: each attempt at a
 * host that drops SYNs would hold a descriptor for two minutes. `node:net` can.
 * After it has connected, its streams are bypassed and Bun's own socket below
 * them is used, which returns how much of each write was sent. Measured on
 * 1.4.5.
 *
 * @module
 */

import type net from "node:net";
import { builtin } from "../../base/builtin.ts";
import {
  type ConnectOptions,
  type Destination,
  KEEP_ALIVE_MS,
  limited,
} from "../destination.ts";
import { addressOptions, connected, tlsOptions } from "../node_connect.ts";
import { BunSocket, handlers, type RawSocket } from "./socket.ts";

/** The socket below a connected `node:net` socket. */
interface Handle extends RawSocket {
  reload(options: { socket: typeof handlers }): void;
}

/**
 * Opens a connection.
 *
 * @throws The error of `node:net` or `node:tls`, the signal's reason, or an
 * `ETIMEDOUT`.
 */
export function connectBun(
  destination: Destination,
  options: ConnectOptions,
): Promise<BunSocket> {
  return limited(options, (ends) => {
    const socket = open(destination, options);
    const secure = destination.path === undefined &&
      destination.certifiedAs !== undefined;
    const event = secure ? "secureConnect" : "connect";
    return connected(socket, event, ends, () => taken(socket));
  });
}

function open(destination: Destination, { tls }: ConnectOptions): net.Socket {
  const { connect } = builtin("node:net");
  if (destination.path !== undefined) {
    return connect({ path: destination.path, allowHalfOpen: true });
  }
  const to = {
    ...addressOptions(destination),
    allowHalfOpen: true,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: KEEP_ALIVE_MS,
  };
  const { certifiedAs } = destination;
  return certifiedAs === undefined
    ? connect(to)
    : builtin("node:tls").connect({ ...to, ...tlsOptions(certifiedAs, tls) });
}

/** Takes the socket below a connected `node:net` socket. */
function taken(socket: net.Socket): BunSocket {
  const { _handle: handle } = socket as unknown as { _handle?: Handle };
  if (
    typeof handle?.reload !== "function" || typeof handle.write !== "function"
  ) throw new TypeError("Cannot connect: Bun's sockets are not as expected");
  handle.reload({ socket: handlers });
  return handle.data = new BunSocket(handle);
}

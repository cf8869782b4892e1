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
  NEXT_ADDRESS_MS,
  PROTOCOL,
} from "../destination.ts";
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
    const { promise, resolve, reject } = Promise.withResolvers<BunSocket>();
    const secure = destination.path === undefined &&
      destination.certifiedAs !== undefined;
    const socket = open(destination, options);
    const end = () => {
      socket.destroy();
      reject(ends.reason);
    };
    ends.addEventListener("abort", end, { once: true });
    // Stays: an error without a listener would end the process.
    socket.on("error", reject);
    socket.once("close", () => reject(new Error("Cannot connect: closed")));
    socket.once(secure ? "secureConnect" : "connect", () => {
      if (ends.aborted) return;
      try {
        resolve(taken(socket));
      } catch (error) {
        socket.destroy();
        reject(error);
      }
    });
    return promise.finally(() => ends.removeEventListener("abort", end));
  });
}

function open(
  destination: Destination,
  { tls: own }: ConnectOptions,
): net.Socket {
  const { connect, isIP } = builtin("node:net");
  if (destination.path !== undefined) {
    return connect({ path: destination.path, allowHalfOpen: true });
  }
  const { hostname, port, certifiedAs } = destination;
  const to = {
    host: hostname,
    port,
    allowHalfOpen: true,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: KEEP_ALIVE_MS,
    // `localhost` may be `::1` first while the backend has only 127.0.0.1, and
    // of several addresses one may be down.
    autoSelectFamily: true,
    autoSelectFamilyAttemptTimeout: NEXT_ADDRESS_MS,
  };
  if (certifiedAs === undefined) return connect(to);
  const { ca, cert, key } = own ?? {};
  return builtin("node:tls").connect({
    ...to,
    // An address is not a server name (RFC 6066 §3).
    ...(isIP(certifiedAs) === 0 ? { servername: certifiedAs } : {}),
    ALPNProtocols: [PROTOCOL],
    // Overrides NODE_TLS_REJECT_UNAUTHORIZED.
    rejectUnauthorized: true,
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined || key === undefined ? {} : { cert, key }),
  });
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

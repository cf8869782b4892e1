/**
 * How connections are opened on Bun: TCP, TLS and Unix domain sockets.
 *
 * `Bun.connect` cannot be ended before it has connected: each attempt at a host
 * that drops SYNs would hold a descriptor for two minutes. `node:net` can. Once
 * it has connected, its streams are left out and Bun's own socket below them is
 * used, which says of each write what was taken of it. Measured on 1.4.5.
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

/** What is below a connected `node:net` socket. */
interface Handle extends RawSocket {
  reload(options: { socket: typeof handlers }): void;
}

/**
 * Opens a connection.
 *
 * @throws What `node:net` and `node:tls` fail with, the signal's reason, or an
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
    // Stays, since an error without a listener would end the process.
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
    // `localhost` may be `::1` first, with a backend that has only 127.0.0.1;
    // and of several addresses one may be dead.
    autoSelectFamily: true,
    autoSelectFamilyAttemptTimeout: NEXT_ADDRESS_MS,
  };
  if (certifiedAs === undefined) return connect(to);
  const { ca, cert, key } = own ?? {};
  return builtin("node:tls").connect({
    ...to,
    // An address is no server name (RFC 6066 §3).
    ...(isIP(certifiedAs) === 0 ? { servername: certifiedAs } : {}),
    ALPNProtocols: [PROTOCOL],
    // Whatever NODE_TLS_REJECT_UNAUTHORIZED says.
    rejectUnauthorized: true,
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined || key === undefined ? {} : { cert, key }),
  });
}

/** Takes the socket below a `node:net` socket that has just connected. */
function taken(socket: net.Socket): BunSocket {
  const { _handle: handle } = socket as unknown as { _handle?: Handle };
  if (
    typeof handle?.reload !== "function" || typeof handle.write !== "function"
  ) throw new TypeError("Cannot connect: Bun's sockets are not as expected");
  handle.reload({ socket: handlers });
  return handle.data = new BunSocket(handle);
}

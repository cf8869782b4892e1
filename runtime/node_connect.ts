/**
 * Connecting by `node:net` and `node:tls`, on either runtime.
 *
 * @module
 */

import type net from "node:net";
import type tls from "node:tls";
import { builtin } from "../base/builtin.ts";
import type { BackendTlsOptions } from "../config/options.ts";
import { type HostAndPort, NEXT_ADDRESS_MS } from "./destination.ts";

/** The protocol offered by ALPN; this client knows no other. */
const PROTOCOL = "http/1.1";

/** The options that say where to connect. */
export function addressOptions(
  { hostname, port }: HostAndPort,
): net.TcpNetConnectOpts {
  return {
    host: hostname,
    port,
    // `localhost` may be `::1` first while the backend has only 127.0.0.1, and
    // of several addresses one may be down.
    autoSelectFamily: true,
    autoSelectFamilyAttemptTimeout: NEXT_ADDRESS_MS,
  };
}

/** The options for a server whose certificate has this name. */
export function tlsOptions(
  certifiedAs: string,
  { ca, cert, key }: BackendTlsOptions = {},
): tls.ConnectionOptions {
  const { isIP } = builtin("node:net");
  return {
    // An address is not a server name (RFC 6066 §3).
    ...(isIP(certifiedAs) === 0 ? { servername: certifiedAs } : {}),
    ALPNProtocols: [PROTOCOL],
    // Overrides NODE_TLS_REJECT_UNAUTHORIZED.
    rejectUnauthorized: true,
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined || key === undefined ? {} : { cert, key }),
  };
}

/**
 * Resolves with `take(socket)` once the socket is connected. `ends` aborts the
 * attempt.
 *
 * @throws The socket's error, what `take` throws, or the signal's reason.
 */
export function connected<T>(
  socket: net.Socket,
  event: "connect" | "secureConnect",
  ends: AbortSignal,
  take: () => T,
): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const end = () => {
    socket.destroy();
    reject(ends.reason);
  };
  ends.addEventListener("abort", end, { once: true });
  // Stays: an error without a listener would end the process.
  socket.on("error", reject);
  socket.once("close", () => reject(new Error("Cannot connect: closed")));
  socket.once(event, () => {
    if (ends.aborted) return;
    try {
      resolve(take());
    } catch (error) {
      socket.destroy();
      reject(error);
    }
  });
  return promise.finally(() => ends.removeEventListener("abort", end));
}

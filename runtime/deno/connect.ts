/**
 * How connections are opened on Deno: TCP, TLS and Unix domain sockets.
 *
 * Of the addresses of a name one more is tried every 250 ms until one answers (RFC
 * 8305).
 *
 * @module
 */

import type { CountingSocket } from "../../http/connection.ts";
import {
  type ConnectOptions,
  type Destination,
  type HostAndPort,
  limited,
  NEXT_ADDRESS_MS,
} from "../destination.ts";
import { DenoSocket } from "./socket.ts";
import { connectTls } from "./tls.ts";

/**
 * Opens a connection.
 *
 * @throws What Deno fails with, the signal's reason, or an `ETIMEDOUT`.
 */
export function connectDeno(
  destination: Destination,
  options: ConnectOptions,
): Promise<CountingSocket> {
  return limited(options, async (ends) => {
    if (destination.path !== undefined) {
      return new DenoSocket(await openUnix(destination.path, ends));
    }
    return destination.certifiedAs === undefined
      ? new DenoSocket(await openTcp(destination, ends))
      : await connectTls(destination, options, ends);
  });
}

async function openTcp(
  { hostname, port }: HostAndPort,
  signal: AbortSignal,
): Promise<Deno.TcpConn> {
  // Deno asks this when it has connected, too, and what throws there loses a
  // connection that nothing can close any more: one for each client that left at
  // that moment. An attempt that is ended fails without it.
  signal.throwIfAborted = () => {};
  let connection: Deno.TcpConn;
  try {
    connection = await Deno.connect({
      hostname,
      port,
      signal,
      autoSelectFamilyAttemptDelay: NEXT_ADDRESS_MS,
    });
  } catch (error) {
    throw signal.aborted ? signal.reason : error;
  }
  if (signal.aborted) {
    connection.close();
    throw signal.reason;
  }
  connection.setNoDelay(true);
  connection.setKeepAlive(true);
  return connection;
}

/** A path leads to a server on this machine: it answers at once, or is too busy. */
async function openUnix(path: string, signal: AbortSignal): Promise<Deno.Conn> {
  return await orEnded(Deno.connect({ transport: "unix", path }), signal);
}

/** What cannot be ended is closed when it comes too late. */
function orEnded<T extends Deno.Conn>(
  opening: Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  const end = () => reject(signal.reason);
  signal.addEventListener("abort", end, { once: true });
  if (signal.aborted) end();
  opening.then((connection) => {
    if (signal.aborted) connection.close();
    else resolve(connection);
  }, reject).finally(() => signal.removeEventListener("abort", end));
  return promise;
}

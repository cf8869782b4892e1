/**
 * Opens connections on Deno: TCP, TLS and Unix domain sockets.
 *
 * If a name has several addresses, another one is tried every 250 ms until one
 * connects (RFC 8305).
 *
 * @module
 */

import type { CountingSocket } from "../../http/socket.ts";
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
 * @throws The error of Deno, the signal's reason, or an `ETIMEDOUT`.
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
  // Deno calls this after connecting, too, and an exception would leak the
  // connection: one for each client that aborted at that moment. An aborted
  // attempt fails without it.
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

/** A path is on this machine: its server accepts at once, or is too busy. */
async function openUnix(path: string, signal: AbortSignal): Promise<Deno.Conn> {
  return await orEnded(Deno.connect({ transport: "unix", path }), signal);
}

/** Closes a connection that is opened after the attempt was aborted. */
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

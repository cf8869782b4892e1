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

/**
 * Milliseconds for which an attempt goes on that was given up. Deno loses one in
 * twenty of the connections whose attempt a signal ends just when they are made:
 * they stay open, and cannot be closed. After this time there is none to lose.
 */
const GIVEN_UP_MS = 1_000;

async function openTcp(
  { hostname, port }: HostAndPort,
  ends: AbortSignal,
): Promise<Deno.TcpConn> {
  const attempt = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const end = () => {
    timer = setTimeout(() => attempt.abort(), GIVEN_UP_MS);
  };
  ends.addEventListener("abort", end, { once: true });
  const opening = Deno.connect({
    hostname,
    port,
    signal: attempt.signal,
    autoSelectFamilyAttemptDelay: NEXT_ADDRESS_MS,
  }).finally(() => {
    clearTimeout(timer);
    ends.removeEventListener("abort", end);
  });
  const connection = await orEnded(opening, ends);
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

/**
 * How connections are opened on Deno: TCP, TLS and Unix domain sockets.
 *
 * Measured on 2.9.6: of the addresses of a name one is tried every 250 ms until
 * one answers (RFC 8305); a private authority counts in addition to the usual
 * ones; a certificate is checked for the name that is asked for, whatever address
 * it is asked at.
 *
 * @module
 */

import {
  type ConnectOptions,
  type Destination,
  type HostAndPort,
  limited,
  NEXT_ADDRESS_MS,
  PROTOCOL,
} from "../destination.ts";
import { DenoSocket } from "./socket.ts";

/**
 * Opens a connection.
 *
 * @throws What Deno fails with, the signal's reason, or an `ETIMEDOUT`.
 */
export function connectDeno(
  destination: Destination,
  options: ConnectOptions,
): Promise<DenoSocket> {
  return limited(options, async (ends) => {
    if (destination.path !== undefined) {
      return new DenoSocket(await openUnix(destination.path, ends));
    }
    const { certifiedAs } = destination;
    if (certifiedAs === undefined) {
      return new DenoSocket(await openTcp(destination, ends));
    }
    const connection = options.tls?.cert === undefined
      ? await startTls(destination, certifiedAs, options, ends)
      : await connectTls(destination, certifiedAs, options, ends);
    return new DenoSocket(await handshaken(connection, ends));
  });
}

async function openTcp(
  { hostname, port }: HostAndPort,
  signal: AbortSignal,
): Promise<Deno.TcpConn> {
  const connection = await Deno.connect({
    hostname,
    port,
    signal,
    autoSelectFamilyAttemptDelay: NEXT_ADDRESS_MS,
  });
  connection.setNoDelay(true);
  connection.setKeepAlive(true);
  return connection;
}

/** A path leads to a server on this machine: it answers at once, or is too busy. */
async function openUnix(path: string, signal: AbortSignal): Promise<Deno.Conn> {
  return await orEnded(Deno.connect({ transport: "unix", path }), signal);
}

async function startTls(
  destination: HostAndPort,
  hostname: string,
  { tls }: ConnectOptions,
  signal: AbortSignal,
): Promise<Deno.TlsConn> {
  const connection = await openTcp(destination, signal);
  return await Deno.startTls(connection, {
    hostname,
    caCerts: tls?.ca === undefined ? [] : [tls.ca],
    alpnProtocols: [PROTOCOL],
  });
}

/**
 * `startTls` can show no certificate of ours. `connectTls` can; for which name
 * it asks an address, Deno has told its own `node:tls` in a way that is not
 * public. Were it not heeded, the certificate would be checked for the address,
 * and refused.
 */
async function connectTls(
  { hostname, port }: HostAndPort,
  name: string,
  { tls }: ConnectOptions,
  signal: AbortSignal,
): Promise<Deno.TlsConn> {
  const { ca, cert, key } = tls ?? {};
  const options = {
    hostname,
    port,
    caCerts: ca === undefined ? [] : [ca],
    cert: cert!,
    key: key!,
    alpnProtocols: [PROTOCOL],
    autoSelectFamilyAttemptDelay: NEXT_ADDRESS_MS,
  };
  if (name !== hostname) {
    const { internal } = Deno as unknown as { internal: symbol };
    const inside = (Deno as unknown as Record<symbol, Inside | undefined>)[
      internal
    ];
    Object.assign(options, { [inside?.serverNameSymbol ?? Symbol()]: name });
  }
  return await orEnded(Deno.connectTls(options), signal);
}

/** What is used of Deno's inside. */
interface Inside {
  readonly serverNameSymbol?: symbol;
}

async function handshaken(
  connection: Deno.TlsConn,
  signal: AbortSignal,
): Promise<Deno.TlsConn> {
  const end = () => connection.close();
  signal.addEventListener("abort", end, { once: true });
  try {
    signal.throwIfAborted();
    await connection.handshake();
    return connection;
  } catch (error) {
    if (!signal.aborted) connection.close();
    throw signal.aborted ? signal.reason : error;
  } finally {
    signal.removeEventListener("abort", end);
  }
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

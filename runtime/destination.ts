/**
 * The addresses that connections to a backend go to.
 *
 * @module
 */

import type { Backend } from "../balancer.ts";
import type { BackendTlsOptions } from "../config/options.ts";
import type { Signal } from "../http/signal.ts";
import type { CountingSocket } from "../http/socket.ts";

/** An address to connect to. */
export type Destination = SocketPath | HostAndPort;

/** A Unix domain socket. */
export interface SocketPath {
  /** Its path. */
  readonly path: string;
}

/** A host. */
export interface HostAndPort {
  readonly path?: undefined;
  /** Its name, or its address without brackets. */
  readonly hostname: string;
  /** Its port. */
  readonly port: number;
  /** The name in its certificate; `undefined` for a plain connection. */
  readonly certifiedAs: string | undefined;
}

/** The destination of a backend. */
export function destinationOf(backend: Backend): Destination {
  if (backend.socketPath !== undefined) return { path: backend.socketPath };
  const { protocol, hostname, port } = new URL(backend.origin);
  const secure = protocol === "https:";
  return {
    hostname: bare(hostname),
    port: Number(port || (secure ? 443 : 80)),
    // If the address was looked up, the certificate is for the name.
    certifiedAs: secure ? bare(new URL(backend.ownOrigin).hostname) : undefined,
  };
}

/** An IPv6 address without brackets, as sockets require. */
function bare(hostname: string): string {
  return hostname.startsWith("[") ? hostname.slice(1, -1) : hostname;
}

/** Options for connecting. */
export interface ConnectOptions {
  /** Aborts the attempt. */
  signal: Signal;
  /** Timeout in milliseconds, TLS handshake included. */
  limitMs: number;
  /** TLS towards `https:` backends, as PEM text. */
  tls?: BackendTlsOptions | undefined;
}

/** Opens a connection; specific to the runtime. */
export type Open = (
  destination: Destination,
  options: ConnectOptions,
) => Promise<CountingSocket>;

/**
 * Milliseconds between attempts at several addresses of a name, as RFC 8305 §5
 * recommends. The default of both runtimes' `node:net` is twice as long.
 */
export const NEXT_ADDRESS_MS = 250;

/** Milliseconds of silence before the kernel probes the peer. */
export const KEEP_ALIVE_MS = 30_000;

/** An error with the code of the kernel's own timeout. */
export function timedOut(): Error {
  return Object.assign(new Error("Cannot connect: no answer in time"), {
    code: "ETIMEDOUT",
  });
}

/** Runs a task with a signal that aborts for either reason. */
export async function limited<T>(
  { signal, limitMs }: ConnectOptions,
  start: (ends: AbortSignal) => Promise<T>,
): Promise<T> {
  if (signal.aborted) throw signal.reason;
  const ends = new AbortController();
  const leave = { handleEvent: () => ends.abort(signal.reason) };
  signal.addEventListener("abort", leave);
  const timer = setTimeout(() => ends.abort(timedOut()), limitMs);
  try {
    return await start(ends.signal);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", leave);
  }
}

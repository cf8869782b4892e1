/**
 * Where connections to a backend go.
 *
 * @module
 */

import type { Backend } from "../balancer.ts";

/** A place to connect to. */
export type Destination = SocketPath | HostAndPort;

/** A Unix domain socket. */
export interface SocketPath {
  /** Its path. */
  readonly path: string;
}

/** A host. */
export interface HostAndPort {
  readonly path?: undefined;
  /** Its name or address, the latter without brackets. */
  readonly hostname: string;
  /** Its port. */
  readonly port: number;
  /** What its certificate has to be for; none for a plain connection. */
  readonly certifiedAs: string | undefined;
}

/** Where a backend is. */
export function destinationOf(backend: Backend): Destination {
  if (backend.socketPath !== undefined) return { path: backend.socketPath };
  const { protocol, hostname, port } = new URL(backend.origin);
  const secure = protocol === "https:";
  return {
    hostname: bare(hostname),
    port: Number(port || (secure ? 443 : 80)),
    // Of a backend whose address was looked up, the certificate has the name.
    certifiedAs: secure ? bare(new URL(backend.ownOrigin).hostname) : undefined,
  };
}

/** An address of version 6 without its brackets, as sockets want it. */
function bare(hostname: string): string {
  return hostname.startsWith("[") ? hostname.slice(1, -1) : hostname;
}

/** Options for connecting. */
export interface ConnectOptions {
  /** Ends the attempt, with its reason. */
  signal: AbortSignal;
  /** Milliseconds that it may take, TLS handshake included. */
  limitMs: number;
  /** TLS towards `https:` backends, as PEM text. */
  tls?: {
    ca?: string | undefined;
    cert?: string | undefined;
    key?: string | undefined;
  } | undefined;
}

/**
 * Milliseconds between two addresses of one name, as RFC 8305 §5 recommends. Left
 * alone, both runtimes' `node:net` wait for twice as long.
 */
export const NEXT_ADDRESS_MS = 250;

/** Milliseconds of silence after which the kernel asks whether a peer lives. */
export const KEEP_ALIVE_MS = 30_000;

/** What is offered by ALPN: this client speaks nothing else. */
export const PROTOCOL = "http/1.1";

/** An error with the code that the kernel's own limit has. */
export function timedOut(): Error {
  return Object.assign(new Error("Cannot connect: no answer in time"), {
    code: "ETIMEDOUT",
  });
}

/** Does something with a signal that fires when it is to end, for either reason. */
export async function limited<T>(
  { signal, limitMs }: ConnectOptions,
  start: (ends: AbortSignal) => Promise<T>,
): Promise<T> {
  signal.throwIfAborted();
  const ends = new AbortController();
  const leave = () => ends.abort(signal.reason);
  signal.addEventListener("abort", leave, { once: true });
  const timer = setTimeout(() => ends.abort(timedOut()), limitMs);
  try {
    return await start(ends.signal);
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", leave);
  }
}

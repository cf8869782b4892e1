/**
 * TLS connections on Deno, by `node:tls`.
 *
 * `Deno.startTls` does more requests (8 and not 13 µs a small one), but what it
 * makes cannot be given up: closed in the middle of a handshake, or with bytes
 * that its peer does not take, the connection stays open for as long as the peer
 * pleases. A backend that hangs would cost a descriptor for each attempt. Measured
 * on 2.9.6.
 *
 * @module
 */

import type net from "node:net";
import { builtin } from "../../base/builtin.ts";
import type { Chunk } from "../../http/bytes.ts";
import type { CountingSocket } from "../../http/connection.ts";
import type { SocketEvents } from "../../http/socket.ts";
import {
  type ConnectOptions,
  type HostAndPort,
  KEEP_ALIVE_MS,
  NEXT_ADDRESS_MS,
  PROTOCOL,
} from "../destination.ts";

/** Codes for a certificate that no authority vouches for. */
const UNKNOWN = /ISSUER|SELF_SIGNED|UNABLE_TO_VERIFY/;

/**
 * Opens a TLS connection; `ends` ends the attempt.
 *
 * @throws What `node:tls` fails with, or the signal's reason.
 */
export async function connectTls(
  destination: HostAndPort,
  options: ConnectOptions,
  ends: AbortSignal,
): Promise<CountingSocket> {
  try {
    return await connectOnce(destination, options.tls, ends);
  } catch (error) {
    // A private authority is believed in addition to the usual ones. `node:tls`
    // has it in their place, and which the usual ones are Deno tells only those
    // with `--allow-sys`: so they are asked second.
    const { code } = Object(error) as { code?: unknown };
    if (options.tls?.ca === undefined || !UNKNOWN.test(String(code))) {
      throw error;
    }
    const usual = { ...options.tls, ca: undefined };
    return await connectOnce(destination, usual, ends);
  }
}

function connectOnce(
  { hostname, port, certifiedAs = hostname }: HostAndPort,
  { ca, cert, key }: NonNullable<ConnectOptions["tls"]> = {},
  ends: AbortSignal,
): Promise<CountingSocket> {
  ends.throwIfAborted();
  const to = {
    host: hostname,
    port,
    autoSelectFamily: true,
    autoSelectFamilyAttemptTimeout: NEXT_ADDRESS_MS,
  };
  const { isIP } = builtin("node:net");
  const socket = builtin("node:tls").connect({
    ...to,
    // An address is no server name (RFC 6066 §3).
    ...(isIP(certifiedAs) === 0 ? { servername: certifiedAs } : {}),
    ALPNProtocols: [PROTOCOL],
    // Whatever NODE_TLS_REJECT_UNAUTHORIZED says.
    rejectUnauthorized: true,
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined || key === undefined ? {} : { cert, key }),
  });
  const { promise, resolve, reject } = Promise.withResolvers<CountingSocket>();
  const end = () => {
    socket.destroy();
    reject(ends.reason);
  };
  ends.addEventListener("abort", end, { once: true });
  // Stays, since an error without a listener would end the process.
  socket.on("error", reject);
  socket.once("close", () => reject(new Error("Cannot connect: closed")));
  socket.once("secureConnect", () => {
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    resolve(new NodeSocket(socket));
  });
  return promise.finally(() => ends.removeEventListener("abort", end));
}

/** A `node:tls` socket as the client and the bridge see it. */
export class NodeSocket implements CountingSocket {
  // To pause and to resume go through a stream's states.
  readonly ahead = 64 * 1024;
  readonly #socket: net.Socket;
  #events: SocketEvents | undefined;
  #written = 0;
  #unwritable: Error | undefined;
  #ended: { error: Error | undefined } | undefined;

  /** Takes over a socket, which it pauses. */
  constructor(socket: net.Socket) {
    this.#socket = socket;
    socket.on("data", (bytes) => this.#events?.data(bytes as unknown as Chunk));
    socket.on("drain", () => this.#events?.drained());
    socket.on("error", (error) => this.#unwritable = error);
    socket.once("end", () => this.#end(this.#unwritable));
    // Closed without an end is broken, also where there was no error.
    socket.once(
      "close",
      () => this.#end(this.#unwritable ?? new Error("Cannot read: closed")),
    );
    // Listening for data made it flow.
    socket.pause();
  }

  get queued(): number {
    return this.#socket.destroyed ? 0 : this.#socket.writableLength;
  }

  get left(): number {
    return this.#written - this.#socket.writableLength;
  }

  listen(events: SocketEvents): void {
    this.#events = events;
    if (this.#ended !== undefined) events.ended(this.#ended.error);
  }

  write(bytes: Chunk): void {
    if (this.#socket.destroyed) return;
    this.#written += bytes.length;
    // The client writes into the same memory again once nothing is queued.
    this.#socket.write(bytes, () => {
      if (this.#socket.writableLength === 0) this.#events?.drained();
    });
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  end(): void {
    this.#socket.end();
  }

  destroy(): void {
    this.#events = undefined;
    this.#socket.destroy();
  }

  #end(error: Error | undefined): void {
    if (this.#ended !== undefined) return;
    this.#ended = { error };
    this.#events?.ended(error);
  }
}

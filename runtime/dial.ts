/**
 * A plain connection to a backend, in the `node:` form that both runtimes have:
 * TCP, TLS or a Unix domain socket.
 *
 * @module
 */

import net from "node:net";
import tls from "node:tls";
import type { Backend } from "../balancer.ts";
import type { Chunk } from "../proxy/body.ts";
import type { Socket, SocketEvents } from "../proxy/socket.ts";
import type { TransportOptions } from "./transport_options.ts";

/** Milliseconds of silence after which the kernel asks whether a peer lives. */
const KEEP_ALIVE_MS = 30_000;

const onBun = "Bun" in globalThis;

/**
 * Connects to a backend.
 *
 * @throws What `node:net` and `node:tls` fail with, or the signal's reason.
 */
export async function dial(
  backend: Backend,
  signal: AbortSignal,
  options: TransportOptions["tls"],
): Promise<Socket> {
  try {
    return await dialOnce(backend, signal, options);
  } catch (error) {
    // A private authority is believed besides the usual ones. `node:tls` has it
    // in their place. On Bun the text holds both; Deno tells which the usual
    // ones are to those with `--allow-sys` only, so there they are asked second.
    const { code } = error as { code?: unknown };
    if (onBun || options?.ca === undefined || !UNKNOWN.test(String(code))) {
      throw error;
    }
    return await dialOnce(backend, signal, { ...options, ca: undefined });
  }
}

/** Codes for a certificate that no authority vouches for. */
const UNKNOWN = /ISSUER|SELF_SIGNED|UNABLE_TO_VERIFY/;

function dialOnce(
  backend: Backend,
  signal: AbortSignal,
  options: TransportOptions["tls"],
): Promise<Socket> {
  signal.throwIfAborted();
  const secure = backend.origin.startsWith("https:");
  const socket = connect(backend, secure, options);
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const left = () => {
    socket.destroy();
    reject(signal.reason);
  };
  signal.addEventListener("abort", left, { once: true });
  // Stays, since an error that nobody hears would end the process.
  socket.on("error", reject);
  socket.once("close", () => reject(new Error("Cannot connect: closed")));
  socket.once(secure ? "secureConnect" : "connect", () => {
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    resolve(new NodeSocket(socket));
  });
  return promise.finally(() => signal.removeEventListener("abort", left));
}

function connect(
  backend: Backend,
  secure: boolean,
  options: TransportOptions["tls"],
): net.Socket {
  if (backend.socketPath !== undefined) {
    return net.connect({ path: backend.socketPath, allowHalfOpen: true });
  }
  const { hostname, port } = new URL(backend.origin);
  // `node:net` wants an address of version 6 without its brackets.
  const host = hostname.replace(/^\[|\]$/g, "");
  const to = {
    host,
    port: Number(port || (secure ? 443 : 80)),
    allowHalfOpen: true,
    // `localhost` may be `::1` first, with a backend that has only 127.0.0.1.
    autoSelectFamily: true,
  };
  if (!secure) return net.connect(to);
  const { ca, cert, key } = options ?? {};
  // Of a backend whose address was looked up, the certificate has the name.
  const name = new URL(backend.ownOrigin).hostname.replace(/^\[|\]$/g, "");
  return tls.connect({
    ...to,
    // An address is no server name (RFC 6066 §3).
    ...(net.isIP(name) === 0 ? { servername: name } : {}),
    ALPNProtocols: ["http/1.1"],
    ...(ca === undefined ? {} : { ca }),
    ...(cert === undefined || key === undefined ? {} : { cert, key }),
  });
}

/** A `node:net` socket as the bridge sees it. */
class NodeSocket implements Socket {
  readonly #socket: net.Socket;
  #events: SocketEvents | undefined;
  #ended = false;
  #error: Error | undefined;

  constructor(socket: net.Socket) {
    this.#socket = socket;
    socket.pause();
    socket.on("data", (bytes) => this.#events?.data(bytes as unknown as Chunk));
    socket.on("drain", () => this.#events?.drained());
    socket.on("error", (error) => this.#error = error);
    socket.once("end", () => this.#end());
    socket.once("close", () => this.#end());
    // Listening for data made it flow again.
    socket.pause();
  }

  get queued(): number {
    return this.#socket.writableLength;
  }

  listen(events: SocketEvents): void {
    this.#events = events;
    if (this.#ended) events.ended(this.#error);
  }

  write(bytes: Chunk): void {
    if (!this.#socket.destroyed) this.#socket.write(bytes);
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
    this.#socket.destroy();
  }

  #end(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#events?.ended(this.#error);
  }
}

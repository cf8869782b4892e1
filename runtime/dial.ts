/**
 * A plain connection to a backend, in the `node:` form that both runtimes have:
 * TCP, TLS or a Unix domain socket.
 *
 * @module
 */

import net from "node:net";
import tls from "node:tls";
import type { Backend } from "../balancer.ts";
import { type Chunk, joined } from "../http/bytes.ts";
import type { Socket, SocketEvents } from "../http/socket.ts";
import type { TransportOptions } from "./transport_options.ts";

/** Milliseconds of silence after which the kernel asks whether a peer lives. */
const KEEP_ALIVE_MS = 30_000;

const onBun = "Bun" in globalThis;

/**
 * Milliseconds between two addresses of one name, as RFC 8305 §5 recommends.
 * Left alone, both runtimes wait for twice as long.
 */
const NEXT_ADDRESS_MS = 250;

/** Options of {@linkcode dial}. */
export interface DialOptions {
  /** TLS towards `https:` backends. */
  tls?: TransportOptions["tls"];
  /** How a name is looked up. Defaults to the system's way; tests pass theirs. */
  lookup?: net.TcpSocketConnectOpts["lookup"];
}

/**
 * Connects to a backend, in `limitMs` at most, TLS handshake included. Nothing of
 * a request has been sent when it fails.
 *
 * @throws What `node:net` and `node:tls` fail with, or the signal's reason.
 */
export async function dial(
  backend: Backend,
  signal: AbortSignal,
  limitMs: number,
  options: DialOptions = {},
): Promise<Socket> {
  const until = performance.now() + limitMs;
  try {
    return await dialOnce(backend, signal, until, options);
  } catch (error) {
    // A private authority is believed besides the usual ones. `node:tls` has it
    // in their place. On Bun the text holds both; Deno tells which the usual
    // ones are to those with `--allow-sys` only, so there they are asked second.
    const { code } = error as { code?: unknown };
    const { tls } = options;
    if (onBun || tls?.ca === undefined || !UNKNOWN.test(String(code))) {
      throw error;
    }
    const usual = { ...options, tls: { ...tls, ca: undefined } };
    return await dialOnce(backend, signal, until, usual);
  }
}

/** Codes for a certificate that no authority vouches for. */
const UNKNOWN = /ISSUER|SELF_SIGNED|UNABLE_TO_VERIFY/;

function dialOnce(
  backend: Backend,
  signal: AbortSignal,
  until: number,
  options: DialOptions,
): Promise<Socket> {
  signal.throwIfAborted();
  const secure = backend.origin.startsWith("https:");
  const socket = connect(backend, secure, options);
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const giveUp = (why: unknown) => {
    socket.destroy();
    reject(why);
  };
  const left = () => giveUp(signal.reason);
  signal.addEventListener("abort", left, { once: true });
  const timer = setTimeout(
    () => giveUp(timedOut()),
    Math.max(0, until - performance.now()),
  );
  // Stays, since an error without a listener would end the process.
  socket.on("error", reject);
  socket.once("close", () => reject(new Error("Cannot connect: closed")));
  socket.once(secure ? "secureConnect" : "connect", () => {
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    resolve(new NodeSocket(socket));
  });
  return promise.finally(() => {
    clearTimeout(timer);
    signal.removeEventListener("abort", left);
  });
}

/** An error with the code that the kernel's own limit has. */
function timedOut(): Error {
  return Object.assign(new Error("Cannot connect: no answer in time"), {
    code: "ETIMEDOUT",
  });
}

function connect(
  backend: Backend,
  secure: boolean,
  { tls: { ca, cert, key } = {}, lookup }: DialOptions,
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
    // `localhost` may be `::1` first, with a backend that has only 127.0.0.1;
    // and of several addresses one may be dead.
    autoSelectFamily: true,
    autoSelectFamilyAttemptTimeout: NEXT_ADDRESS_MS,
    ...(lookup === undefined ? {} : { lookup }),
  };
  if (!secure) return net.connect(to);
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

/** Bytes up to which writes of one turn are joined. */
const SMALL_WRITE = 4 * 1024;

/** A `node:net` socket as what reads and writes HTTP sees it. */
class NodeSocket implements Socket {
  readonly #socket: net.Socket;
  #events: SocketEvents | undefined;
  #ended = false;
  #error: Error | undefined;
  /** What was written in this turn. */
  #small: Chunk[] = [];
  #smallBytes = 0;

  constructor(socket: net.Socket) {
    this.#socket = socket;
    socket.pause();
    socket.on("data", (bytes) => this.#events?.data(bytes as unknown as Chunk));
    socket.on("drain", () => this.#events?.drained());
    socket.on("error", (error) => this.#error = error);
    socket.once("end", () => this.#end(this.#error));
    // Closed without an end is broken, also where there was no error.
    socket.once(
      "close",
      () => this.#end(this.#error ?? new Error("Cannot read: closed")),
    );
    // Listening for data made it flow again.
    socket.pause();
  }

  get queued(): number {
    return this.#socket.destroyed
      ? 0
      : this.#socket.writableLength + this.#smallBytes;
  }

  listen(events: SocketEvents): void {
    this.#events = events;
    if (this.#ended) events.ended(this.#error);
  }

  write(bytes: Chunk): void {
    if (this.#socket.destroyed) return;
    if (bytes.length > SMALL_WRITE) {
      this.#flush();
      this.#socket.write(bytes);
      return;
    }
    // A write costs ten times what a small message does, and a client may have
    // sent thousands of those in one piece.
    if (this.#smallBytes === 0) queueMicrotask(() => this.#flush());
    this.#small.push(bytes);
    this.#smallBytes += bytes.length;
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  end(): void {
    this.#flush();
    this.#socket.end();
  }

  destroy(): void {
    this.#flush();
    this.#socket.destroy();
  }

  #flush(): void {
    if (this.#smallBytes === 0) return;
    const bytes = joined(this.#small);
    this.#small = [];
    this.#smallBytes = 0;
    if (!this.#socket.destroyed) this.#socket.write(bytes);
  }

  #end(error: Error | undefined): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    this.#events?.ended(error);
  }
}

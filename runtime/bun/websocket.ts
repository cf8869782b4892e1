/**
 * A client's WebSocket on Bun's server. Measured on 1.4.5.
 *
 * @module
 */

import type { Chunk } from "../../http/bytes.ts";
import type {
  Acceptance,
  ClientEnd,
  ClientEvents,
} from "../../proxy/socket.ts";

/** The part of Bun's `ServerWebSocket` that is used. */
interface BunSocket {
  readonly data: SocketData;
  send(data: string | Chunk): number;
  getBufferedAmount(): number;
  close(code: number, reason?: string): void;
  terminate(): void;
  pause(): void;
  resume(): void;
}

/** The data of a socket. */
interface SocketData {
  readonly events: ClientEvents;
}

/** The `websocket` option of `Bun.serve`. */
export interface BunWebSocketHandlers {
  /**
   * Seconds of silence after which a connection is closed; pings come first.
   */
  readonly idleTimeout: number;
  /** Maximum bytes of a message. */
  readonly maxPayloadLength: number;
  /** Bytes that may be queued for a client; above it, messages are dropped. */
  readonly backpressureLimit: number;
  /** Whether compression is offered. */
  readonly perMessageDeflate: boolean;
  /** A connection is open. */
  open(socket: unknown): void;
  /** A message was received. */
  message(socket: unknown, data: unknown): void;
  /** There is room again. */
  drain(socket: unknown): void;
  /** It has ended. */
  close(socket: unknown, code: number, reason: string): void;
}

/** Bytes queued for a client above which its backend is not read. */
const HIGH_WATER = 1024 * 1024;
/** For this code, Bun sends a close frame without a code. */
const NO_CODE = 1005;

/**
 * Connects Bun's server to the bridges; one object for all sockets of a server.
 * Bun's own limit for messages is 16 MB.
 */
export function bunWebSocket(maxMessageBytes: number): BunWebSocketHandlers {
  return {
    idleTimeout: 120,
    maxPayloadLength: maxMessageBytes,
    // The bridge stops long before; above this, Bun would drop messages.
    backpressureLimit: 1024 * 1024 * 1024,
    perMessageDeflate: false,
    open(socket) {
      const ws = socket as BunSocket;
      ws.data.events.opened(new BunEnd(ws));
    },
    message(socket, data) {
      (socket as BunSocket).data.events.message(data as string | Chunk);
    },
    drain(socket) {
      (socket as BunSocket).data.events.drained();
    },
    close(socket, code, reason) {
      (socket as BunSocket).data.events.closed(code, reason);
    },
  };
}

/** The part of Bun's server that is used. */
interface BunUpgrader {
  upgrade(
    request: Request,
    options: { data: SocketData; headers: [string, string][] },
  ): boolean;
}

/** Upgrades a request to a WebSocket. */
export function acceptBun(
  request: Request,
  connection: unknown,
  { protocol, fields }: Acceptance,
  events: ClientEvents,
): Response {
  const server = connection as Partial<BunUpgrader> | undefined;
  if (server?.upgrade === undefined) {
    throw new TypeError("Cannot upgrade: the handler was given no Bun server");
  }
  let upgraded: boolean;
  try {
    upgraded = server.upgrade(request, {
      data: { events },
      // Empty for none: if absent, Bun chooses the first one requested.
      headers: [["sec-websocket-protocol", protocol ?? ""], ...fields],
    });
  } catch (cause) {
    throw new TypeError(
      "Cannot upgrade: hand proxy.websocket to Bun.serve as its `websocket`",
      { cause },
    );
  }
  if (!upgraded) throw new Error("Cannot upgrade: the client has left");
  // The 101 was sent, and Bun ignores the response. It is right nevertheless,
  // for wrappers around the handler.
  return new Response(null, { status: 101 });
}

class BunEnd implements ClientEnd {
  readonly #socket: BunSocket;

  constructor(socket: BunSocket) {
    this.#socket = socket;
  }

  get queued(): number {
    return this.#socket.getBufferedAmount();
  }

  send(data: string | Chunk): boolean {
    // Its result does not distinguish an empty message from a dropped one.
    this.#socket.send(data);
    return this.#socket.getBufferedAmount() < HIGH_WATER;
  }

  close(code: number | undefined, reason: string): void {
    // A paused socket would not see the peer's close frame.
    this.#socket.resume();
    this.#socket.close(code ?? NO_CODE, reason);
  }

  cut(): void {
    this.#socket.terminate();
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }
}

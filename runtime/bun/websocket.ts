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

/** The part of Bun's `ServerWebSocket` that is used here. */
interface BunSocket {
  readonly data: Joint;
  send(data: string | Chunk): number;
  getBufferedAmount(): number;
  close(code: number, reason?: string): void;
  terminate(): void;
  pause(): void;
  resume(): void;
}

/** What a socket carries from the upgrade to its handlers. */
interface Joint {
  readonly events: ClientEvents;
}

/** What `Bun.serve` takes as its `websocket`. */
export interface BunWebSocketHandlers {
  /** Seconds of silence after which a connection is ended; pings come first. */
  readonly idleTimeout: number;
  /** Bytes of a message. */
  readonly maxPayloadLength: number;
  /** Bytes that may wait for a client; past them messages would be dropped. */
  readonly backpressureLimit: number;
  /** Whether compression is offered. */
  readonly perMessageDeflate: boolean;
  /** A connection stands. */
  open(socket: unknown): void;
  /** A message came. */
  message(socket: unknown, data: unknown): void;
  /** There is room again. */
  drain(socket: unknown): void;
  /** It is over. */
  close(socket: unknown, code: number, reason: string): void;
}

/** Bytes that wait for a client past which its backend has to wait. */
const ENOUGH = 1024 * 1024;
/** "No code": what Bun sends for it is a close frame without one. */
const NO_CODE = 1005;

/**
 * Joins Bun's server to the bridges: one object for all sockets of a server.
 * Messages may have `maxMessageBytes`; Bun's own limit is 16 MB.
 */
export function bunWebSocket(maxMessageBytes: number): BunWebSocketHandlers {
  return {
    idleTimeout: 120,
    maxPayloadLength: maxMessageBytes,
    // The bridge stops long before; at the limit Bun would drop messages.
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

/** The part of Bun's server that is used here. */
interface BunUpgrader {
  upgrade(
    request: Request,
    options: { data: Joint; headers: [string, string][] },
  ): boolean;
}

/** Makes a WebSocket of a request. */
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
      // Empty for "none": left out, Bun chooses the first that was asked for.
      headers: [["sec-websocket-protocol", protocol ?? ""], ...fields],
    });
  } catch (cause) {
    throw new TypeError(
      "Cannot upgrade: hand proxy.websocket to Bun.serve as its `websocket`",
      { cause },
    );
  }
  if (!upgraded) throw new Error("Cannot upgrade: the client has left");
  // The 101 is out, and Bun looks at no answer to this request any more. It is
  // one all the same, for whoever stands between here and the server.
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
    // What it returns cannot tell an empty message from a dropped one.
    this.#socket.send(data);
    return this.#socket.getBufferedAmount() < ENOUGH;
  }

  close(code: number | undefined, reason: string): void {
    // A socket that is paused would not see the answer.
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

/**
 * A client's WebSocket on Deno's server. Measured on 2.9.6.
 *
 * Limits of Deno's API: reading cannot be paused, so a client that sends faster
 * than its backend reads is limited by the bridge; a connection cannot be ended
 * without a close frame, so a backend that ends without one gives its client
 * 1014; and a client that violates the protocol is not told why, since Deno has
 * closed the connection by then.
 *
 * @module
 */

import type { Chunk } from "../../http/bytes.ts";
import type {
  Acceptance,
  ClientEnd,
  ClientEvents,
} from "../../proxy/socket.ts";
import { keepWebSocket } from "./listen_tls.ts";

/** Seconds of silence after which a client is pinged. */
const IDLE_S = 120;
/** Bytes queued for a client above which its backend is not read. */
const HIGH_WATER = 1024 * 1024;
/** Milliseconds between two polls of the queue; there is no event for it. */
const POLL_MS = { first: 1, last: 32 };
/** Bad gateway, in IANA's registry of close codes. */
const BAD_GATEWAY = 1014;

/**
 * Whether a request's client is still connected. If an upgraded client was
 * reset, Deno keeps the connection forever without any event: no `open`,
 * `error` or `close`. The request's signal reports the reset, once it was read
 * and the server has had some turns. Only a reset in the same millisecond as
 * the 101 is missed.
 */
export async function isPresent({ signal }: Request): Promise<boolean> {
  for (let turn = 0; turn < TURNS && !signal.aborted; turn++) {
    await new Promise<void>((resolve) => setTimeout(resolve, 0));
  }
  return !signal.aborted;
}

/**
 * Turns of the event loop until a closed connection is reported: in the first
 * the server sees it, in the second it is passed on. With one turn, nine of 120
 * were missed on a busy machine.
 */
const TURNS = 2;

/** Upgrades a request to a WebSocket; returns its 101. */
export function acceptDeno(
  request: Request,
  { protocol, fields }: Acceptance,
  events: ClientEvents,
): Response {
  // Checked before the upgrade: afterwards Deno requires exactly that response,
  // and any other one ends the whole server.
  const headers = new Headers(fields);
  if (protocol !== undefined) headers.set("sec-websocket-protocol", protocol);
  const { socket, response } = Deno.upgradeWebSocket(request, {
    idleTimeout: IDLE_S,
  });
  keepWebSocket(request, socket);
  // The head was not sent yet, so fields can be added. The subprotocol as well:
  // as an option it is matched with the request by a rule that splits `a, b`
  // but not `a,b`.
  for (const [name, value] of headers) response.headers.append(name, value);
  socket.binaryType = "arraybuffer";
  const end = new DenoEnd(socket, events);
  socket.onopen = () => events.opened(end);
  socket.onmessage = ({ data }) =>
    events.message(typeof data === "string" ? data : new Uint8Array(data));
  // 0 means that there was no close frame, which is 1006 elsewhere.
  socket.onclose = ({ code, reason }) => {
    end.over();
    events.closed(code === 0 ? 1006 : code, reason);
  };
  // `close` follows, with all details.
  socket.onerror = (event) => event.preventDefault();
  return response;
}

class DenoEnd implements ClientEnd {
  readonly #socket: WebSocket;
  readonly #events: ClientEvents;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(socket: WebSocket, events: ClientEvents) {
    this.#socket = socket;
    this.#events = events;
  }

  get queued(): number {
    return this.#socket.bufferedAmount;
  }

  send(data: string | Chunk): boolean {
    this.#socket.send(data);
    if (this.#socket.bufferedAmount < HIGH_WATER) return true;
    this.#timer ??= this.#poll(POLL_MS.first);
    return false;
  }

  close(code: number | undefined, reason: string): void {
    if (code === undefined) this.#socket.close();
    else this.#socket.close(code, reason);
  }

  cut(): void {
    this.#socket.close(BAD_GATEWAY);
  }

  over(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #poll(ms: number): ReturnType<typeof setTimeout> {
    return setTimeout(() => {
      if (this.#socket.bufferedAmount < HIGH_WATER) {
        this.#timer = undefined;
        this.#events.drained();
      } else {
        this.#timer = this.#poll(Math.min(ms * 2, POLL_MS.last));
      }
    }, ms);
  }
}

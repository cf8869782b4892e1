/**
 * A client's WebSocket on Deno's server. Measured on 2.9.6.
 *
 * What its API does not let be done: reading cannot be paused, so a client that
 * sends faster than its backend reads is bounded by the bridge; a connection
 * cannot be ended without a close frame, so the end of a backend that says
 * nothing reaches its client as 1014; and a client that breaks the protocol is
 * not told which rule it broke, since Deno has closed the connection by then.
 *
 * @module
 */

import type { Chunk } from "../proxy/body.ts";
import type { Acceptance, ClientEnd, ClientEvents } from "../proxy/socket.ts";
import { keepWebSocket } from "./tls_deno.ts";

/** Seconds of silence after which a client is asked whether it is there. */
const IDLE_S = 120;
/** Bytes that wait for a client past which its backend has to wait. */
const ENOUGH = 1024 * 1024;
/** Milliseconds between two looks at them; nothing tells when they have left. */
const LOOK_MS = { first: 1, last: 32 };
/** Bad gateway, in IANA's registry of close codes. */
const BAD_GATEWAY = 1014;

/** Makes a WebSocket of a request, and its 101. */
export function acceptDeno(
  request: Request,
  { protocol, fields }: Acceptance,
  events: ClientEvents,
): Response {
  const { socket, response } = Deno.upgradeWebSocket(request, {
    idleTimeout: IDLE_S,
  });
  keepWebSocket(request, socket);
  // The head has not left yet, and what is added here goes out with it. The
  // subprotocol too: as an option it is looked for in the request by a rule that
  // takes `a, b` apart and not `a,b`.
  if (protocol !== undefined) {
    response.headers.set("sec-websocket-protocol", protocol);
  }
  for (const [name, value] of fields) response.headers.append(name, value);
  socket.binaryType = "arraybuffer";
  const end = new DenoEnd(socket, events);
  socket.onopen = () => events.opened(end);
  socket.onmessage = ({ data }) =>
    events.message(typeof data === "string" ? data : new Uint8Array(data));
  // It is 0 when there was no close frame, which everybody else calls 1006.
  socket.onclose = ({ code, reason }) => {
    end.over();
    events.closed(code === 0 ? 1006 : code, reason);
  };
  // `close` follows, and says all that there is to know.
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

  send(data: string | Chunk): boolean {
    this.#socket.send(data);
    if (this.#socket.bufferedAmount < ENOUGH) return true;
    this.#timer ??= this.#look(LOOK_MS.first);
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

  #look(ms: number): ReturnType<typeof setTimeout> {
    return setTimeout(() => {
      if (this.#socket.bufferedAmount < ENOUGH) {
        this.#timer = undefined;
        this.#events.drained();
      } else {
        this.#timer = this.#look(Math.min(ms * 2, LOOK_MS.last));
      }
    }, ms);
  }
}

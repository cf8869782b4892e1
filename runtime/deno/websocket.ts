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

import type { Chunk } from "../../http/bytes.ts";
import type {
  Acceptance,
  ClientEnd,
  ClientEvents,
} from "../../proxy/socket.ts";
import { keepWebSocket } from "./listen_tls.ts";

/** Seconds of silence after which a client is asked whether it is there. */
const IDLE_S = 120;
/** Bytes that wait for a client past which its backend has to wait. */
const ENOUGH = 1024 * 1024;
/** Milliseconds between two looks at them; nothing tells when they have left. */
const LOOK_MS = { first: 1, last: 32 };
/** Bad gateway, in IANA's registry of close codes. */
const BAD_GATEWAY = 1014;

/**
 * Whether a request's client is still there. Of an upgrade whose client was reset
 * Deno keeps the connection for ever, and tells nothing of it: neither `open` nor
 * `error` nor `close` comes. The signal knows of it, once it was touched and the
 * server has had its turns. What is left is a client that is reset in the very
 * millisecond in which its 101 is sent.
 */
export async function isPresent({ signal }: Request): Promise<boolean> {
  for (let turn = 0; turn < TURNS && !signal.aborted; turn++) {
    await new Promise<void>((resolve) => setTimeout(resolve, 0));
  }
  return !signal.aborted;
}

/**
 * Turns of the event loop until the end of a connection that lies in the kernel
 * is known here: in one the server sees it, and in the next this is told. With
 * one, nine of 120 were not known on a busy machine.
 */
const TURNS = 2;

/** Makes a WebSocket of a request, and its 101. */
export function acceptDeno(
  request: Request,
  { protocol, fields }: Acceptance,
  events: ClientEvents,
): Response {
  // Checked before the upgrade: from then on Deno wants just that answer, and
  // ends the whole server when it gets another one.
  const headers = new Headers(fields);
  if (protocol !== undefined) headers.set("sec-websocket-protocol", protocol);
  const { socket, response } = Deno.upgradeWebSocket(request, {
    idleTimeout: IDLE_S,
  });
  keepWebSocket(request, socket);
  // The head has not left yet, and what is added here goes out with it. The
  // subprotocol too: as an option it is looked for in the request by a rule that
  // takes `a, b` apart and not `a,b`.
  for (const [name, value] of headers) response.headers.append(name, value);
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

  get queued(): number {
    return this.#socket.bufferedAmount;
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

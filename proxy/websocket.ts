/**
 * WebSocket: the handshake with a backend, and the bridge between its connection
 * and a client's WebSocket.
 *
 * The backend is asked first. What it says, a refusal with its body as well as
 * the subprotocol that it chooses, is what the client is told; only then is the
 * client's connection upgraded. From there on messages go to and fro, whole,
 * since the runtimes' servers know no frames; pings are answered on each side
 * by whoever is asked (RFC 6455 §5.5.2 lets them go no further). Whatever one
 * side does not take yet, the other side is kept from sending.
 *
 * @module
 */

import type { Chunk } from "./body.ts";
import {
  CLOSE,
  closeFrame,
  frameOf,
  FrameReader,
  mayBeSent,
  OPCODE,
} from "./frames.ts";
import type { Refusal } from "./guard.ts";
import type { Fields, Read } from "./headers.ts";
import {
  type AnswerHead,
  bodyPieces,
  ByteReader,
  Ended,
  lengthOf,
  listed,
  Malformed,
  readAnswerHead,
} from "./raw_answer.ts";
import type { ClientEnd, ClientEvents, Socket } from "./socket.ts";
import type { Failure } from "./transport.ts";

/**
 * Bytes of a message from a backend. Deno's server takes as much from a client,
 * which cannot be set, and Bun's is set to it.
 */
export const MAX_MESSAGE = 64 * 1024 * 1024;

/** Bytes on their way to a backend past which the client has to wait. */
const ENOUGH = 1024 * 1024;
/**
 * The same where a client cannot be made to wait, which is Deno: past it the
 * client is told that messages are lost, with 1013. One message may come on top
 * of it, so a bridge holds 128 MB at worst, and two of the largest fit.
 */
const TOO_MUCH = 64 * 1024 * 1024;
/** Milliseconds without any progress after which a side that is closing is cut. */
const LINGER_MS = 10_000;
/** Milliseconds that a backend has to end a connection that was closed. */
const FAREWELL_MS = 1_000;

const NO_KEY: Refusal = {
  status: 400,
  type: "http_request_error",
  sentence: "Bad request: a WebSocket handshake needs one valid key.",
};
/** RFC 6455 §4.4, RFC 9110 §15.5.22. */
const OTHER_VERSION: Refusal = {
  status: 426,
  type: "http_request_error",
  sentence: "Upgrade required: the only WebSocket version spoken is 13.",
  fields: { "sec-websocket-version": "13", upgrade: "websocket" },
};

function hasToken(list: string | null | undefined, token: string): boolean {
  return list !== null && list !== undefined &&
    list.toLowerCase().split(",").some((element) => element.trim() === token);
}

/**
 * Whether a GET is a WebSocket handshake, and whether it is a good one. Any other
 * `Upgrade` is nobody's business here: it is dropped, as RFC 9110 §7.8 allows.
 */
export function handshakeOf(headers: Read): boolean | Refusal {
  const upgrade = headers.get("upgrade");
  if (
    upgrade === null || !hasToken(upgrade, "websocket") ||
    !hasToken(headers.get("connection"), "upgrade")
  ) return false;
  // RFC 6455 §4.2.1: sixteen bytes in base64.
  const key = headers.get("sec-websocket-key");
  if (key === null || !/^[A-Za-z0-9+/]{21}[AQgw]==$/.test(key)) return NO_KEY;
  return headers.get("sec-websocket-version") === "13" || OTHER_VERSION;
}

/** Fields of a handshake that concern one connection, or are said anew. */
const OWN_FIELDS: ReadonlySet<string> = new Set([
  "sec-websocket-key",
  "sec-websocket-version",
  "sec-websocket-accept",
  // No extension is spoken here, so none is asked for on anybody's behalf.
  "sec-websocket-extensions",
]);

/** A handshake with a backend came to nothing. */
export class HandshakeFailed extends Error {
  override readonly name = "HandshakeFailed";

  constructor(
    /** What it means. */
    readonly failure: Failure,
  ) {
    super(`Cannot shake hands: ${failure.reason}`);
  }
}

/** What an error of {@linkcode shakeHands} means. */
export function handshakeFailure(error: unknown): Failure {
  if (error instanceof Malformed) {
    return {
      type: "http_protocol_error",
      sent: true,
      fault: "backend",
      reason: "the answer to a WebSocket handshake was not valid",
    };
  }
  return {
    type: "connection_terminated",
    sent: true,
    fault: "backend",
    reason: error instanceof Ended
      ? "the connection was closed before the answer"
      : "the connection broke before the answer",
  };
}

/** A backend that has said 101. */
export class Opened {
  constructor(
    /** The connection. */
    readonly socket: Socket,
    /** What it said; the handshake's own fields are not among them. */
    readonly fields: Fields,
    /** The subprotocol it chose. */
    readonly protocol: string | undefined,
    /** What came after the head. */
    readonly rest: readonly Chunk[],
  ) {}
}

/**
 * Asks a backend for a WebSocket. An answer other than 101 is handed on as the
 * answer it is; its body is read from the connection as it is asked for.
 *
 * @throws {Malformed | Ended} If the answer cannot be read, or breaks RFC 6455.
 */
export async function shakeHands(
  socket: Socket,
  target: string,
  fields: Fields,
): Promise<Opened | Response> {
  const key = base64(crypto.getRandomValues(new Uint8Array(16)));
  const asked = listed(fields, "sec-websocket-protocol");
  const reader = new ByteReader(socket);
  socket.write(handshakeBytes(target, key, fields));
  const head = await readAnswerHead(reader);
  if (head.status !== 101) return refusal(socket, reader, head);
  const protocol = listed(head.fields, "sec-websocket-protocol");
  // RFC 6455 §4.1, the list at its end.
  if (
    !hasToken(listed(head.fields, "upgrade"), "websocket") ||
    !hasToken(listed(head.fields, "connection"), "upgrade") ||
    listed(head.fields, "sec-websocket-accept") !== await acceptOf(key) ||
    listed(head.fields, "sec-websocket-extensions") !== undefined ||
    (protocol !== undefined &&
      !(asked ?? "").split(",").some((one) => one.trim() === protocol))
  ) throw new Malformed("Cannot open: not a 101 that was asked for");
  const said = head.fields.filter(([name]) =>
    !OWN_FIELDS.has(name) && name !== "sec-websocket-protocol" &&
    // Each server says its own.
    name !== "date" && name !== "content-length"
  );
  return new Opened(socket, said, protocol, reader.rest());
}

function handshakeBytes(target: string, key: string, fields: Fields): Chunk {
  let text = `GET ${target} HTTP/1.1\r\n`;
  for (const [name, value] of fields) {
    if (!OWN_FIELDS.has(name)) text += `${name}: ${value}\r\n`;
  }
  text += "connection: Upgrade\r\nupgrade: websocket\r\n" +
    `sec-websocket-version: 13\r\nsec-websocket-key: ${key}\r\n\r\n`;
  // Field values are bytes, one a character.
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

/** What the answer to a key is (RFC 6455 §4.2.2). */
async function acceptOf(key: string): Promise<string> {
  const text = `${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
  const bytes = new TextEncoder().encode(text);
  return base64(new Uint8Array(await crypto.subtle.digest("SHA-1", bytes)));
}

function base64(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes));
}

/** The answer of a backend that does not want to. */
function refusal(
  socket: Socket,
  reader: ByteReader,
  head: AnswerHead,
): Response {
  const { status, fields } = head;
  if (status < 200) throw new Malformed("Cannot read: no final answer");
  const length = lengthOf(head);
  const init = { status, headers: withoutTwoFramings(fields, length) };
  if (length === 0) {
    socket.destroy();
    const bodiless = status === 204 || status === 205 || status === 304;
    return new Response(bodiless ? null : new Uint8Array(0), init);
  }
  const next = bodyPieces(reader, length);
  return new Response(
    new ReadableStream<Chunk>({
      async pull(controller) {
        try {
          const piece = await next();
          if (piece !== undefined) return controller.enqueue(piece);
          controller.close();
        } catch (error) {
          controller.error(error);
        }
        socket.destroy();
      },
      cancel: () => socket.destroy(),
    }, { highWaterMark: 0 }),
    init,
  );
}

/** A length beside chunks does not count, and is passed on to nobody. */
function withoutTwoFramings(
  fields: Fields,
  length: number | string,
): Fields {
  return typeof length === "number"
    ? fields
    : fields.filter(([name]) => name !== "content-length");
}

/** Options of a {@linkcode Bridge}. */
export interface BridgeOptions {
  /** Calls when both sides have ended. Once. */
  over: () => void;
  /** Takes a line for the log. */
  log: (line: string) => void;
  /** Milliseconds on a clock that never goes back. */
  now: () => number;
}

/** One WebSocket through the proxy. */
export class Bridge implements ClientEvents {
  readonly #socket: Socket;
  readonly #options: BridgeOptions;
  readonly #reader: FrameReader;
  readonly #rest: readonly Chunk[];
  #client: ClientEnd | undefined;
  /** Nothing is sent to the client any more. */
  #clientClosed = false;
  /** The client's side is over. */
  #clientOver = false;
  #clientWaits = false;
  /** The backend was sent a close frame, or the end without one. */
  #backendClosed = false;
  /** The backend has said that it sends no more. */
  #backendSaid = false;
  #backendOver = false;
  #leaving = false;
  #over = false;
  /** When something last moved on the way to the end. */
  #movedAt: number;
  #queued = 0;
  /** Bytes of messages to the client. */
  bytes = 0;

  /** Makes a bridge of a backend's connection, for a client still to come. */
  constructor({ socket, rest }: Opened, options: BridgeOptions) {
    this.#socket = socket;
    this.#rest = rest;
    this.#options = options;
    this.#movedAt = options.now();
    this.#reader = new FrameReader({
      message: (data) => this.#toClient(data),
      ping: (payload) => {
        // The last of many is enough (RFC 6455 §5.5.3).
        if (!this.#backendClosed && socket.queued < ENOUGH) {
          socket.write(frameOf(OPCODE.pong, payload));
        }
      },
      closed: (code, reason) => {
        this.#backendSaid = true;
        this.#closeBackend(code, reason);
        this.#closeClient(code, reason);
      },
      failed: (code, reason) => {
        this.#backendSaid = true;
        options.log(`a backend's WebSocket breaks the rules: ${reason}`);
        this.#closeBackend(code, reason);
        socket.end();
        this.#cutClient();
      },
    }, MAX_MESSAGE);
  }

  opened(end: ClientEnd): void {
    this.#client = end;
    if (this.#leaving) this.#closeClient(CLOSE.goingAway, "");
    for (const bytes of this.#rest) this.#reader.push(bytes);
    this.#socket.listen({
      data: (bytes) => this.#reader.push(bytes),
      ended: () => this.#backendEnded(),
      drained: () => {
        if (!this.#clientWaits) return;
        this.#clientWaits = false;
        end.resume?.();
      },
    });
    if (!this.#reader.paused) this.#socket.resume();
  }

  message(data: string | Chunk): void {
    if (this.#backendClosed || this.#backendOver) return;
    const socket = this.#socket;
    const opcode = typeof data === "string" ? OPCODE.text : OPCODE.binary;
    socket.write(frameOf(opcode, data));
    if (socket.queued < ENOUGH) return;
    if (this.#client?.pause !== undefined) {
      this.#clientWaits = true;
      this.#client.pause();
    } else if (socket.queued > TOO_MUCH) {
      this.#options.log("a backend reads a WebSocket too slowly: closed");
      this.#closeClient(CLOSE.tryAgainLater, "the backend reads too slowly");
      this.#closeBackend(CLOSE.goingAway, "");
    }
  }

  drained(): void {
    this.#reader.resume();
    if (!this.#reader.paused) this.#socket.resume();
  }

  closed(code: number, reason: string): void {
    if (this.#clientOver) return;
    this.#clientOver = this.#clientClosed = true;
    if (mayBeSent(code)) {
      this.#closeBackend(code, reason);
    } else if (code === CLOSE.none) {
      this.#closeBackend(undefined, "");
    } else if (!this.#backendClosed) {
      // Said as it happened: the end without a close frame.
      this.#backendClosed = true;
      this.#socket.end();
    }
    // What still comes is for nobody, and has to be read to see the end.
    this.drained();
    this.#moved();
    this.#check();
  }

  /** Closes both sides, since this process ends. */
  goAway(): void {
    if (this.#leaving) return;
    this.#leaving = true;
    this.#closeClient(CLOSE.goingAway, "");
    this.#closeBackend(CLOSE.goingAway, "");
  }

  /** Ends it where the client's side cannot be had. */
  abandon(): void {
    this.#clientOver = this.#clientClosed = true;
    this.#socket.destroy();
    this.#backendOver = true;
    this.#check();
  }

  /** Looks whether a side that should have ended has not. */
  look(now: number): void {
    const { queued } = this.#socket;
    if (queued !== this.#queued) {
      this.#queued = queued;
      this.#movedAt = now;
    }
    const still = now - this.#movedAt;
    if (this.#client === undefined) {
      // A client that left between its request and the 101.
      if (still >= LINGER_MS) this.abandon();
    } else if (this.#backendClosed && !this.#backendOver) {
      if (still >= (queued > 0 ? LINGER_MS : FAREWELL_MS)) {
        this.#socket.destroy();
        this.#backendEnded();
      }
    } else if (this.#backendOver && still >= LINGER_MS) {
      // A client that does not answer a close frame is its runtime's to end.
      this.#clientOver = true;
      this.#check();
    }
  }

  #toClient(data: string | Chunk): void {
    if (this.#clientClosed) return;
    this.bytes += data.length;
    if (this.#client!.send(data)) return;
    this.#reader.pause();
    this.#socket.pause();
  }

  #closeClient(code: number | undefined, reason: string): void {
    if (this.#clientClosed || this.#client === undefined) return;
    this.#clientClosed = true;
    this.#moved();
    this.#client.close(code, reason);
    // Nothing is held back for it any more.
    this.drained();
  }

  #cutClient(): void {
    if (this.#clientClosed) return;
    this.#clientClosed = true;
    this.#moved();
    this.#client?.cut();
  }

  #closeBackend(code: number | undefined, reason: string): void {
    if (this.#backendClosed) return;
    this.#backendClosed = true;
    this.#moved();
    this.#socket.write(closeFrame(code, reason));
  }

  #backendEnded(): void {
    if (this.#backendOver) return;
    this.#backendOver = this.#backendClosed = true;
    this.#moved();
    this.#socket.end();
    this.#socket.destroy();
    if (!this.#backendSaid) this.#cutClient();
    this.#check();
  }

  #moved(): void {
    this.#movedAt = this.#options.now();
  }

  #check(): void {
    if (this.#over || !this.#clientOver || !this.#backendOver) return;
    this.#over = true;
    this.#options.over();
  }
}

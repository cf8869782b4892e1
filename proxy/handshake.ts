/**
 * The WebSocket handshake (RFC 6455 §4): the client's, which is checked, and a
 * new one with the backend.
 *
 * The backend comes first. Its response decides what the client gets: a refusal
 * with its body, or the chosen subprotocol.
 *
 * @module
 */

import { AnswerReader } from "../http/answer.ts";
import {
  base64,
  bytesOf,
  type Chunk,
  Ended,
  Malformed,
} from "../http/bytes.ts";
import type { AnswerHead } from "../http/head.ts";
import type { Socket } from "../http/socket.ts";
import { hasBody } from "./framing.ts";
import type { Refusal } from "./guard.ts";
import type { Fields, Read } from "./headers.ts";
import type { Failure } from "./transport.ts";

const NO_KEY: Refusal = {
  status: 400,
  type: "http_request_error",
  sentence: "Bad request: a WebSocket handshake needs one valid key.",
};
/** RFC 6455 §4.4, RFC 9110 §15.5.22. */
const OTHER_VERSION: Refusal = {
  status: 426,
  type: "http_request_error",
  sentence: "Upgrade required: the only WebSocket version supported is 13.",
  fields: { "sec-websocket-version": "13", upgrade: "websocket" },
};

/**
 * Whether a GET is a WebSocket handshake; a refusal if it is invalid. Any other
 * `Upgrade` is dropped, as RFC 9110 §7.8 allows.
 */
export function handshakeOf(headers: Read): boolean | Refusal {
  const upgrade = headers.get("upgrade");
  if (
    upgrade === null || !lists(upgrade, "websocket") ||
    !lists(headers.get("connection"), "upgrade")
  ) return false;
  // RFC 6455 §4.2.1: sixteen bytes in base64.
  const key = headers.get("sec-websocket-key");
  if (key === null || !/^[A-Za-z0-9+/]{21}[AQgw]==$/.test(key)) return NO_KEY;
  return headers.get("sec-websocket-version") === "13" || OTHER_VERSION;
}

/**
 * Whether a list contains an element, ignoring case; `token` is in lower case.
 */
function lists(list: string | null | undefined, token: string): boolean {
  return list !== null && list !== undefined &&
    hasElement(list.toLowerCase(), token);
}

/**
 * Whether a list contains an element, case-sensitively. Scans in place, since a
 * peer decides how long the list is.
 */
export function hasElement(list: string, element: string): boolean {
  for (let from = 0; from <= list.length;) {
    const at = list.indexOf(element, from);
    if (at < 0) return false;
    let before = at - 1;
    while (before >= from && isBlank(list.charCodeAt(before))) before--;
    let behind = at + element.length;
    while (isBlank(list.charCodeAt(behind))) behind++;
    if (
      (before < 0 || list[before] === ",") &&
      (behind === list.length || list[behind] === ",")
    ) return true;
    // Never scan the same part twice.
    from = Math.max(behind, at + 1);
  }
  return false;
}

function isBlank(code: number): boolean {
  return code === 32 || code === 9;
}

/** All values of a field as one list; `undefined` if there is none. */
function listed(fields: Fields, name: string): string | undefined {
  let list: string | undefined;
  for (const field of fields) {
    if (field[0] !== name) continue;
    list = list === undefined ? field[1] : `${list}, ${field[1]}`;
  }
  return list;
}

/** Fields of a handshake that concern one connection, or are set anew. */
const OWN_FIELDS: ReadonlySet<string> = new Set([
  "sec-websocket-key",
  "sec-websocket-version",
  "sec-websocket-accept",
  // Extensions are not supported here, so none are requested for a client.
  "sec-websocket-extensions",
]);

/** Fields of a backend's 101 that the client's 101 sets itself. */
const OWN_IN_ANSWER: ReadonlySet<string> = new Set([
  ...OWN_FIELDS,
  "sec-websocket-protocol",
  "date",
  "content-length",
]);

/** A handshake with a backend has failed. */
export class HandshakeFailed extends Error {
  override readonly name = "HandshakeFailed";

  constructor(
    /** The failure. */
    readonly failure: Failure,
  ) {
    super(`Cannot shake hands: ${failure.reason}`);
  }
}

/** The failure for an error; `begun`: whether a response had begun. */
function handshakeFailure(error: unknown, begun: boolean): Failure {
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
    // Some healthy backends close the connection of an upgrade that they do not
    // want. Blaming them would let any client eject half of the pool with a few
    // handshakes.
    fault: begun ? "backend" : "none",
    reason: error instanceof Ended
      ? "the connection was closed before the answer"
      : "the connection broke before the answer",
  };
}

/** A backend's accepted WebSocket. */
export class Opened {
  constructor(
    /** The connection. */
    readonly socket: Socket,
    /** Fields of its 101, without those of the handshake itself. */
    readonly fields: Fields,
    /** The chosen subprotocol. */
    readonly protocol: string | undefined,
    /** Bytes received after the head. */
    readonly rest: readonly Chunk[],
  ) {}
}

/**
 * Opens a WebSocket to a backend. A response other than 101 is returned as it
 * is. The connection is closed when that has ended, and whenever `signal`
 * aborts; the caller owns only that of an {@linkcode Opened}.
 *
 * @throws {HandshakeFailed} If there is no response, or one that breaks RFC
 * 9112 or RFC 6455.
 */
export async function openWebSocket(
  socket: Socket,
  target: string,
  fields: Fields,
  signal: AbortSignal,
): Promise<Opened | Response> {
  const key = base64(crypto.getRandomValues(new Uint8Array(16)));
  const reader = new AnswerReader(socket, "GET");
  const left = () => reader.close(signal.reason);
  signal.addEventListener("abort", left, { once: true });
  try {
    signal.throwIfAborted();
    socket.write(handshakeBytes(target, key, fields));
    const head = await reader.head();
    if (head.status !== 101) return refusal(head, reader);
    const asked = listed(fields, "sec-websocket-protocol");
    const opened = checked(socket, head, asked, await acceptOf(key), reader);
    signal.throwIfAborted();
    signal.removeEventListener("abort", left);
    return opened;
  } catch (error) {
    reader.close(error as Error);
    throw new HandshakeFailed(handshakeFailure(error, reader.begun));
  }
}

/** Checks a 101 (RFC 6455 §4.1, the list at its end). */
function checked(
  socket: Socket,
  { fields }: AnswerHead,
  asked: string | undefined,
  accept: string,
  reader: AnswerReader,
): Opened {
  const protocol = listed(fields, "sec-websocket-protocol");
  if (
    !lists(listed(fields, "upgrade"), "websocket") ||
    !lists(listed(fields, "connection"), "upgrade") ||
    listed(fields, "sec-websocket-accept") !== accept ||
    listed(fields, "sec-websocket-extensions") !== undefined ||
    (protocol !== undefined &&
      (!/^[^\s,]+$/.test(protocol) || !hasElement(asked ?? "", protocol)))
  ) throw new Malformed("Cannot open: not a 101 that was asked for");
  const passedOn = fields.filter(([name]) => !OWN_IN_ANSWER.has(name));
  return new Opened(socket, passedOn, protocol, reader.detach());
}

function handshakeBytes(target: string, key: string, fields: Fields): Chunk {
  let text = `GET ${target} HTTP/1.1\r\n`;
  for (const [name, value] of fields) {
    if (!OWN_FIELDS.has(name)) text += `${name}: ${value}\r\n`;
  }
  return bytesOf(
    `${text}connection: Upgrade\r\nupgrade: websocket\r\n` +
      `sec-websocket-version: 13\r\nsec-websocket-key: ${key}\r\n\r\n`,
  );
}

/** The expected `Sec-WebSocket-Accept` for a key (RFC 6455 §4.2.2). */
async function acceptOf(key: string): Promise<string> {
  const text = `${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
  return base64(
    new Uint8Array(await crypto.subtle.digest("SHA-1", bytesOf(text))),
  );
}

/** The response of a backend that refuses. */
function refusal(head: AnswerHead, reader: AnswerReader): Response {
  const body = reader.body(head);
  const { status, fields } = head;
  if (!hasBody("GET", status)) {
    // A 205 may be framed as if it had a body (RFC 9110 §15.3.6).
    if (body instanceof ReadableStream) body.cancel().catch(() => {});
    return new Response(null, { status, headers: fields });
  }
  return new Response(body, { status, headers: fields });
}

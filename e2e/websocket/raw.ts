/**
 * WebSocket as frames, on both ends: a client and a backend that send exactly
 * the given frames, valid or not, and show those that they receive.
 *
 * @module
 */

import { createHash } from "node:crypto";
import { Buffer } from "node:buffer";
import type { RawConn, RawRequest } from "../harness/backend.ts";
import { type ConnectOptions, RawConnection } from "../harness/client.ts";
import { type Header, PeerGone, valuesOf, type Wire } from "../harness/wire.ts";

/** A frame, or how the connection ended. */
export type Frame =
  | { opcode: number; fin: boolean; first: number; payload: Uint8Array }
  | "fin"
  | "reset";

/** What is easy to compare: `text hi`, `binary 3`, `close 1000 bye`, `fin`. */
export function shownFrame(frame: Frame): string {
  if (typeof frame === "string") return frame;
  const { opcode, payload, fin } = frame;
  const text = () => new TextDecoder().decode(payload);
  const more = fin ? "" : "…";
  if (opcode === 1) return `text ${text()}${more}`;
  if (opcode === 2) return `binary ${payload.length}${more}`;
  if (opcode === 8) {
    if (payload.length === 0) return "close";
    const reason = new TextDecoder().decode(payload.subarray(2));
    return `close ${payload[0]! << 8 | payload[1]!}${reason && ` ${reason}`}`;
  }
  if (opcode === 9) return `ping ${text()}`;
  if (opcode === 10) return `pong ${text()}`;
  return `${opcode} ${payload.length}${more}`;
}

/** A payload of a close frame. */
export function closing(code: number, reason = ""): Uint8Array {
  return Buffer.concat([
    Buffer.from([code >> 8, code & 0xff]),
    Buffer.from(reason),
  ]);
}

/** The bytes of one frame; `masked` as a client's. */
export function frameBytes(
  first: number,
  payload: string | Uint8Array,
  masked: boolean,
): Uint8Array {
  const data = typeof payload === "string" ? Buffer.from(payload) : payload;
  const { length } = data;
  const mask = masked ? 0x80 : 0;
  let head: Buffer;
  if (length < 126) {
    head = Buffer.from([first, mask | length]);
  } else if (length < 65_536) {
    head = Buffer.from([first, mask | 126, length >> 8, length & 0xff]);
  } else {
    head = Buffer.alloc(10);
    head[0] = first;
    head[1] = mask | 127;
    head.writeUInt32BE(length, 6);
  }
  if (!masked) return Buffer.concat([head, data]);
  const key = Buffer.from([1, 2, 3, 4]);
  const body = Buffer.alloc(length);
  for (let i = 0; i < length; i++) body[i] = data[i]! ^ key[i & 3]!;
  return Buffer.concat([head, key, body]);
}

/** One end, after the handshake. */
export class Frames {
  constructor(
    readonly wire: Wire,
    /** Whether it masks its frames, and expects unmasked ones. */
    readonly isClient: boolean,
  ) {}

  /** Sends a frame; `first` is its first byte, such as 0x81. */
  send(first: number, payload: string | Uint8Array = ""): Promise<void> {
    return this.wire.write(frameBytes(first, payload, this.isClient));
  }

  text(text: string): Promise<void> {
    return this.send(0x81, text);
  }

  close(code?: number, reason = ""): Promise<void> {
    return this.send(0x88, code === undefined ? "" : closing(code, reason));
  }

  /** The next frame, unmasked. */
  async next(): Promise<Frame> {
    try {
      const [first, second] = (await this.wire.readExactly(2))
        .data as unknown as [number, number];
      const masked = (second & 0x80) !== 0;
      if (masked === this.isClient) {
        throw new Error(`A frame is ${masked ? "" : "not "}masked`);
      }
      let length = second & 0x7f;
      if (length >= 126) {
        const size = length === 126 ? 2 : 8;
        const bytes = Buffer.from((await this.wire.readExactly(size)).data);
        length = size === 2
          ? bytes.readUInt16BE()
          : Number(bytes.readBigUInt64BE());
      }
      const key = masked ? (await this.wire.readExactly(4)).data : undefined;
      const payload = length === 0
        ? new Uint8Array(0)
        : (await this.wire.readExactly(length)).data.slice();
      if (key !== undefined) {
        for (let i = 0; i < length; i++) payload[i]! ^= key[i & 3]!;
      }
      return {
        opcode: first & 0x0f,
        fin: (first & 0x80) !== 0,
        first,
        payload,
      };
    } catch (error) {
      if (!(error instanceof PeerGone)) throw error;
      return error.how === "reset" ? "reset" : "fin";
    }
  }

  /** The next frame as text. */
  async shown(): Promise<string> {
    return shownFrame(await this.next());
  }

  /** All frames up to the end of the connection, as text. */
  async rest(): Promise<string[]> {
    const all: string[] = [];
    for (;;) {
      const frame = await this.next();
      all.push(shownFrame(frame));
      if (typeof frame === "string") return all;
    }
  }
}

/** The key that a client sends. */
export const KEY = "dGhlIHNhbXBsZSBub25jZQ==";

/** What a server answers to a key. */
export function acceptOf(key: string): string {
  return createHash("sha1")
    .update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
    .digest("base64");
}

/** Fields of a client's handshake. */
export const ASKING: readonly Header[] = [
  ["Upgrade", "websocket"],
  ["Connection", "Upgrade"],
  ["Sec-WebSocket-Key", KEY],
  ["Sec-WebSocket-Version", "13"],
];

/** A client that has requested a WebSocket. */
export interface Asked extends AsyncDisposable {
  readonly conn: RawConnection;
  readonly status: number;
  readonly headers: readonly Header[];
  /** The first value of a field of the 101. */
  header(name: string): string | undefined;
  readonly frames: Frames;
}

/** Requests a WebSocket; it has one if the status is 101. */
export async function ask(
  port: number,
  target = "/",
  headers: readonly Header[] = [],
  options: ConnectOptions & { host?: string } = {},
): Promise<Asked> {
  const { host: name = "sluice.test", ...connect } = options;
  const conn = await RawConnection.connect(port, connect);
  try {
    const lines = [["Host", name], ...ASKING, ...headers]
      .map(([name, value]) => `${name}: ${value}\r\n`).join("");
    await conn.write(`GET ${target} HTTP/1.1\r\n${lines}\r\n`);
    const head = await conn.readHead();
    return {
      conn,
      status: head.status,
      headers: head.headers,
      header: (name) => valuesOf(head.headers, name)[0],
      frames: new Frames(conn.wire, true),
      [Symbol.asyncDispose]: () => conn.close(),
    };
  } catch (error) {
    await conn.close();
    throw error;
  }
}

/** A backend's script: grants a WebSocket. */
export async function grant(
  conn: RawConn,
  request: RawRequest,
  headers: readonly Header[] = [],
): Promise<Frames> {
  const key = request.header("sec-websocket-key") ?? "";
  const lines = [
    ["Upgrade", "websocket"],
    ["Connection", "Upgrade"],
    ["Sec-WebSocket-Accept", acceptOf(key)],
    ...headers,
  ].map(([name, value]) => `${name}: ${value}\r\n`).join("");
  const wire = conn.takeOver();
  await conn.send(`HTTP/1.1 101 Switching Protocols\r\n${lines}\r\n`);
  return new Frames(wire, false);
}

/**
 * A client that sends exactly the given bytes and shows exactly the bytes that
 * come back. `fetch` would not do: it hides framing, repeats, order and
 * spelling, which most of the wire tests are about.
 *
 * @module
 */

import net from "node:net";
import tls from "node:tls";
import { ended, opened } from "./cleanup.ts";
import { delay, within } from "./wait.ts";
import {
  BodyReader,
  concat,
  type Ending,
  type Framing,
  framingOf,
  type Head,
  type Header,
  Malformed,
  PeerGone,
  type Piece,
  readHead,
  Recorder,
  toBytes,
  toLatin1,
  valuesOf,
  Wire,
} from "./wire.ts";

/** Options for a connection. */
export interface ConnectOptions {
  /** @default {"127.0.0.1"} */
  host?: string;
  /** Connects to this socket path instead. */
  unix?: string;
  /** Uses TLS; `ca` is PEM, without it any certificate is accepted. */
  tls?: { ca?: string; servername?: string; cert?: string; key?: string };
  /** Milliseconds for each read. @default {10_000} */
  timeoutMs?: number;
  /** Bytes read from the kernel ahead of the reads. @default {262_144} */
  readAhead?: number;
}

/** A response, complete or as far as it was received. */
export interface RawResponse {
  /** Empty if the connection ended before one came. */
  statusLine: string;
  /** `"1.1"`; empty without a status line. */
  version: string;
  /** 0 without a status line. */
  status: number;
  reason: string;
  /** In order, names as sent. */
  headers: readonly Header[];
  /** The first value of a field, its name in any case. */
  header(name: string): string | undefined;
  /** All values of a field, in order. */
  headerAll(name: string): string[];
  /** Without chunked framing. */
  body: Uint8Array;
  /** The body as UTF-8. */
  text: string;
  /** With chunked framing. */
  rawBody: Uint8Array;
  /** Head and body as received, without interim responses. */
  raw: Uint8Array;
  framing: Framing;
  /** Sizes of the chunks. */
  chunks: readonly number[];
  trailers: readonly Header[];
  /** The chunks of the body: time of arrival and length. */
  pieces: readonly { at: number; size: number }[];
  /** `performance.now()` when the head was complete. */
  headAt: number;
  /** Well formed up to its end. */
  complete: boolean;
  /** Why it is not complete. */
  problem: string | undefined;
  /** The server has ended the connection. */
  closed: boolean;
  /** How the connection ended, if it has. */
  ending: Ending | undefined;
  /** 1xx responses that came before it. */
  interim: readonly { status: number; headers: readonly Header[] }[];
}

/** One connection to a server, for several requests or for half of one. */
export class RawConnection implements AsyncDisposable {
  readonly label = "client connection";
  #reader: BodyReader | undefined;

  private constructor(
    /** For what the methods here do not offer: peeking, pausing. */
    readonly wire: Wire,
  ) {}

  /** Connects. @throws {Error} If the connection is refused. */
  static async connect(
    port: number,
    options: ConnectOptions = {},
  ): Promise<RawConnection> {
    const { host = "127.0.0.1", unix, timeoutMs = 10_000, readAhead } = options;
    const to = unix !== undefined ? { path: unix } : { host, port };
    const socket = options.tls === undefined
      ? net.connect({ ...to, allowHalfOpen: true })
      : tls.connect({
        ...to,
        ...options.tls,
        rejectUnauthorized: options.tls.ca !== undefined,
      });
    const ready = options.tls === undefined ? "connect" : "secureConnect";
    const wire = new Wire(socket, {
      timeoutMs,
      ...(readAhead === undefined ? {} : { readAhead }),
    });
    try {
      await within(
        new Promise<void>((resolve, reject) => {
          socket.once(ready, () => resolve());
          socket.once("error", reject);
        }),
        timeoutMs,
        `a connection to ${unix ?? `${host}:${port}`}`,
      );
    } catch (error) {
      await wire.close();
      throw error;
    }
    const connection = new RawConnection(wire);
    opened(connection);
    return connection;
  }

  /** Resolves when the server (or this side) has ended the connection. */
  get closed(): Promise<Ending> {
    return this.wire.closed;
  }

  /** Waits for the server to end the connection; fails after `ms`. */
  waitForClose(ms = 5_000): Promise<Ending> {
    return within(this.closed, ms, "the server to close the connection");
  }

  /** Sends bytes; strings are latin1. Waits while the server does not read. */
  write(data: string | Uint8Array): Promise<void> {
    return this.wire.write(data);
  }

  /** Sends bytes in pieces of `size`, with a pause of `gapMs` after each. */
  async writeSlowly(
    data: string | Uint8Array,
    size: number,
    gapMs: number,
  ): Promise<void> {
    const bytes = toBytes(data);
    for (let at = 0; at < bytes.length; at += size) {
      await this.write(bytes.subarray(at, at + size));
      await delay(gapMs);
    }
  }

  /** Sends FIN and continues to read. */
  end(): Promise<void> {
    return this.wire.end();
  }

  /** Sends RST at once. */
  async reset(): Promise<void> {
    ended(this);
    await this.wire.reset();
  }

  /** Closes both directions; may be called twice. */
  async close(): Promise<void> {
    ended(this);
    await this.wire.close();
  }

  /** For `cleanup.ts`. */
  abandon(): Promise<void> {
    return this.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /** Reads up to and with `mark`. */
  readUntil(mark: string | Uint8Array): Promise<Piece> {
    return this.wire.readUntil(mark);
  }

  /** Reads `count` bytes. */
  readExactly(count: number): Promise<Piece> {
    return this.wire.readExactly(count);
  }

  /**
   * Reads the next head, also a 1xx one. `method` is what the response answers:
   * one to HEAD has no body.
   */
  async readHead(
    { method = "GET" }: { method?: string } = {},
  ): Promise<Head & { status: number; framing: Framing }> {
    const head = await readHead(this.wire, "a response");
    const status = statusOf(head.startLine);
    const { framing, length } = framingFor(status, method, head.headers);
    this.#reader = new BodyReader(this.wire, framing, length);
    return { ...head, status, framing };
  }

  /**
   * Reads the next chunk of the body whose head the last {@linkcode readHead}
   * returned: at most one chunk, without its framing, and its time of arrival.
   * `null` at the end.
   *
   * @throws {PeerGone} If the body was cut.
   */
  async readChunkOrBytes(): Promise<Piece | null> {
    const reader = this.#reader;
    if (reader === undefined) throw new TypeError("readHead() comes first");
    const piece = await reader.next();
    if (piece === null && !reader.complete) {
      throw new PeerGone(
        `The response body was cut: ${reader.problem}`,
        this.wire.ending?.how ?? "fin",
      );
    }
    return piece;
  }

  /**
   * Reads one response to its end. A connection that ends early and a malformed
   * response do not reject: check `complete` and `problem`.
   *
   * @throws {Error} If nothing comes for the connection's `timeoutMs`.
   */
  async readResponse(
    { method = "GET" }: { method?: string } = {},
  ): Promise<RawResponse> {
    const interim: { status: number; headers: readonly Header[] }[] = [];
    const pieces: Piece[] = [];
    let head: Head | undefined;
    let status = 0;
    let reader: BodyReader | undefined;
    let problem: string | undefined;
    let recorder = new Recorder(Infinity);
    const bodyRecorder = new Recorder(Infinity);
    try {
      while (true) {
        recorder = new Recorder(Infinity);
        this.wire.recorder = recorder;
        head = await readHead(this.wire, "a response");
        status = statusOf(head.startLine);
        if (status >= 200 || status === 101) break;
        interim.push({ status, headers: head.headers });
        head = undefined;
        status = 0;
      }
      const { framing, length } = framingFor(status, method, head.headers);
      this.wire.recorder = bodyRecorder;
      reader = new BodyReader(this.wire, framing, length);
      for (let piece; (piece = await reader.next()) !== null;) {
        pieces.push(piece);
      }
      problem = reader.problem;
    } catch (error) {
      if (!(error instanceof PeerGone || error instanceof Malformed)) {
        throw error;
      }
      problem = error.message;
    } finally {
      this.wire.recorder = undefined;
    }
    const headers = head?.headers ?? [];
    const statusLine = head?.startLine ?? "";
    const body = concat(pieces.map((piece) => piece.data));
    return {
      statusLine,
      version: statusLine.slice(5, 8),
      status,
      reason: statusLine.slice(13),
      headers,
      header: (name) => valuesOf(headers, name)[0],
      headerAll: (name) => valuesOf(headers, name),
      body,
      text: new TextDecoder().decode(body),
      rawBody: bodyRecorder.bytes,
      raw: concat([recorder.bytes, bodyRecorder.bytes]),
      framing: reader?.framing ?? "none",
      chunks: reader?.chunks ?? [],
      trailers: reader?.trailers ?? [],
      pieces: pieces.map(({ at, data }) => ({ at, size: data.length })),
      headAt: head?.at ?? 0,
      complete: reader?.complete ?? false,
      problem,
      closed: this.wire.ending !== undefined,
      ending: this.wire.ending,
      interim,
    };
  }

  /** Sends a whole request and reads the response; the method is the data's. */
  async request(data: string | Uint8Array): Promise<RawResponse> {
    const method = methodOf(data);
    await this.write(data);
    return await this.readResponse({ method });
  }
}

function methodOf(data: string | Uint8Array): string {
  const start = typeof data === "string"
    ? data.slice(0, 64)
    : toLatin1(data.subarray(0, 64));
  return start.split(" ", 1)[0]!;
}

function statusOf(statusLine: string): number {
  const match = /^HTTP\/1\.[01] ([1-9][0-9]{2}) ([\t\x20-\x7e\x80-\xff]*)$/
    .exec(statusLine);
  if (match === null) {
    throw new Malformed(`Not a status line: ${JSON.stringify(statusLine)}`);
  }
  return Number(match[1]);
}

// RFC 9112 §6.3, in its order.
function framingFor(
  status: number,
  method: string,
  headers: readonly Header[],
): { framing: Framing; length: number } {
  const own = framingOf(headers);
  if (
    method === "HEAD" || status < 200 || status === 204 || status === 304
  ) return { framing: "none", length: 0 };
  return own.framing === "none" ? { framing: "close", length: 0 } : own;
}

/** Options for {@linkcode rawRequest}. */
export interface RequestOptions extends ConnectOptions {
  /** Sends FIN after the request, as a client that sends no more would. */
  halfClose?: boolean;
  /**
   * Milliseconds to wait for the close after a response with
   * `Connection: close` or HTTP/1.0, so that `closed` is certain.
   *
   * @default {1_000}
   */
  closeWaitMs?: number;
}

/**
 * Sends bytes on a new connection and reads one response until it is complete
 * by its framing or the connection has ended. Nothing is added to the bytes;
 * {@linkcode requestText} writes usual ones.
 *
 * @throws {Error} If the connection is refused, or nothing comes for
 * `timeoutMs`.
 */
export async function rawRequest(
  port: number,
  data: string | Uint8Array,
  options: RequestOptions = {},
): Promise<RawResponse> {
  const { closeWaitMs = 1_000, halfClose = false } = options;
  await using connection = await RawConnection.connect(port, options);
  // A server that refuses a request may answer before it has read all of it,
  // and the write then fails although there is an answer to read.
  const writing = connection.write(data)
    .then(() => halfClose ? connection.end() : undefined)
    .catch((error) => {
      if (!(error instanceof PeerGone)) throw error;
    });
  const response = await connection.readResponse({ method: methodOf(data) });
  const says = response.version === "1.0" ||
    response.headerAll("connection").join().toLowerCase().includes("close");
  if (says && !response.closed && closeWaitMs > 0) {
    await within(connection.closed, closeWaitMs, "close").catch(() => {});
    response.ending = connection.wire.ending;
    response.closed = response.ending !== undefined;
  }
  await connection.close();
  await writing;
  return response;
}

/** Options for {@linkcode requestText}. */
export interface RequestText {
  /** `null` for no Host field. @default {"sluice.test"} */
  host?: string | null;
  /** After Host, in this order and spelling. */
  headers?: readonly Header[] | Record<string, string>;
  /** Adds `Content-Length` unless `headers` frames the body. */
  body?: string | Uint8Array;
}

/** An ordinary HTTP/1.1 request as bytes: `requestText("GET", "/a?b")`. */
export function requestText(
  method: string,
  target: string,
  { host = "sluice.test", headers = [], body }: RequestText = {},
): Uint8Array {
  const fields: Header[] = host === null ? [] : [["Host", host]];
  fields.push(
    ...(Array.isArray(headers)
      ? headers as Header[]
      : Object.entries(headers as Record<string, string>)),
  );
  const bytes = toBytes(body ?? "");
  const framed = valuesOf(fields, "content-length").length > 0 ||
    valuesOf(fields, "transfer-encoding").length > 0;
  if (body !== undefined && !framed) {
    fields.push(["Content-Length", String(bytes.length)]);
  }
  const lines = fields.map(([name, value]) => `${name}: ${value}\r\n`).join("");
  return concat([
    toBytes(`${method} ${target} HTTP/1.1\r\n${lines}\r\n`),
    bytes,
  ]);
}

/**
 * HTTP/1.1 as bytes: one socket that is read step by step, strict parsing of
 * heads and bodies, and latin1 in both directions so that no byte is changed on
 * its way into a string and back.
 *
 * It uses `node:net`, because `Deno.Conn` cannot send a RST. Both
 * {@link import("./client.ts")} and {@link import("./backend.ts")} use it, so a
 * mistake here would hide on both sides: `harness_test.ts` therefore also tests
 * it against literal bytes.
 *
 * @module
 */

import { Buffer } from "node:buffer";
import type net from "node:net";

/** A header field as sent: the name in its own case, the value trimmed. */
export type Header = [name: string, value: string];

/** Bytes and the moment (`performance.now()`) the last of them arrived. */
export interface Piece {
  data: Uint8Array;
  at: number;
}

/** How a connection ended: the peer's FIN, the peer's RST, or this side. */
export interface Ending {
  how: "fin" | "reset" | "local";
  at: number;
}

/** How the end of a message is found. */
export type Framing = "length" | "chunked" | "close" | "none";

/** The peer closed or reset the connection, so there is no more to read or send. */
export class PeerGone extends Error {
  override name = "PeerGone";
  constructor(message: string, readonly how: Ending["how"]) {
    super(message);
  }
}

/** The peer sent something that HTTP/1.1 does not allow. */
export class Malformed extends Error {
  override name = "Malformed";
}

/** A string's characters as bytes, one each; refuses what latin1 cannot hold. */
export function toBytes(data: string | Uint8Array): Uint8Array {
  if (typeof data !== "string") return data;
  for (let i = 0; i < data.length; i++) {
    if (data.charCodeAt(i) > 0xff) {
      throw new RangeError(
        `Cannot send "${data[i]}" as one byte: encode it with TextEncoder`,
      );
    }
  }
  return Buffer.from(data, "latin1");
}

/** Bytes as a string of as many characters; the reverse of {@linkcode toBytes}. */
export function toLatin1(bytes: Uint8Array): string {
  // `TextDecoder("latin1")` is windows-1252 by the Encoding Standard, and would
  // turn 0x80 to 0x9f into other characters.
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    .toString("latin1");
}

/** Concatenates arrays. */
export function concat(pieces: readonly Uint8Array[]): Uint8Array {
  return pieces.length === 1 ? pieces[0]! : Buffer.concat(pieces as Buffer[]);
}

/** Bytes for a message: quoted, cut to what a person reads. */
export function shown(bytes: Uint8Array): string {
  const text = JSON.stringify(toLatin1(bytes.subarray(0, 400)));
  return bytes.length > 400 ? `${text}… (${bytes.length} bytes)` : text;
}

/** Keeps what was read, up to a limit, so that a long upload is not held twice. */
export class Recorder {
  #pieces: Uint8Array[] = [];
  #left: number;
  /** All bytes read, also those past the limit. */
  total = 0;

  constructor(limit: number) {
    this.#left = limit;
  }

  add(bytes: Uint8Array): void {
    this.total += bytes.length;
    if (this.#left <= 0) return;
    const kept = bytes.subarray(0, this.#left);
    this.#left -= kept.length;
    this.#pieces.push(kept);
  }

  /** The bytes that were kept. */
  get bytes(): Uint8Array {
    return concat(this.#pieces);
  }
}

/** Options for {@linkcode Wire}. */
export interface WireOptions {
  /**
   * Bytes read from the kernel ahead of the reader. Above it the socket is not
   * read, so the peer feels backpressure; meanwhile the peer's close is not
   * noticed either.
   *
   * @default {262_144}
   */
  readAhead?: number;
  /**
   * Milliseconds that one read waits before it fails with a message.
   *
   * @default {Infinity}
   */
  timeoutMs?: number;
}

/** One TCP connection, read step by step. */
export class Wire {
  /** Resolves when the peer has ended the connection, or this side has. */
  readonly closed: Promise<Ending>;
  /** Set once {@linkcode closed} has resolved. */
  ending: Ending | undefined;
  /** Receives each byte when it is consumed by a read. */
  recorder: Recorder | undefined;
  /** Milliseconds that one read waits. */
  timeoutMs: number;
  /** See {@linkcode WireOptions.readAhead}; may be changed at any time. */
  readAhead: number;

  readonly #socket: net.Socket;
  readonly #gone: Promise<void>;
  readonly #settleClosed: (ending: Ending) => void;
  #pieces: Piece[] = [];
  #buffered = 0;
  #destroyed = false;
  #waiters: (() => void)[] = [];

  constructor(
    socket: net.Socket,
    { readAhead = 256 * 1024, timeoutMs = Infinity }: WireOptions = {},
  ) {
    this.#socket = socket;
    this.readAhead = readAhead;
    this.timeoutMs = timeoutMs;
    const closed = Promise.withResolvers<Ending>();
    const gone = Promise.withResolvers<void>();
    this.closed = closed.promise;
    this.#gone = gone.promise;
    this.#settleClosed = (ending) => {
      if (this.ending !== undefined) return;
      this.ending = ending;
      closed.resolve(ending);
    };
    socket.setNoDelay(true); // one write is one segment, as far as one fits
    socket.on("data", (data: Uint8Array) => {
      this.#pieces.push({ data, at: performance.now() });
      this.#buffered += data.length;
      if (this.#buffered >= this.readAhead) socket.pause();
      this.#wake();
    });
    socket.on("end", () => this.#end("fin"));
    // Every error ends the connection. After this side destroyed it, `ending`
    // is set already, so only the peer's doing counts as a reset.
    socket.on("error", () => this.#end("reset"));
    socket.on("close", () => {
      this.#destroyed = true;
      this.#end("local");
      gone.resolve();
    });
  }

  #end(how: Ending["how"]): void {
    this.#settleClosed({ how, at: performance.now() });
    this.#wake();
  }

  #wake(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const wake of waiters) wake();
  }

  /** Number of bytes that have arrived and were not read. */
  get buffered(): number {
    return this.#buffered;
  }

  /** What has arrived and was not read, without consuming it. */
  peek(): Uint8Array {
    return concat(this.#pieces.map((piece) => piece.data));
  }

  /** Stops reading from the kernel until the next read: backpressure. */
  pause(): void {
    this.#socket.pause();
  }

  /** Waits for more bytes or the end; false when no more can come. */
  async #more(what: string, deadline: number): Promise<boolean> {
    if (this.ending !== undefined) return false;
    // Read on even above `readAhead`: the waiting reader needs more.
    this.#socket.resume();
    const woken = new Promise<void>((resolve) => this.#waiters.push(resolve));
    if (deadline === Infinity) {
      await woken;
      return true;
    }
    const left = deadline - performance.now();
    let timer: ReturnType<typeof setTimeout> | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        reject(
          new Error(
            `Cannot read ${what}: nothing complete came in ${this.timeoutMs} ms; had ${
              shown(this.peek())
            }`,
          ),
        );
      }, Math.max(0, left));
    });
    try {
      await Promise.race([woken, late]);
    } finally {
      clearTimeout(timer);
    }
    return true;
  }

  #deadline(): number {
    return performance.now() + this.timeoutMs;
  }

  #take(count: number): Piece {
    const taken: Uint8Array[] = [];
    let left = count;
    let at = 0;
    while (left > 0) {
      const piece = this.#pieces[0]!;
      at = piece.at;
      if (piece.data.length <= left) {
        taken.push(piece.data);
        left -= piece.data.length;
        this.#pieces.shift();
      } else {
        taken.push(piece.data.subarray(0, left));
        piece.data = piece.data.subarray(left);
        left = 0;
      }
    }
    this.#buffered -= count;
    if (this.#buffered < this.readAhead && this.#socket.isPaused()) {
      this.#socket.resume();
    }
    const data = concat(taken);
    this.recorder?.add(data);
    return { data, at };
  }

  #goneWhile(what: string): PeerGone {
    const how = this.ending?.how ?? "local";
    const done = {
      fin: "the peer closed the connection",
      reset: "the peer reset the connection",
      local: "this side closed the connection",
    }[how];
    return new PeerGone(
      `Cannot read ${what}: ${done}; had ${shown(this.peek())}`,
      how,
    );
  }

  /**
   * Reads up to and including `end`.
   *
   * @throws {PeerGone} If the connection ends first; the bytes stay unread.
   */
  async readUntil(
    end: string | Uint8Array,
    { limit = 1024 * 1024, what }: { limit?: number; what?: string } = {},
  ): Promise<Piece> {
    const mark = toBytes(end);
    what ??= `up to ${shown(mark)}`;
    const deadline = this.#deadline();
    while (true) {
      // Mostly the first chunk contains it; joining all of them costs a copy.
      const first = this.#pieces[0]?.data;
      let at = first === undefined ? -1 : Buffer.from(
        first.buffer,
        first.byteOffset,
        first.byteLength,
      ).indexOf(mark);
      if (at < 0 && this.#pieces.length > 1) {
        at = Buffer.from(this.peek()).indexOf(mark);
      }
      if (at >= 0) return this.#take(at + mark.length);
      if (this.#buffered > limit) {
        throw new Malformed(
          `Cannot read ${what}: it is not in the first ${limit} bytes`,
        );
      }
      if (!(await this.#more(what, deadline))) throw this.#goneWhile(what);
    }
  }

  /**
   * Reads `count` bytes.
   *
   * @throws {PeerGone} If the connection ends first; the bytes stay unread.
   */
  async readExactly(count: number): Promise<Piece> {
    const what = `${count} bytes`;
    const deadline = this.#deadline();
    while (this.#buffered < count) {
      if (!(await this.#more(what, deadline))) throw this.#goneWhile(what);
    }
    return this.#take(count);
  }

  /**
   * Reads what has arrived, at most `limit` bytes and at most one chunk, after
   * waiting for the first byte. `null` after the peer's FIN.
   *
   * @throws {PeerGone} If the peer reset the connection, or this side closed
   * it.
   */
  async readSome(limit = Infinity): Promise<Piece | null> {
    const deadline = this.#deadline();
    while (this.#buffered === 0) {
      if (!(await this.#more("more bytes", deadline))) {
        if (this.ending?.how === "fin") return null;
        throw this.#goneWhile("more bytes");
      }
    }
    return this.#take(Math.min(limit, this.#pieces[0]!.data.length));
  }

  /**
   * Sends bytes; resolves when the kernel has them, so a peer that does not
   * read delays it.
   *
   * @throws {PeerGone} If the connection has ended.
   */
  async write(data: string | Uint8Array): Promise<void> {
    const bytes = toBytes(data);
    if (this.#destroyed) throw this.#cannotSend();
    if (bytes.length === 0) return;
    const written = new Promise<boolean>((resolve) => {
      this.#socket.write(bytes, (error) => resolve(!error));
    });
    // The callback of a write is not called for every kind of close.
    const sent = await Promise.race([written, this.#gone.then(() => false)]);
    if (!sent) throw this.#cannotSend();
  }

  #cannotSend(): PeerGone {
    const how = this.ending?.how ?? "local";
    return new PeerGone(`Cannot send: the connection ended (${how})`, how);
  }

  /** Sends FIN after what was written: a half close; reading continues. */
  async end(): Promise<void> {
    if (this.#destroyed) return;
    const flushed = new Promise<void>((resolve) => this.#socket.end(resolve));
    await Promise.race([flushed, this.#gone]);
  }

  /** Sends RST at once; unsent bytes are lost. */
  async reset(): Promise<void> {
    this.#settleClosed({ how: "local", at: performance.now() });
    this.#socket.resetAndDestroy();
    await this.#gone;
  }

  /** Closes both directions; may be called twice. */
  async close(): Promise<void> {
    this.#settleClosed({ how: "local", at: performance.now() });
    this.#socket.destroy();
    await this.#gone;
  }
}

// RFC 9110 §5.6.2.
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/;

/** A start line and its header fields. */
export interface Head {
  /** The bytes as latin1, the empty line at the end included. */
  text: string;
  startLine: string;
  headers: Header[];
  at: number;
}

/**
 * Reads and parses one head.
 *
 * @throws {Malformed} If a line violates RFC 9112 §5.
 */
export async function readHead(wire: Wire, what = "a head"): Promise<Head> {
  const { data, at } = await wire.readUntil("\r\n\r\n", { what });
  const text = toLatin1(data);
  const [startLine = "", ...lines] = text.slice(0, -4).split("\r\n");
  if (/[\r\n]/.test(startLine)) {
    throw new Malformed(`Bare CR or LF in ${JSON.stringify(startLine)}`);
  }
  return { text, startLine, headers: lines.map(parseField), at };
}

function parseField(line: string): Header {
  const colon = line.indexOf(":");
  const name = line.slice(0, colon);
  // Also refuses obs-fold and a space before the colon (RFC 9112 §5.1, §5.2).
  if (colon < 1 || !TOKEN.test(name)) {
    throw new Malformed(`Not a header field: ${JSON.stringify(line)}`);
  }
  const value = trimmed(line.slice(colon + 1));
  // deno-lint-ignore no-control-regex
  if (/[\x00-\x08\x0a-\x1f\x7f]/.test(value)) {
    throw new Malformed(`Control character in ${JSON.stringify(line)}`);
  }
  return [name, value];
}

/** Trims spaces and tabs; linear, since some tests send many. */
function trimmed(text: string): string {
  const isSpace = (at: number) => text[at] === " " || text[at] === "\t";
  let from = 0;
  let to = text.length;
  while (from < to && isSpace(from)) from++;
  while (to > from && isSpace(to - 1)) to--;
  return text.slice(from, to);
}

/** All values of a field, in order, its name in any case. */
export function valuesOf(headers: readonly Header[], name: string): string[] {
  const wanted = name.toLowerCase();
  return headers.filter(([key]) => key.toLowerCase() === wanted)
    .map(([, value]) => value);
}

/**
 * The framing of a message by its fields alone (RFC 9112 §6.3).
 *
 * @throws {Malformed} If two framings disagree or one cannot be parsed: the
 * means of request smuggling, which neither side of a proxy may ever send.
 */
export function framingOf(
  headers: readonly Header[],
): { framing: "length" | "chunked" | "none"; length: number } {
  const codings = valuesOf(headers, "transfer-encoding");
  const lengths = valuesOf(headers, "content-length");
  if (codings.length > 0) {
    if (codings.length > 1 || codings[0]!.toLowerCase() !== "chunked") {
      throw new Malformed(`Transfer-Encoding is "${codings.join('", "')}"`);
    }
    if (lengths.length > 0) {
      throw new Malformed("Both Transfer-Encoding and Content-Length");
    }
    return { framing: "chunked", length: 0 };
  }
  if (lengths.length === 0) return { framing: "none", length: 0 };
  if (lengths.length > 1 || !/^[0-9]{1,15}$/.test(lengths[0]!)) {
    throw new Malformed(`Content-Length is "${lengths.join('", "')}"`);
  }
  return { framing: "length", length: Number(lengths[0]) };
}

/** Reads one body, piece by piece, without its framing. */
export class BodyReader {
  /** The end was reached, and by the rules. */
  complete: boolean;
  /** Why it is not complete, once it has ended. */
  problem: string | undefined;
  /** The sizes of the chunks as sent, the last one (0) left out. */
  readonly chunks: number[] = [];
  /** Fields after the last chunk. */
  trailers: Header[] = [];
  /** Bytes of the body read up to now. */
  received = 0;

  readonly #wire: Wire;
  #left: number;

  constructor(wire: Wire, readonly framing: Framing, length: number) {
    this.#wire = wire;
    this.#left = length;
    this.complete = framing === "none" || (framing === "length" && !length);
  }

  /** The next bytes as received, at most one chunk's; `null` at the end. */
  async next(): Promise<Piece | null> {
    if (this.complete || this.problem !== undefined) return null;
    try {
      const piece = this.framing === "chunked"
        ? await this.#nextOfChunked()
        : await this.#nextOfPlain();
      if (piece !== null) this.received += piece.data.length;
      return piece;
    } catch (error) {
      if (!(error instanceof PeerGone || error instanceof Malformed)) {
        throw error;
      }
      this.problem = error.message;
      return null;
    }
  }

  async #nextOfPlain(): Promise<Piece | null> {
    const endless = this.framing === "close";
    const piece = await this.#wire.readSome(endless ? Infinity : this.#left);
    if (piece === null) {
      this.complete = endless;
      if (!endless) this.problem = `Cut: ${this.#left} bytes are missing`;
      return null;
    }
    if (!endless) {
      this.#left -= piece.data.length;
      this.complete = this.#left === 0;
    }
    return piece;
  }

  async #nextOfChunked(): Promise<Piece | null> {
    if (this.#left === 0) {
      const line = await this.#wire.readUntil("\r\n", {
        limit: 4096,
        what: "a chunk size",
      });
      const text = toLatin1(line.data).slice(0, -2);
      // An extension is allowed (RFC 9112 §7.1.1) and means nothing to us.
      const size = /^([0-9A-Fa-f]{1,12})(?:[ \t]*;[^\r\n]*)?$/.exec(text)?.[1];
      if (size === undefined) {
        throw new Malformed(`Not a chunk size: ${JSON.stringify(text)}`);
      }
      this.#left = parseInt(size, 16);
      if (this.#left === 0) {
        await this.#readTrailers();
        this.complete = true;
        return null;
      }
      this.chunks.push(this.#left);
    }
    const piece = await this.#wire.readSome(this.#left);
    if (piece === null) throw new PeerGone("Cut inside a chunk", "fin");
    this.#left -= piece.data.length;
    if (this.#left === 0) {
      const { data } = await this.#wire.readExactly(2);
      if (toLatin1(data) !== "\r\n") {
        throw new Malformed(`${shown(data)} after a chunk, not CRLF`);
      }
    }
    return piece;
  }

  async #readTrailers(): Promise<void> {
    while (true) {
      const { data } = await this.#wire.readUntil("\r\n", { what: "trailers" });
      const line = toLatin1(data).slice(0, -2);
      if (line === "") return;
      this.trailers.push(parseField(line));
    }
  }

  /** The rest of the body; check `complete` afterwards. */
  async rest(): Promise<Uint8Array> {
    const pieces: Uint8Array[] = [];
    for (let piece; (piece = await this.next()) !== null;) {
      pieces.push(piece.data);
    }
    return concat(pieces);
  }
}

/**
 * An answer of HTTP/1.1 read from a connection byte by byte: what a backend says
 * to a WebSocket handshake, be it the 101 or the page that explains a refusal.
 *
 * Strict where a lenient reader could be made to see another answer than the
 * one before it (RFC 9112 §11.2): what is not plainly right is refused.
 *
 * @module
 */

import type { Chunk } from "./body.ts";
import type { Fields } from "./headers.ts";
import type { Socket } from "./socket.ts";

/** Bytes of an answer's head, and fields in it. */
const MAX_HEAD = 64 * 1024;
const MAX_FIELDS = 256;
/** Interim answers that are passed over. */
const MAX_INTERIM = 8;
/** Bytes of a chunk's size line, extensions included, and of the trailers. */
const MAX_LINE = 4096;

/** The peer sent something that HTTP/1.1 does not allow. */
export class Malformed extends Error {
  override readonly name = "Malformed";
}

/** The peer ended the connection too early. */
export class Ended extends Error {
  override readonly name = "Ended";
}

/** The head of an answer. */
export interface AnswerHead {
  /** Its status. */
  status: number;
  /** Its fields, names in lower case, in the order they came. */
  fields: Fields;
}

/** How long a body is: so many bytes, or as the chunks or the close say. */
export type BodyLength = number | "chunked" | "close";

/** Reads a connection step by step, and stops it while nobody asks. */
export class ByteReader {
  readonly #socket: Socket;
  #pieces: Chunk[] = [];
  #size = 0;
  #ended: Error | undefined;
  #wake: (() => void) | undefined;

  /** Takes over a connection that is paused. */
  constructor(socket: Socket) {
    this.#socket = socket;
    socket.listen({
      data: (bytes) => {
        this.#pieces.push(bytes);
        this.#size += bytes.length;
        socket.pause();
        this.#wake?.();
      },
      ended: (error) => {
        this.#ended = error ?? new Ended("Cannot read: the connection ended");
        this.#wake?.();
      },
      drained: () => {},
    });
  }

  /** Bytes that were read and not taken. */
  rest(): Chunk[] {
    const rest = this.#pieces;
    this.#pieces = [];
    this.#size = 0;
    return rest;
  }

  /** How the connection has ended, if it has. */
  get ended(): Error | undefined {
    return this.#ended;
  }

  /**
   * Up to and with `mark`, as latin1.
   *
   * @throws {Malformed} If there is none in `limit` bytes.
   */
  async until(mark: string, limit: number): Promise<string> {
    let text = "";
    for (;;) {
      const from = Math.max(0, text.length - mark.length + 1);
      text = latin1(this.#all());
      const at = text.indexOf(mark, from);
      if (at >= 0 && at + mark.length <= limit) {
        this.#drop(at + mark.length);
        return text.slice(0, at);
      }
      if (text.length >= limit) throw new Malformed("Cannot read: too long");
      await this.#more();
    }
  }

  /** The next bytes, at most `limit`; nothing at the connection's end. */
  async some(limit: number): Promise<Chunk | undefined> {
    while (this.#size === 0) {
      if (this.#ended instanceof Ended) return undefined;
      await this.#more();
    }
    const first = this.#pieces[0]!.subarray(0, limit);
    this.#drop(first.length);
    return first;
  }

  async #more(): Promise<void> {
    if (this.#ended !== undefined) throw this.#ended;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    this.#socket.resume();
    await promise;
    this.#wake = undefined;
  }

  #all(): Chunk {
    if (this.#pieces.length === 1) return this.#pieces[0]!;
    const all = new Uint8Array(this.#size);
    let at = 0;
    for (const piece of this.#pieces) {
      all.set(piece, at);
      at += piece.length;
    }
    this.#pieces = this.#size === 0 ? [] : [all];
    return all;
  }

  #drop(count: number): void {
    this.#size -= count;
    while (count > 0) {
      const first = this.#pieces[0]!;
      if (first.length > count) {
        this.#pieces[0] = first.subarray(count);
        return;
      }
      count -= first.length;
      this.#pieces.shift();
    }
  }
}

/**
 * Reads the head of the final answer; interim ones are passed over, as `fetch`
 * does too.
 *
 * @throws {Malformed | Ended}
 */
export async function readAnswerHead(reader: ByteReader): Promise<AnswerHead> {
  for (let interim = 0; interim <= MAX_INTERIM; interim++) {
    const head = parseHead(await reader.until("\r\n\r\n", MAX_HEAD));
    if (head.status === 101 || head.status >= 200) return head;
  }
  throw new Malformed("Cannot read: no final answer");
}

/** Parses a head, without the empty line at its end. @throws {Malformed} */
export function parseHead(text: string): AnswerHead {
  const [first = "", ...lines] = text.split("\r\n");
  const match = /^HTTP\/1\.[01] ([1-5]\d\d)(?: [\t\x20-\x7e\x80-\xff]*)?$/
    .exec(first);
  if (match === null) throw new Malformed("Cannot read: no status line");
  if (lines.length > MAX_FIELDS) {
    throw new Malformed("Cannot read: too many fields");
  }
  const fields: Fields = lines.map((line) => {
    // No space before the colon, no folded line (RFC 9112 §5.1, §5.2).
    const field =
      /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[\t ]*([\t\x20-\x7e\x80-\xff]*?)[\t ]*$/
        .exec(line);
    if (field === null) throw new Malformed("Cannot read: no field line");
    return [field[1]!.toLowerCase(), field[2]!];
  });
  return { status: Number(match[1]), fields };
}

/** All values of a field, as one list; nothing if there is none. */
export function listed(fields: Fields, name: string): string | undefined {
  const values = fields.filter((field) => field[0] === name);
  return values.length === 0
    ? undefined
    : values.map((field) => field[1]).join(", ");
}

/** How an answer's body is framed (RFC 9112 §6.3). @throws {Malformed} */
export function lengthOf({ status, fields }: AnswerHead): BodyLength {
  if (status === 204 || status === 304 || status < 200) return 0;
  const coding = listed(fields, "transfer-encoding");
  if (coding !== undefined) {
    if (coding.toLowerCase() !== "chunked") {
      throw new Malformed("Cannot read: a transfer coding other than chunked");
    }
    return "chunked";
  }
  const length = listed(fields, "content-length");
  if (length === undefined) return "close";
  // Said twice and alike is said once (RFC 9110 §8.6).
  const [one = "", ...others] = length.split(/\s*,\s*/);
  if (!/^\d{1,15}$/.test(one) || others.some((other) => other !== one)) {
    throw new Malformed("Cannot read: no valid Content-Length");
  }
  return Number(one);
}

/** A body's pieces; nothing at its proper end. @throws {Malformed | Ended} */
export function bodyPieces(
  reader: ByteReader,
  length: BodyLength,
): () => Promise<Chunk | undefined> {
  if (length === "close") return () => reader.some(Infinity);
  const some = async (limit: number) => {
    const piece = await reader.some(limit);
    if (piece === undefined) throw new Ended("Cannot read: the body was cut");
    return piece;
  };
  if (length === "chunked") return chunks(reader, some);
  let left = length;
  return async () => {
    if (left === 0) return undefined;
    const piece = await some(left);
    left -= piece.length;
    return piece;
  };
}

/** Pieces of a chunked body (RFC 9112 §7.1); its trailers are dropped. */
function chunks(
  reader: ByteReader,
  some: (limit: number) => Promise<Chunk>,
): () => Promise<Chunk | undefined> {
  let left = 0;
  let first = true;
  let over = false;
  return async () => {
    if (over) return undefined;
    if (left === 0) {
      if (!first && await reader.until("\r\n", 2) !== "") {
        throw new Malformed("Cannot read: a chunk without its end");
      }
      first = false;
      const line = await reader.until("\r\n", MAX_LINE);
      const match = /^([0-9A-Fa-f]{1,8})[\t ]*(?:;.*)?$/.exec(line);
      if (match === null) throw new Malformed("Cannot read: no chunk size");
      left = parseInt(match[1]!, 16);
      if (left === 0) {
        while (await reader.until("\r\n", MAX_LINE) !== "");
        over = true;
        return undefined;
      }
    }
    const piece = await some(left);
    left -= piece.length;
    return piece;
  };
}

function latin1(bytes: Chunk): string {
  // Not `TextDecoder`, whose "latin1" is windows-1252.
  let text = "";
  for (let at = 0; at < bytes.length; at += 8192) {
    text += String.fromCharCode(...bytes.subarray(at, at + 8192));
  }
  return text;
}

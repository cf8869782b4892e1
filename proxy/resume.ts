/**
 * Carrying a broken answer on from another backend, where what comes is provably
 * what would have come.
 *
 * Two kinds of answer can be proven. A download with a strong `ETag` is the same
 * bytes wherever that `ETag` is (RFC 9110 §8.8.3), so its rest can be asked for
 * with `Range` and `If-Range` (§13.1.5, §14). An event stream whose events carry
 * ids is made to be taken up after the last of them (HTML §9.2, `Last-Event-ID`).
 * Everything else is left to break, and to be seen to be broken.
 *
 * This file only decides; the attempts are made by `forward.ts`.
 *
 * @module
 */

import { latin1 } from "../http/bytes.ts";
import type { Chunk } from "./body.ts";
import type { Fields, Read } from "./fields.ts";

/** The head of an answer. */
type Heard = { readonly status: number; readonly headers: Read };

/** An answer on its way that could be carried on. */
export interface Carried {
  /** Takes a piece from the backend; gives what may go on to the client. */
  take(piece: Chunk): Chunk;
  /** Whether the source may end here. */
  mayEnd(): boolean;
  /** What was held back when the source has ended. */
  rest(): Chunk;
  /** Fields that ask for the rest; none when that is not safe at this point. */
  fields(): Fields | undefined;
  /** Whether an answer is the rest; it is begun with if so. */
  accepts(response: Heard): boolean;
}

/** How an answer can be carried on, if it can. */
export function carriedOf(
  method: string,
  request: Headers,
  response: Heard,
): Carried | undefined {
  if (method !== "GET" || response.status !== 200) return undefined;
  return Download.of(request, response) ?? Events.of(request, response);
}

/**
 * A strong `ETag` as it stands in the field, or none. A weak one (`W/`) says
 * that two answers mean the same, not that their bytes are equal.
 */
function strongTag(headers: Read): string | undefined {
  const tag = headers.get("etag");
  return tag !== null && /^"[\x21\x23-\x7e\x80-\xff]*"$/.test(tag)
    ? tag
    : undefined;
}

/** A download of known length and unmistakable content. */
class Download implements Carried {
  #received = 0;

  private constructor(
    readonly tag: string,
    readonly length: number,
    readonly coding: string | null,
  ) {}

  static of(request: Headers, response: Heard): Download | undefined {
    const { headers } = response;
    const tag = strongTag(headers);
    const length = headers.get("content-length");
    // A client that asks for a part, or on a condition, has plans of its own.
    if (
      tag === undefined || length === null || !/^\d{1,15}$/.test(length) ||
      // A length beside chunks need not be the answer's.
      headers.get("transfer-encoding") !== null ||
      request.get("range") !== null || request.get("if-range") !== null
    ) return undefined;
    return new Download(
      tag,
      Number(length),
      headers.get("content-encoding"),
    );
  }

  take(piece: Chunk): Chunk {
    this.#received += piece.byteLength;
    return piece;
  }

  mayEnd(): boolean {
    return this.#received === this.length;
  }

  rest(): Chunk {
    return new Uint8Array();
  }

  fields(): Fields {
    return [
      ["range", `bytes=${this.#received}-`],
      ["if-range", this.tag],
    ];
  }

  accepts(response: Heard): boolean {
    const { headers, status } = response;
    return status === 206 && strongTag(headers) === this.tag &&
      headers.get("content-encoding") === this.coding &&
      headers.get("content-range") ===
        `bytes ${this.#received}-${this.length - 1}/${this.length}`;
  }
}

/** Bytes of one event that are held back at most. */
const LONGEST_EVENT = 1024 * 1024;

const LF = 10;
const CR = 13;

/**
 * A stream of events that carry ids. Only whole events are handed on, so that
 * there is a boundary to go on from: half an event in front of another backend's
 * would make a third that nobody sent.
 */
class Events implements Carried {
  /** What has come of an event that is not whole yet. */
  readonly #held = new Held();
  /** The last id, as bytes; none when the last event had none. */
  #id: string | undefined;
  /** Whether anything has been handed on. */
  #begun = false;
  /** Whether events are too long to be held, so that there is no boundary. */
  #passing = false;

  static of(request: Headers, response: Heard): Events | undefined {
    const { headers } = response;
    const accept = request.get("accept") ?? "";
    const type = headers.get("content-type") ?? "";
    // A coded stream has no boundaries that could be seen here.
    if (
      !/(?:^|,)\s*text\/event-stream\s*(?:[;,]|$)/i.test(accept) ||
      !/^text\/event-stream\s*(?:;|$)/i.test(type) ||
      headers.get("content-encoding") !== null ||
      headers.get("content-length") !== null
    ) return undefined;
    return new Events();
  }

  take(piece: Chunk): Chunk {
    if (this.#passing) return piece;
    const before = this.#held.length;
    const all = before === 0 ? piece : this.#held.with(piece);
    // A line end may lie across two pieces, so the search begins before it.
    const end = lastBoundary(all, Math.max(0, before - 3));
    if (end === 0) {
      if (all.byteLength <= LONGEST_EVENT) {
        if (before === 0) this.#held.with(piece);
        return new Uint8Array();
      }
      this.#passing = this.#begun = true;
      this.#id = undefined;
      this.#held.clear();
      return all;
    }
    this.#begun = true;
    const events = all.subarray(0, end);
    this.#readIds(events);
    this.#held.clear();
    if (end < all.byteLength) this.#held.with(all.subarray(end));
    return events;
  }

  mayEnd(): boolean {
    // Whoever ends its stream in an orderly way means to.
    return true;
  }

  rest(): Chunk {
    const rest = this.#held.with(new Uint8Array());
    this.#held.clear();
    return rest;
  }

  fields(): Fields | undefined {
    // Before the first event it is the same request once more.
    if (this.#begun && this.#id === undefined) return undefined;
    // What was held back of an unfinished event comes again, whole.
    this.#held.clear();
    return this.#id === undefined ? [] : [["last-event-id", this.#id]];
  }

  accepts(response: Heard): boolean {
    const type = response.headers.get("content-type") ?? "";
    return response.status === 200 &&
      response.headers.get("content-encoding") === null &&
      /^text\/event-stream\s*(?:;|$)/i.test(type);
  }

  /**
   * Reads the ids of whole events. An event with data and without an id of its
   * own cannot be gone on after: the backend would send it again, or not at all.
   */
  #readIds(events: Chunk): void {
    // Latin-1 keeps each byte what it is, which is also how `fetch` sends it.
    const text = latin1(events);
    for (const event of text.split(/\r\n\r\n|\n\n|\r\r/)) {
      let id: string | undefined;
      let data = false;
      for (const line of event.split(/\r\n|\n|\r/)) {
        if (/^data(?::|$)/.test(line)) data = true;
        const match = /^id(?:: ?(.*))?$/s.exec(line);
        if (match !== null) id = match[1] ?? "";
      }
      if (id !== undefined) {
        // An empty id takes the last one back, and a NUL makes it none.
        // deno-lint-ignore no-control-regex -- what a field value cannot hold
        const usable = id !== "" && !/[\x00-\x1f\x7f]/.test(id) &&
          id.trim() === id;
        this.#id = usable ? id : undefined;
      } else if (data) {
        this.#id = undefined;
      }
    }
  }
}

/** Where the last empty line ends, or 0 where there is none after `from`. */
function lastBoundary(bytes: Chunk, from: number): number {
  for (let i = bytes.byteLength - 1; i > from; i--) {
    const byte = bytes[i]!;
    if (byte !== LF && byte !== CR) continue;
    const before = bytes[i - 1]!;
    // LF LF, CR CR, and CR LF CR LF; CR LF alone ends one line, not two.
    if (byte === before) return i + 1;
    if (
      byte === LF && before === CR && i >= 3 && bytes[i - 2] === LF &&
      bytes[i - 3] === CR
    ) return i + 1;
  }
  return 0;
}

/**
 * Bytes that are held back. Room is made for twice as many whenever it runs out,
 * so that an event in many small pieces is not copied once for each of them.
 */
class Held {
  #room: Chunk = new Uint8Array();
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** Takes a piece; gives all that is held, which is good until the next one. */
  with(piece: Chunk): Chunk {
    const length = this.#length + piece.byteLength;
    if (length > this.#room.byteLength) {
      const room = new Uint8Array(Math.max(length, 2 * this.#length));
      room.set(this.#room.subarray(0, this.#length));
      this.#room = room;
    }
    this.#room.set(piece, this.#length);
    this.#length = length;
    return this.#room.subarray(0, length);
  }

  /** Lets go of all; what was given is the taker's now. */
  clear(): void {
    this.#room = new Uint8Array();
    this.#length = 0;
  }
}

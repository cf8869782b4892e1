/**
 * Resuming an interrupted response from another backend, if the result provably
 * equals the original response.
 *
 * Two kinds of responses qualify. A download with a strong `ETag` has the same
 * bytes wherever it has that `ETag` (RFC 9110 §8.8.3), so its rest can be
 * requested with `Range` and `If-Range` (§13.1.5, §14). An event stream whose
 * events have ids can be resumed after the last one (HTML §9.2,
 * `Last-Event-ID`). Everything else breaks, and visibly so.
 *
 * This file only decides; `resume_body.ts` makes the attempts.
 *
 * @module
 */

import { latin1 } from "../http/bytes.ts";
import type { Chunk } from "./body.ts";
import type { Fields, Read } from "./fields.ts";

/** The head of a response. */
type Head = { readonly status: number; readonly headers: Read };

/** The state of a response that can be resumed. */
export interface Resumable {
  /** Takes a chunk from the backend; returns what can be sent to the client. */
  take(chunk: Chunk): Chunk;
  /** Whether the source may end here. */
  mayEnd(): boolean;
  /** What was held back when the source has ended. */
  rest(): Chunk;
  /** Fields to request the rest; `undefined` if that is not safe now. */
  fields(): Fields | undefined;
  /** Whether a response is the rest. */
  accepts(response: Head): boolean;
}

/** The state for resuming a response, if that is possible. */
export function resumableOf(
  method: string,
  request: Headers,
  response: Head,
): Resumable | undefined {
  if (method !== "GET" || response.status !== 200) return undefined;
  return Download.of(request, response) ?? Events.of(request, response);
}

/**
 * A strong `ETag` as written, if there is one. A weak one (`W/`) says that two
 * responses are equivalent, not that their bytes are equal.
 */
function strongTag(headers: Read): string | undefined {
  const tag = headers.get("etag");
  return tag !== null && /^"[\x21\x23-\x7e\x80-\xff]*"$/.test(tag)
    ? tag
    : undefined;
}

/** A download of known length and identity. */
class Download implements Resumable {
  #received = 0;

  private constructor(
    readonly tag: string,
    readonly length: number,
    readonly coding: string | null,
  ) {}

  static of(request: Headers, response: Head): Download | undefined {
    const { headers } = response;
    const tag = strongTag(headers);
    const length = headers.get("content-length");
    // A client that requests a range or sends a condition resumes by itself.
    if (
      tag === undefined || length === null || !/^\d{1,15}$/.test(length) ||
      // A length next to chunks need not be right.
      headers.get("transfer-encoding") !== null ||
      request.get("range") !== null || request.get("if-range") !== null
    ) return undefined;
    return new Download(
      tag,
      Number(length),
      headers.get("content-encoding"),
    );
  }

  take(chunk: Chunk): Chunk {
    this.#received += chunk.byteLength;
    return chunk;
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

  accepts(response: Head): boolean {
    const { headers, status } = response;
    return status === 206 && strongTag(headers) === this.tag &&
      headers.get("content-encoding") === this.coding &&
      headers.get("content-range") ===
        `bytes ${this.#received}-${this.length - 1}/${this.length}`;
  }
}

/** Maximum bytes of one event that are held back. */
const MAX_EVENT = 1024 * 1024;

const LF = 10;
const CR = 13;

/**
 * A stream of events with ids. Only complete events are passed on, so that it
 * can be resumed at a boundary: half an event followed by another backend's
 * event would form one that no backend sent.
 */
class Events implements Resumable {
  /** The received part of an incomplete event. */
  readonly #held = new HeldBytes();
  /** The last id, as bytes; `undefined` if the last event had none. */
  #id: string | undefined;
  /** Whether anything has been passed on. */
  #begun = false;
  /** Whether events are too long to hold back, so that there is no boundary. */
  #passing = false;

  static of(request: Headers, response: Head): Events | undefined {
    const { headers } = response;
    const accept = request.get("accept") ?? "";
    const type = headers.get("content-type") ?? "";
    // Boundaries are not visible in a compressed stream.
    if (
      !/(?:^|,)\s*text\/event-stream\s*(?:[;,]|$)/i.test(accept) ||
      !/^text\/event-stream\s*(?:;|$)/i.test(type) ||
      headers.get("content-encoding") !== null ||
      headers.get("content-length") !== null
    ) return undefined;
    return new Events();
  }

  take(chunk: Chunk): Chunk {
    if (this.#passing) return chunk;
    const before = this.#held.length;
    const all = before === 0 ? chunk : this.#held.with(chunk);
    // A line end may span two chunks, so the search begins before the new one.
    const end = lastBoundary(all, Math.max(0, before - 3));
    if (end === 0) {
      if (all.byteLength <= MAX_EVENT) {
        if (before === 0) this.#held.with(chunk);
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
    // A backend that ends its stream properly intends to.
    return true;
  }

  rest(): Chunk {
    const rest = this.#held.with(new Uint8Array());
    this.#held.clear();
    return rest;
  }

  fields(): Fields | undefined {
    // Before the first event, the original request is repeated.
    if (this.#begun && this.#id === undefined) return undefined;
    // The next backend sends the incomplete event again.
    this.#held.clear();
    return this.#id === undefined ? [] : [["last-event-id", this.#id]];
  }

  accepts(response: Head): boolean {
    const type = response.headers.get("content-type") ?? "";
    return response.status === 200 &&
      response.headers.get("content-encoding") === null &&
      /^text\/event-stream\s*(?:;|$)/i.test(type);
  }

  /**
   * Reads the ids of complete events. The stream cannot be resumed after an
   * event with data but without an id: it would be repeated or lost.
   */
  #readIds(events: Chunk): void {
    // Latin-1 keeps every byte, and `fetch` sends the same bytes.
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
        // An empty id clears the last one, and one with a NUL is ignored.
        // deno-lint-ignore no-control-regex -- not allowed in a field value
        const usable = id !== "" && !/[\x00-\x1f\x7f]/.test(id) &&
          id.trim() === id;
        this.#id = usable ? id : undefined;
      } else if (data) {
        this.#id = undefined;
      }
    }
  }
}

/** The end of the last empty line after `from`; 0 if there is none. */
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
 * Bytes that are held back. The buffer doubles when it is full, so that an
 * event in many small chunks is not copied for each of them.
 */
class HeldBytes {
  #room: Chunk = new Uint8Array();
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** Adds a chunk; returns all held bytes, valid until the next call. */
  with(chunk: Chunk): Chunk {
    const length = this.#length + chunk.byteLength;
    if (length > this.#room.byteLength) {
      const room = new Uint8Array(Math.max(length, 2 * this.#length));
      room.set(this.#room.subarray(0, this.#length));
      this.#room = room;
    }
    this.#room.set(chunk, this.#length);
    this.#length = length;
    return this.#room.subarray(0, length);
  }

  /** Releases all; returned bytes stay valid. */
  clear(): void {
    this.#room = new Uint8Array();
    this.#length = 0;
  }
}

/**
 * Counts that all workers have in common: how many requests are under way, on
 * each backend and in all, and how many each backend was ever given.
 *
 * They lie in one piece of memory that every worker sees (threads of Deno share
 * a buffer, processes of Bun a mapped file), so that a limit holds for all of
 * them together and to the letter, and a policy that goes by load knows what the
 * others have sent. Messages would come too late for either.
 *
 * Each worker also writes down its own part: when one dies, what it had under
 * way is over, and is taken out of the sums by the process that finds it dead.
 *
 * @module
 */

import type { SharedCounts } from "../balancer.ts";
import { PLACES } from "./capacity.ts";

/** Place of what is counted for no backend but for all requests. */
const ALL = 0;

/** The size of a table for so many workers and the first process, in bytes. */
export function tableBytes(workers: number): number {
  return PLACES * (2 * 4 + (workers + 1) * (4 + 8));
}

/** A view of the common counts. */
export class Table {
  // Atomic, since all write to it: requests under way.
  readonly #sums: Int32Array<ArrayBufferLike>;
  // Written by the first process, which judges; read by all.
  readonly #suspects: Int32Array<ArrayBufferLike>;
  // A row for each worker, written by that one alone; the last one is the first
  // process's, whose own handler may be called as well.
  readonly #parts: Int32Array<ArrayBufferLike>[] = [];
  readonly #requests: Float64Array<ArrayBufferLike>[] = [];
  readonly #own: number;
  readonly #readOnly: boolean;
  /** All requests, of whatever backend. */
  readonly all: Place;

  /** Looks at `buffer` as worker number `own`, or as the first process. */
  constructor(buffer: ArrayBufferLike, workers: number, own?: number) {
    this.#own = own ?? workers;
    this.#readOnly = own === undefined;
    let at = 0;
    for (let i = 0; i <= workers; i++) {
      this.#requests.push(new Float64Array(buffer, at, PLACES));
      at += PLACES * 8;
    }
    const row = () => {
      const made = new Int32Array(buffer, at, PLACES);
      at += PLACES * 4;
      return made;
    };
    this.#sums = row();
    this.#suspects = row();
    for (let i = 0; i <= workers; i++) this.#parts.push(row());
    this.all = this.place(ALL);
  }

  /**
   * One place.
   *
   * @throws {RangeError} If the table has none of this number.
   */
  place(at: number): Place {
    if (!(Number.isInteger(at) && at >= 0 && at < PLACES)) {
      throw new RangeError(`Cannot count at ${at}: there is no such place`);
    }
    return new Place(at, {
      readOnly: this.#readOnly,
      sums: this.#sums,
      suspects: this.#suspects,
      rows: this.#requests,
      part: this.#parts[this.#own]!,
      requests: this.#requests[this.#own]!,
    });
  }

  /** A worker has died: what it had under way is over. */
  forget(worker: number): void {
    const part = this.#parts[worker]!;
    for (let at = 0; at < PLACES; at++) {
      if (part[at] !== 0) Atomics.sub(this.#sums, at, part[at]!);
    }
    part.fill(0);
  }

  /**
   * What stands in the sums and in no part, by place. While a worker counts that is
   * true of a moment; of a worker that was killed between its two steps of
   * counting it stays true, and nothing else would ever take it out.
   */
  unowned(): Map<number, number> {
    const found = new Map<number, number>();
    for (let at = 0; at < PLACES; at++) {
      let count = Atomics.load(this.#sums, at);
      for (const part of this.#parts) count -= Atomics.load(part, at);
      if (count !== 0) found.set(at, count);
    }
    return found;
  }

  /** Takes out of a sum what {@linkcode unowned} has found there for good. */
  disown(at: number, count: number): void {
    Atomics.sub(this.#sums, at, count);
  }

  /** Makes a place as new. */
  clear(at: number): void {
    for (const row of this.#requests) row[at] = 0;
    this.#suspects[at] = 0;
  }
}

/** The rows of a table, as one of those that count has them. */
interface Rows {
  /** Whether it is the first process, which looks at the sums at any time. */
  readonly readOnly: boolean;
  readonly sums: Int32Array<ArrayBufferLike>;
  readonly suspects: Int32Array<ArrayBufferLike>;
  /** Requests that were ever given, by each of them. */
  readonly rows: readonly Float64Array<ArrayBufferLike>[];
  /** Its own part of the requests under way. */
  readonly part: Int32Array<ArrayBufferLike>;
  /** Its own part of the requests that were ever given. */
  readonly requests: Float64Array<ArrayBufferLike>;
}

/** The counts of one backend. */
export class Place implements SharedCounts {
  readonly #sums: Int32Array<ArrayBufferLike>;
  readonly #suspects: Int32Array<ArrayBufferLike>;
  readonly #rows: readonly Float64Array<ArrayBufferLike>[];
  readonly #part: Int32Array<ArrayBufferLike>;
  readonly #requests: Float64Array<ArrayBufferLike>;
  readonly readOnly: boolean;

  /** Made by {@linkcode Table.place}. */
  constructor(readonly at: number, rows: Rows) {
    this.readOnly = rows.readOnly;
    this.#sums = rows.sums;
    this.#suspects = rows.suspects;
    this.#rows = rows.rows;
    this.#part = rows.part;
    this.#requests = rows.requests;
  }

  get inFlight(): number {
    return Atomics.load(this.#sums, this.at);
  }

  get requests(): number {
    let sum = 0;
    for (const row of this.#rows) sum += row[this.at]!;
    return sum;
  }

  enter(most: number): boolean {
    // Added first and looked at then: of two that come for the last one, one
    // gets it. The other way round both might.
    if (Atomics.add(this.#sums, this.at, 1) >= most) {
      Atomics.sub(this.#sums, this.at, 1);
      return false;
    }
    this.#part[this.at]!++;
    this.#requests[this.at]!++;
    return true;
  }

  adopt(inFlight: number, requests: number): void {
    Atomics.add(this.#sums, this.at, inFlight);
    this.#part[this.at]! += inFlight;
    this.#requests[this.at]! += requests;
  }

  leave(): void {
    this.#part[this.at]!--;
    Atomics.sub(this.#sums, this.at, 1);
  }

  /**
   * Whether the last outcome that the first process heard of was a bad one. Only
   * then good ones are worth a message.
   */
  get suspect(): boolean {
    return this.#suspects[this.at] !== 0;
  }

  /** Set by the first process. */
  set suspect(suspect: boolean) {
    this.#suspects[this.at] = suspect ? 1 : 0;
  }
}

/** Gives backends their places. */
export class Places {
  #next = ALL + 1;
  readonly #free: number[] = [];
  readonly #clear: (at: number) => void;

  /** `clear` empties a place before it is given away again. */
  constructor(clear: (at: number) => void) {
    this.#clear = clear;
  }

  /**
   * A place that is free.
   *
   * @throws {RangeError} If all are taken.
   */
  take(): number {
    if (this.#next < PLACES) return this.#next++;
    const at = this.#free.shift();
    if (at === undefined) {
      throw new RangeError(`Cannot add: ${PLACES - 1} backends are there`);
    }
    this.#clear(at);
    return at;
  }

  /** Gives a place back. */
  give(at: number): void {
    this.#free.push(at);
  }
}

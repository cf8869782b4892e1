/**
 * Counts that all workers share: requests in flight, per backend and in total,
 * and the total requests of each backend.
 *
 * They are in memory that every worker sees (threads of Deno share a buffer,
 * processes of Bun a mapped file), so that a limit holds exactly for all
 * workers together, and a policy that compares load includes the other workers'
 * requests. Messages would be too slow for both.
 *
 * Each worker also records its own part: when it dies, the first process
 * subtracts the worker's requests in flight from the sums.
 *
 * @module
 */

import type { SharedCounts } from "../balancer.ts";
import { PLACES } from "./capacity.ts";

/** The place that counts all requests, whatever their backend. */
const ALL = 0;

/** Bytes of a table for a number of workers and the first process. */
export function tableBytes(workers: number): number {
  return PLACES * (2 * 4 + (workers + 1) * (4 + 8));
}

/** A view of the shared counts. */
export class Table {
  // Requests in flight; atomic, since all processes write.
  readonly #sums: Int32Array<ArrayBufferLike>;
  // Written by the first process, which judges outcomes; read by all.
  readonly #suspects: Int32Array<ArrayBufferLike>;
  // One row per worker, written by that worker alone; the last row is the first
  // process's, whose handler may be called as well.
  readonly #parts: Int32Array<ArrayBufferLike>[] = [];
  readonly #requests: Float64Array<ArrayBufferLike>[] = [];
  readonly #own: number;
  readonly #readOnly: boolean;
  /** The counts of all requests. */
  readonly all: Place;

  /** A view for worker number `own`, or for the first process. */
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
   * The counts of one place.
   *
   * @throws {RangeError} If the table has no such place.
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

  /** A worker has died: removes its requests in flight. */
  forget(worker: number): void {
    const part = this.#parts[worker]!;
    for (let at = 0; at < PLACES; at++) {
      if (part[at] !== 0) Atomics.sub(this.#sums, at, part[at]!);
    }
    part.fill(0);
  }

  /**
   * Differences between the sums and the parts, by place. While a worker counts
   * a request, there is one for a moment. One left by a worker that was killed
   * between its two steps of counting stays.
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

  /** Subtracts a count that {@linkcode unowned} keeps finding. */
  disown(at: number, count: number): void {
    Atomics.sub(this.#sums, at, count);
  }

  /** Resets a place. */
  clear(at: number): void {
    for (const row of this.#requests) row[at] = 0;
    this.#suspects[at] = 0;
  }
}

/** The rows of a table, as one process sees them. */
interface Rows {
  /** Whether it is the first process, which only reads the sums. */
  readonly readOnly: boolean;
  readonly sums: Int32Array<ArrayBufferLike>;
  readonly suspects: Int32Array<ArrayBufferLike>;
  /** Total requests, per process. */
  readonly rows: readonly Float64Array<ArrayBufferLike>[];
  /** This process's part of the requests in flight. */
  readonly part: Int32Array<ArrayBufferLike>;
  /** This process's part of the total requests. */
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

  enter(max: number): boolean {
    // Add first, then compare: of two requests for the last place, one gets it.
    // In the other order, both might.
    if (Atomics.add(this.#sums, this.at, 1) >= max) {
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
   * Whether the last outcome that the first process received was bad. Workers
   * report good outcomes only then.
   */
  get suspect(): boolean {
    return this.#suspects[this.at] !== 0;
  }

  /** Written by the first process. */
  set suspect(suspect: boolean) {
    this.#suspects[this.at] = suspect ? 1 : 0;
  }
}

/** Assigns places to backends. */
export class Places {
  #next = ALL + 1;
  readonly #free: number[] = [];
  readonly #clear: (at: number) => void;

  /** `clear` resets a place before it is assigned again. */
  constructor(clear: (at: number) => void) {
    this.#clear = clear;
  }

  /**
   * Takes a free place.
   *
   * @throws {RangeError} If there is none.
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

  /** Frees a place. */
  give(at: number): void {
    this.#free.push(at);
  }
}

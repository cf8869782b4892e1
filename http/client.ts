/**
 * An HTTP/1.1 client: requests in, responses out, with connections in between.
 *
 * It implements only HTTP/1.1, strictly (RFC 9112). Its connections are passed
 * in as byte streams, so it is tested without sockets. For a failed request it
 * knows exactly whether any of it was sent.
 *
 * @module
 */

import type { Chunk } from "./bytes.ts";
import type { Connection } from "./connection.ts";
import { type Connect, Pool, type Shared } from "./pool.ts";

/** The timers that the client needs. */
export interface Timers {
  /** Calls back after this turn of the event loop and its events. */
  later(callback: () => void): void;
  /** Calls back once. */
  setTimeout(callback: () => void, ms: number): unknown;
  /** Calls back repeatedly. */
  setInterval(callback: () => void, ms: number): unknown;
  /** Clears either. */
  clear(handle: unknown): void;
}

/** Options for {@linkcode Client}. */
export interface ClientOptions {
  /** Time and timers. */
  timers: Timers;
  /** Responses up to this declared length are buffered. */
  wholeUpTo: number;
  /**
   * Whether an upload continues briefly after the end of its response: for a
   * server that closes a client's connection if the request was not read, so
   * that the response may be lost.
   */
  lingers: boolean;
  /** Whether the memory of response bodies is returned by `Answer.reuse`. */
  reuses: boolean;
  /**
   * Whether a socket may deliver bytes a turn of the event loop later than they
   * were received. A connection that has just become idle is then used a turn
   * later: bytes from before the request would otherwise be read as its
   * response (CWE-444).
   *
   * @default {false}
   */
  lags?: boolean;
}

/** Milliseconds between two sweeps of idle connections. */
const TICK_MS = 500;

/** Milliseconds to buffer a response before its head is passed on alone. */
const BUFFER_MS = 10;

/** Size of a buffer: a usual head, and a body that is kept for a retry. */
const BUFFER_BYTES = (16 + 64) * 1024;

/**
 * Buffers kept for reuse: each is in use from a write until it was sent, or
 * from the head of a small response until its body was copied.
 */
const MAX_BUFFERS = 64;

/** The connections to all backends, and what they share. */
export class Client implements Shared {
  readonly wholeUpTo: number;
  readonly lingers: boolean;
  readonly reuses: boolean;
  readonly settles: Shared["settles"];
  readonly ticksASecond: number = 1000 / TICK_MS;
  readonly #timers: Timers;
  readonly #pools = new Set<Pool>();
  readonly #watched = new Set<Pool>();
  readonly #buffers: Chunk[] = [];
  /** Connections that rest until the end of the turn. */
  #resting: Connection[] = [];
  #turn = 0;
  /** Callbacks for the end of this turn. */
  #settling: (() => void)[] = [];
  #tick = 0;
  #ticker: unknown;
  /** Buffered responses: since the last check, and from before it. */
  #buffering: Connection[] = [];
  #bufferingLonger: Connection[] = [];
  #bufferTimer: unknown;

  /** Makes a client without connections. */
  constructor(
    { timers, wholeUpTo, lingers, reuses, lags = false }: ClientOptions,
  ) {
    this.#timers = timers;
    this.wholeUpTo = wholeUpTo;
    this.lingers = lingers;
    this.reuses = reuses;
    this.settles = lags ? (callback) => this.#settles(callback) : undefined;
  }

  /** The connections to one backend, initially none. */
  pool(connect: Connect): Pool {
    const pool = new Pool(this, connect);
    this.#pools.add(pool);
    return pool;
  }

  /**
   * Closes the idle connections to a backend, and the others after their use.
   */
  retire(pool: Pool): void {
    this.#pools.delete(pool);
    pool.retire();
  }

  /** Closes every connection at once. */
  close(why: Error): void {
    for (const pool of this.#pools) pool.close(why);
    this.#pools.clear();
    this.#timers.clear(this.#ticker);
    this.#timers.clear(this.#bufferTimer);
    this.#ticker = this.#bufferTimer = undefined;
    this.#watched.clear();
    this.#buffering = this.#bufferingLonger = this.#resting = [];
  }

  get turn(): number {
    return this.#turn;
  }

  get tick(): number {
    return this.#tick;
  }

  watch(pool: Pool): void {
    this.#watched.add(pool);
    this.#ticker ??= this.#timers.setInterval(() => this.#sweep(), TICK_MS);
  }

  rest(connection: Connection): void {
    this.#resting.push(connection);
    if (this.#resting.length > 1) return;
    this.#timers.later(() => {
      const resting = this.#resting;
      this.#resting = [];
      this.#turn++;
      for (const connection of resting) connection.rested();
    });
  }

  #settles(callback: () => void): void {
    this.#settling.push(callback);
    if (this.#settling.length > 1) return;
    this.#timers.later(() => {
      const settling = this.#settling;
      this.#settling = [];
      for (const callback of settling) callback();
    });
  }

  takeBuffer(bytes: number): Chunk {
    if (bytes > BUFFER_BYTES) return new Uint8Array(bytes);
    return this.#buffers.pop() ?? new Uint8Array(BUFFER_BYTES);
  }

  returnBuffer(room: Chunk): void {
    if (room.length !== BUFFER_BYTES || this.#buffers.length === MAX_BUFFERS) {
      return;
    }
    this.#buffers.push(room);
  }

  buffering(connection: Connection): void {
    this.#buffering.push(connection);
    this.#bufferTimer ??= this.#timers.setTimeout(
      () => this.#flushBuffered(),
      BUFFER_MS,
    );
  }

  #sweep(): void {
    this.#tick++;
    for (const pool of this.#watched) {
      if (!pool.sweep()) this.#watched.delete(pool);
    }
    if (this.#watched.size > 0) return;
    this.#timers.clear(this.#ticker);
    this.#ticker = undefined;
  }

  #flushBuffered(): void {
    const longer = this.#bufferingLonger;
    this.#bufferingLonger = this.#buffering;
    this.#buffering = [];
    this.#bufferTimer = this.#bufferingLonger.length === 0
      ? undefined
      : this.#timers.setTimeout(() => this.#flushBuffered(), BUFFER_MS);
    for (const connection of longer) connection.bufferedLongEnough();
  }
}

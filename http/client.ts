/**
 * An HTTP/1.1 client: requests in, answers out, and the connections in between.
 *
 * It speaks HTTP/1.1 and nothing else, strictly (RFC 9112), and is handed its
 * connections as bytes, so that it is tested without a socket. What it knows of
 * a failed request is exact: whether anything of it was sent.
 *
 * @module
 */

import type { Chunk } from "./bytes.ts";
import type { Connection } from "./connection.ts";
import { type Connect, Pool, type Shared } from "./pool.ts";

/** Time and timers, as far as the client needs them. */
export interface Timers {
  /** Calls back when this turn of the event loop, and what came in it, is over. */
  later(callback: () => void): void;
  /** Calls back once. */
  setTimeout(callback: () => void, ms: number): unknown;
  /** Calls back again and again. */
  setInterval(callback: () => void, ms: number): unknown;
  /** Ends either. */
  clear(handle: unknown): void;
}

/** Options for {@linkcode Client}. */
export interface ClientOptions {
  /** Time and timers. */
  timers: Timers;
  /** Bytes up to which an answer of declared length is waited for whole. */
  wholeUpTo: number;
  /**
   * Whether an upload goes on for a moment behind the end of its answer: for a
   * server that closes a client's connection whose request was not read, and the
   * answer may be lost with it.
   */
  lingers: boolean;
  /** Whether the memory of a response's body is given back by `Answer.reuse`. */
  reuses: boolean;
  /**
   * Whether what a socket has read may be given a turn of the event loop later
   * than what came behind it, such as the next request. A connection that has
   * just become idle is used a turn later then: bytes that came before the
   * request would be read as its answer otherwise (CWE-444).
   *
   * @default {false}
   */
  lags?: boolean;
}

/** Milliseconds between two looks at what is kept. */
const TICK_MS = 500;

/** Milliseconds that an answer may take before its head goes ahead of its body. */
const PATIENCE_MS = 10;

/** Bytes of a room: a usual head, and a body that is kept to be sent again. */
const ROOM = (16 + 64) * 1024;

/**
 * Rooms that are kept: each is in use from a write until that has left, or from
 * a small answer's head until its body was copied.
 */
const MOST_ROOMS = 64;

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
  readonly #rooms: Chunk[] = [];
  /** Connections that rest for a turn, and whose they are. */
  #resting: Connection[] = [];
  #turn = 0;
  /** What waits for this turn to be over. */
  #settling: (() => void)[] = [];
  #tick = 0;
  #ticker: unknown;
  /** Answers that are waited for whole, since the last look and before it. */
  #gathering: Connection[] = [];
  #gatheringLonger: Connection[] = [];
  #patience: unknown;

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

  /** The connections to one backend, none so far. */
  pool(connect: Connect): Pool {
    const pool = new Pool(this, connect);
    this.#pools.add(pool);
    return pool;
  }

  /** Closes what is idle to a backend, and the rest when it has been used. */
  retire(pool: Pool): void {
    this.#pools.delete(pool);
    pool.retire();
  }

  /** Ends every connection at once, with what it carries. */
  close(why: Error): void {
    for (const pool of this.#pools) pool.close(why);
    this.#pools.clear();
    this.#timers.clear(this.#ticker);
    this.#timers.clear(this.#patience);
    this.#ticker = this.#patience = undefined;
    this.#watched.clear();
    this.#gathering = this.#gatheringLonger = this.#resting = [];
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

  takeRoom(bytes: number): Chunk {
    if (bytes > ROOM) return new Uint8Array(bytes);
    return this.#rooms.pop() ?? new Uint8Array(ROOM);
  }

  giveRoom(room: Chunk): void {
    if (room.length !== ROOM || this.#rooms.length === MOST_ROOMS) return;
    this.#rooms.push(room);
  }

  gathers(connection: Connection): void {
    this.#gathering.push(connection);
    this.#patience ??= this.#timers.setTimeout(
      () => this.#impatient(),
      PATIENCE_MS,
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

  #impatient(): void {
    const longer = this.#gatheringLonger;
    this.#gatheringLonger = this.#gathering;
    this.#gathering = [];
    this.#patience = this.#gatheringLonger.length === 0
      ? undefined
      : this.#timers.setTimeout(() => this.#impatient(), PATIENCE_MS);
    for (const connection of longer) connection.gatheredLongEnough();
  }
}

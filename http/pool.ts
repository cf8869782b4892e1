/**
 * The connections to one backend, and which request uses which.
 *
 * The most recently used connection is used first, so that those left over from
 * a burst grow old and are closed.
 *
 * @module
 */

import type { Buffers } from "./buffered_body.ts";
import type { Chunk } from "./bytes.ts";
import { type Answer, Call, type ClientRequest, Unanswered } from "./call.ts";
import { Connection, type ConnectionOwner } from "./connection.ts";
import type { Signal } from "./signal.ts";
import type { CountingSocket } from "./socket.ts";

/** Opens a connection; the signal aborts the attempt. */
export type Connect = (signal: Signal) => Promise<CountingSocket>;

/** What the connections to all backends share. */
export interface Shared extends Buffers {
  /** Responses up to this declared length are buffered. */
  readonly wholeUpTo: number;
  /** Whether an upload may continue after the end of its response. */
  readonly lingers: boolean;
  /** A clock that is cheap to read; it runs while anything is watched. */
  readonly tick: number;
  /** The speed of that clock. */
  readonly ticksASecond: number;
  /** Number of turns of the event loop in which connections were parked. */
  readonly turn: number;
  /**
   * Calls back a turn later, if a socket may deliver bytes later than they were
   * received.
   */
  readonly settles: ((callback: () => void) => void) | undefined;
  /** Calls back a connection at the end of this turn of the event loop. */
  rest(connection: Connection): void;
  /** Sweeps a pool at each tick until it has nothing left to sweep. */
  watch(pool: Pool): void;
  /** Calls back a connection when it has buffered long enough. */
  buffering(connection: Connection): void;
}

/** Maximum idle connections per backend. */
const MAX_IDLE = 1024;

/**
 * Turns of the event loop after which an idle connection has certainly
 * delivered the bytes after its last response.
 */
const AGED = 1;

/** Ticks for which kept connections of a backend that has closed one are risky. */
const RISKY_TICKS = 20;

/** Ticks for which no connection of a backend that spoke unasked is reused. */
const DISTRUSTED_TICKS = 20;

/** Ticks for which a request is still sent after the end of its response. */
const LINGER_TICKS = 2;

/** The connections to one backend. */
export class Pool implements ConnectionOwner {
  readonly wholeUpTo: number;
  readonly reuses: boolean;
  readonly #shared: Shared;
  readonly #connect: Connect;
  readonly #open = new Set<Connection>();
  /** Ordered by last use; the latest is last. */
  #idle: Connection[] = [];
  /** Connections that were parked in this turn. */
  #resting = 0;
  /** Connections whose request is still being sent, with the tick of its end. */
  readonly #lingering = new Map<Connection, number>();
  #watched = false;
  /** The tick until which kept connections are risky. */
  #riskyUntil = -1;
  /** The tick until which no connection is reused. */
  #distrustedUntil = -1;
  #retired = false;
  #closed: Error | undefined;

  /** Makes a pool without connections. */
  constructor(shared: Shared, connect: Connect) {
    this.wholeUpTo = shared.wholeUpTo;
    this.reuses = shared.reuses;
    this.#shared = shared;
    this.#connect = connect;
  }

  /** Number of open connections. */
  get size(): number {
    return this.#open.size;
  }

  /** Number of open connections without a request. */
  get idle(): number {
    return this.#idle.length + this.#resting;
  }

  /**
   * Sends a request.
   *
   * @returns Its response. Rejects with {@linkcode Unanswered}, or with the
   * reason of its signal.
   */
  send(request: ClientRequest): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const { signal } = request;
      if (signal.aborted) return reject(signal.reason);
      const call = new Call(request, resolve, reject);
      const { settles } = this.#shared;
      if (
        settles === undefined || this.#idle.length === 0 ||
        this.#lastAged() >= 0
      ) this.#send(call);
      else settles(() => this.#send(call));
    });
  }

  /** Sends it on an idle connection, if there is one. */
  #send(call: Call): void {
    const { signal, alone } = call.request;
    if (signal.aborted) return call.reject(signal.reason);
    const idle = alone === true || this.#isRisky(call)
      ? undefined
      : this.#take();
    if (idle === undefined) this.#fresh(call);
    else this.#begin(idle, call);
  }

  /** Closes idle connections, and keeps none from now on. */
  retire(): void {
    this.#retired = true;
    const idle = this.#idle;
    this.#idle = [];
    for (const connection of idle) connection.close(RETIRED);
    if (this.#open.size > 0) this.#watch();
  }

  /** Closes every connection at once, with the request that it carries. */
  close(why: Error): void {
    this.#closed = why;
    for (const connection of this.#open) connection.close(why);
  }

  /** Closes connections that are too old; returns whether to sweep again. */
  sweep(): boolean {
    const { tick } = this.#shared;
    const old = this.#idle.filter(({ until }) => tick >= until);
    if (old.length > 0) {
      this.#idle = this.#idle.filter(({ until }) => tick < until);
      for (const connection of old) connection.close(TOO_OLD);
    }
    for (const [connection, until] of this.#lingering) {
      if (tick >= until) connection.close(TOO_OLD);
    }
    return this.#watched = this.#idle.length > 0 || this.#lingering.size > 0 ||
      this.#distrusted || (this.#retired && this.#open.size > 0);
  }

  takeBuffer(bytes: number): Chunk {
    return this.#shared.takeBuffer(bytes);
  }

  returnBuffer(room: Chunk): void {
    this.#shared.returnBuffer(room);
  }

  buffering(connection: Connection): void {
    this.#shared.buffering(connection);
  }

  parked(connection: Connection, seconds: number): void {
    this.#lingering.delete(connection);
    if (this.#retired || this.#distrusted || this.idle >= MAX_IDLE) {
      connection.close(RETIRED);
      return;
    }
    const { tick, ticksASecond } = this.#shared;
    connection.until = tick + seconds * ticksASecond;
    // Not used in the same turn: bytes after the end of the response must be
    // seen first, or they would be read as the next response.
    connection.resting = true;
    this.#resting++;
    this.#shared.rest(connection);
  }

  rested(connection: Connection): void {
    this.#resting--;
    if (this.#retired || this.#distrusted) return connection.close(RETIRED);
    connection.since = this.#shared.turn;
    this.#idle.push(connection);
    this.#watch();
  }

  lingers(connection: Connection, reads: boolean): boolean {
    if (reads && !this.#shared.lingers) return false;
    this.#lingering.set(connection, this.#shared.tick + LINGER_TICKS);
    this.#watch();
    return true;
  }

  closed(connection: Connection): void {
    this.#open.delete(connection);
    this.#lingering.delete(connection);
    if (connection.resting) this.#resting--;
    const at = this.#idle.lastIndexOf(connection);
    if (at >= 0) this.#idle.splice(at, 1);
    // Its peer has closed it, or has sent what nothing asked for: before this
    // side closes one, it removes it from the idle ones.
    if (connection.resting || at >= 0) {
      this.#riskyUntil = this.#shared.tick + RISKY_TICKS;
    }
    if (connection.unasked) this.#distrust();
  }

  again(call: Call, sent: boolean): boolean {
    call.sent ||= sent;
    if (this.#closed !== undefined || call.begun) return false;
    if (call.sent && !call.request.repeatable) return false;
    this.#fresh(call);
    return true;
  }

  /**
   * A backend may close a kept connection just as a request is sent on it. What
   * can be repeated is; anything else is lost then. So once a backend has closed
   * a kept connection, such requests are sent on new ones for 10 s: of those that
   * close each connection without announcing it, a third of all POSTs failed.
   */
  #isRisky({ request }: Call): boolean {
    return this.#shared.tick < this.#riskyUntil &&
      !(request.repeatable && request.payload === undefined);
  }

  get #distrusted(): boolean {
    return this.#shared.tick < this.#distrustedUntil;
  }

  /**
   * A backend has sent bytes that no request had asked for: a second answer, or
   * the body of a response that has none. Such bytes close their connection, but
   * if they came just after the next request was sent, they would be its
   * response. So for 10 s each request has a connection of its own.
   */
  #distrust(): void {
    this.#distrustedUntil = this.#shared.tick + DISTRUSTED_TICKS;
    const idle = this.#idle;
    this.#idle = [];
    for (const connection of idle) connection.close(DISTRUSTED);
    this.#watch();
  }

  #take(): Connection | undefined {
    const { tick } = this.#shared;
    for (;;) {
      const at = this.#shared.settles === undefined ? -1 : this.#lastAged();
      const idle = at < 0 ? this.#idle.pop() : this.#idle.splice(at, 1)[0];
      if (idle === undefined || tick < idle.until) return idle;
      idle.close(TOO_OLD);
    }
  }

  /** Index of a connection that was idle for {@linkcode AGED} turns, or -1. */
  #lastAged(): number {
    const { turn } = this.#shared;
    let at = this.#idle.length - 1;
    while (at >= 0 && turn - this.#idle[at]!.since < AGED) at--;
    return at;
  }

  /** Sends a request on a new connection. */
  async #fresh(call: Call): Promise<void> {
    const { signal } = call.request;
    let socket: CountingSocket;
    try {
      socket = await this.#connect(signal);
    } catch (error) {
      call.reject(
        signal.aborted
          ? signal.reason
          : new Unanswered("unconnected", call.sent, error),
      );
      return;
    }
    if (signal.aborted || this.#closed !== undefined) {
      socket.destroy();
      call.reject(signal.aborted ? signal.reason : this.#closed);
      return;
    }
    const connection = new Connection(socket, this);
    if (connection.closed) {
      call.reject(new Unanswered("ended", call.sent, undefined));
      return;
    }
    this.#open.add(connection);
    this.#begin(connection, call);
  }

  #begin(connection: Connection, call: Call): void {
    try {
      connection.begin(call);
    } catch (error) {
      connection.close(error);
      call.reject(new Unanswered("unsendable", call.sent, error));
    }
  }

  #watch(): void {
    if (this.#watched) return;
    this.#watched = true;
    this.#shared.watch(this);
  }
}

const RETIRED = new Error("Cannot keep the connection: it is not needed");
const DISTRUSTED = new Error(
  "Cannot keep the connection: the backend has sent what was not asked for",
);
const TOO_OLD = new Error("Cannot keep the connection: it is too old");

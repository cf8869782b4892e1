/**
 * A connection to a backend in a test's hands, for the HTTP client.
 *
 * @module
 */

import { bytesOf, type Chunk, joined, latin1 } from "../http/bytes.ts";
import type { CountingSocket, SocketEvents } from "../http/socket.ts";

/**
 * How bytes arrive: each chunk in its own memory, as on Bun, or in a buffer
 * that is overwritten as soon as the listener allows, as on Deno.
 */
export type Delivery = "own" | "reused";

/** Both. */
export const DELIVERIES: readonly Delivery[] = ["own", "reused"];

/** Size of a buffer that is overwritten. */
const ROOM = 512;

/** Behaves as a runtime's socket does, and records what is done to it. */
export class FakeConnection implements CountingSocket {
  readonly ahead: number;
  queued = 0;
  left = 0;
  paused = true;
  destroyed = false;
  /** Whether written bytes stay queued until {@linkcode release}. */
  holds = false;
  /** Whether writing fails from now on. */
  deaf = false;
  /** Called with what is written. */
  answer: ((text: string) => void) | undefined;
  readonly #delivery: Delivery;
  readonly #written: Chunk[] = [];
  readonly #held: Chunk[] = [];
  #room = new Uint8Array(ROOM);
  /** Where the next bytes are put; known before they come. */
  #place: Chunk | undefined;
  #events: SocketEvents | undefined;
  #waiting: Chunk[] = [];
  #over: { error?: Error } | undefined;

  constructor(delivery: Delivery = "own") {
    this.#delivery = delivery;
    this.ahead = delivery === "own" ? 256 * 1024 : 1;
  }

  /** All that has left, as text. */
  get written(): string {
    return this.#written.length === 0 ? "" : latin1(joined(this.#written));
  }

  /** How many writes that were. */
  get writes(): number {
    return this.#written.length;
  }

  /** Bytes that have come and were not read. */
  get unread(): number {
    return this.#waiting.reduce((sum, { length }) => sum + length, 0);
  }

  listen(events: SocketEvents): void {
    this.#events = events;
  }

  write(bytes: Chunk): void {
    if (this.destroyed || this.deaf) return;
    this.queued += bytes.length;
    this.#held.push(bytes);
    if (!this.holds) this.#leave();
  }

  /** Sends the queued bytes. */
  release(): void {
    this.holds = false;
    this.#leave();
    this.#events?.drained();
  }

  pause(): void {
    this.paused = true;
  }

  resume(): void {
    this.paused = false;
    this.#flow();
  }

  end(): void {}

  destroy(): void {
    this.destroyed = true;
    this.queued = 0;
    this.#waiting = [];
    this.#events = undefined;
  }

  /** Bytes from the backend. */
  receive(bytes: string | Chunk): void {
    this.#waiting.push(typeof bytes === "string" ? bytesOf(bytes) : bytes);
    this.#flow();
  }

  /** The backend ends it. */
  finish(error?: Error): void {
    this.#over = error === undefined ? {} : { error };
    this.#flow();
  }

  #leave(): void {
    for (const bytes of this.#held.splice(0)) {
      this.#written.push(bytes.slice());
      this.queued -= bytes.length;
      this.left += bytes.length;
      this.answer?.(latin1(bytes));
    }
  }

  #flow(): void {
    while (!this.paused && !this.destroyed && this.#waiting.length > 0) {
      const bytes = this.#waiting.shift()!;
      if (this.#delivery === "own") this.#events?.data(bytes.slice());
      else this.#fill(bytes);
    }
    if (this.#delivery !== "own" && !this.paused) this.#read();
    if (this.#over === undefined || this.destroyed) return;
    if (this.#waiting.length > 0 || this.paused) return;
    const { error } = this.#over;
    this.#over = undefined;
    this.#events?.ended(error);
  }

  /** Begins a read, as Deno's sockets do as soon as the last one has ended. */
  #read(): Chunk {
    return this.#place ??= this.#events?.room?.() ?? this.#room;
  }

  #fill(bytes: Chunk): void {
    const room = this.#read();
    this.#place = undefined;
    const size = Math.min(room.length, bytes.length);
    room.set(bytes.subarray(0, size));
    if (size < bytes.length) this.#waiting.unshift(bytes.subarray(size));
    const free = this.#events?.data(room.subarray(0, size)) === true;
    if (room !== this.#room) return;
    // Memory that was released is filled with bytes that no test expects.
    if (free) room.fill(0x23);
    else this.#room = new Uint8Array(ROOM);
  }
}

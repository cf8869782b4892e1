/**
 * The bridge between a backend's connection and a client's WebSocket.
 *
 * Messages go to and fro whole, since the runtimes' servers know no frames;
 * pings are answered on each side by the one that is asked (RFC 6455 §5.5.2 lets
 * them go no further). Whatever one side does not take yet, the other side is
 * kept from sending.
 *
 * A bridge is the one owner of the backend's connection from its making on, and
 * ends it in every case: {@linkcode Bridge.look} sees to what does not end by
 * itself.
 *
 * @module
 */

import type { Chunk } from "../http/bytes.ts";
import type { Socket } from "../http/socket.ts";
import type { BridgeBudget, Holder } from "./bridge_budget.ts";
import {
  CLOSE,
  closeFrame,
  encoded,
  frameOf,
  FrameReader,
  mayBeSent,
  OPCODE,
} from "./frames.ts";
import type { Opened } from "./handshake.ts";
import { Inbox } from "./inbox.ts";
import type { ClientEnd, ClientEvents } from "./socket.ts";

/** Bytes on their way to a backend past which the client has to wait. */
const ENOUGH = 1024 * 1024;
/**
 * The same where a client cannot be made to wait, which is Deno: past it and one
 * message more, the client is told that messages are lost, with 1013. Another
 * message may come on top of that, since each is taken whole.
 */
const TOO_MUCH = 16 * 1024 * 1024;
/** Messages of a client after which others have their turn. */
const TURN = 1_000;
/** Milliseconds that a client has to take its 101. */
const OPENING_MS = 2_000;
/** Milliseconds without any progress after which a side that is closing is cut. */
const LINGER_MS = 10_000;
/** Milliseconds that a backend has to end a connection that was closed. */
const FAREWELL_MS = 1_000;

/** Options of a {@linkcode Bridge}. */
export interface BridgeOptions {
  /** Bytes of a message, either way. */
  maxMessageBytes: number;
  /** What this and all other bridges may hold. */
  budget: BridgeBudget;
  /** Calls when both sides have ended. Once. */
  over: () => void;
  /** Takes a line for the log. */
  log: (line: string) => void;
  /** Milliseconds on a clock that never goes back. */
  now: () => number;
  /** Calls once others have had their turn. */
  later: (callback: () => void) => void;
}

/** One WebSocket through the proxy. */
export class Bridge implements ClientEvents, Holder {
  readonly #socket: Socket;
  readonly #options: BridgeOptions;
  readonly #reader: FrameReader;
  #client: ClientEnd | undefined;
  /** Nothing is sent to the client any more. */
  #clientClosed = false;
  /** The client's side is over. */
  #clientOver = false;
  /** The client is not read, until its backend has taken what it sent. */
  #clientWaits = false;
  /** Messages of the client in this turn, and those that wait for the next. */
  #turn = 0;
  readonly #inbox = new Inbox();
  /** How the client has ended, behind what waits. */
  #clientSaid: [code: number, reason: string] | undefined;
  /** The client has no room for more; it is told when there is. */
  #clientFull = false;
  /** The backend was sent a close frame, or the end without one. */
  #backendClosed = false;
  /** The backend has said that it sends no more. */
  #backendSaid = false;
  /** The backend has ended its connection; what it had sent may be held back. */
  #backendLeft = false;
  #backendOver = false;
  /** What a ping asks to be answered with; the last of many is enough. */
  #ping: Chunk | undefined;
  #leaving = false;
  #over = false;
  #shedding = false;
  /** When something last moved on the way to the end. */
  #movedAt: number;
  #queued = 0;
  /** Bytes of messages to the client. */
  bytes = 0;
  counted = 0;

  /** Makes a bridge of a backend's connection, for a client still to come. */
  constructor({ socket, rest }: Opened, options: BridgeOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#movedAt = options.now();
    this.#reader = new FrameReader({
      message: (data) => this.#toClient(data),
      ping: (payload) => {
        this.#ping = payload;
      },
      closed: (code, reason) => {
        this.#backendSaid = true;
        this.#closeBackend(code, reason);
        this.#closeClient(code, reason);
      },
      failed: (code, reason) => {
        this.#backendSaid = true;
        options.log(`a backend's WebSocket breaks the rules: ${reason}`);
        this.#closeBackend(code, reason);
        socket.end();
        this.#cutClient();
      },
      turned: () => {
        socket.pause();
        options.later(() => this.#goOn());
      },
    }, options.maxMessageBytes);
    this.#reader.pause();
    for (const bytes of rest) this.#reader.push(bytes);
    socket.listen({
      data: (bytes) => {
        // Behind its close frame it has nothing to say (RFC 6455 §5.5.1).
        if (this.#backendSaid) return this.#backendEnds();
        this.#reader.push(bytes);
        this.#afterReading();
      },
      ended: (error) => {
        this.#backendLeft = true;
        if (error !== undefined || !this.#reader.waits) this.#backendEnds();
      },
      drained: () => {
        if (!this.#clientWaits) return;
        this.#clientWaits = false;
        this.#clientGoesOn();
      },
    });
  }

  opened(end: ClientEnd): void {
    this.#client = end;
    // Too late: it was given up already.
    if (this.#clientOver) return end.cut();
    this.#moved();
    if (this.#leaving) this.#closeClient(CLOSE.goingAway, "");
    this.#goOn();
    // It has left before the client came.
    if (this.#backendOver && !this.#backendSaid) this.#cutClient();
  }

  message(data: string | Chunk): void {
    if (this.#backendClosed || this.#backendOver) return;
    if (this.#turn === TURN) {
      this.#inbox.push(data);
      if (this.#inbox.bytes > this.#most) this.#tooSlow();
      return;
    }
    if (++this.#turn === TURN) this.#waitsItsTurn();
    this.#toBackend(data);
  }

  drained(): void {
    this.#clientFull = false;
    this.#goOn();
  }

  closed(code: number, reason: string): void {
    if (this.#clientOver) return;
    if (!this.#inbox.empty) {
      this.#clientSaid = [code, reason];
      return;
    }
    this.#clientOver = this.#clientClosed = true;
    if (mayBeSent(code)) {
      this.#closeBackend(code, reason);
    } else if (code === CLOSE.none) {
      this.#closeBackend(undefined, "");
    } else {
      this.#leaveBackend();
    }
    // What still comes is passed on to no one, and has to be read to see the end.
    this.#goOn();
    this.#moved();
    this.#check();
  }

  /** Closes both sides, since this process ends. */
  goAway(): void {
    if (this.#leaving) return;
    this.#leaving = true;
    this.#closeClient(CLOSE.goingAway, "");
    this.#closeBackend(CLOSE.goingAway, "");
  }

  /** Ends it where the client's side cannot be had. */
  abandon(): void {
    this.#clientOver = this.#clientClosed = true;
    this.#backendEnds();
    this.#check();
  }

  get held(): number {
    return this.#reader.held + this.#socket.queued + this.#inbox.bytes +
      (this.#client?.queued ?? 0);
  }

  get shedding(): boolean {
    return this.#shedding;
  }

  shed(): void {
    this.#shedding = true;
    this.#options.log("WebSockets hold too much: the largest is closed");
    this.#reader.stop();
    this.#inbox.clear();
    this.#closeClient(CLOSE.tryAgainLater, "too much is waiting");
    // A close frame comes behind what waits, and what waits is what is too much.
    if ((this.#client?.queued ?? 0) > ENOUGH) this.#client!.cut();
    if (this.#socket.queued > ENOUGH) return this.#backendEnds();
    this.#closeBackend(CLOSE.goingAway, "");
  }

  /** Looks whether a side that should have ended has not. */
  look(now: number): void {
    if (this.counted > 0) this.#options.budget.count(this);
    const { queued } = this.#socket;
    if (queued !== this.#queued) {
      this.#queued = queued;
      this.#movedAt = now;
    }
    const still = now - this.#movedAt;
    if (this.#client === undefined) {
      // A client that left between its request and the 101.
      if (still >= OPENING_MS) this.abandon();
    } else if (this.#backendClosed && !this.#backendOver) {
      if (still >= (queued > 0 ? LINGER_MS : FAREWELL_MS)) this.#backendEnds();
    } else if (this.#backendOver && still >= LINGER_MS) {
      // A client that does not answer a close frame.
      this.#client.cut();
      this.#clientOver = true;
      this.#check();
    }
  }

  /** Reads on, as far as the client takes what comes. */
  #goOn(): void {
    // It cannot be told anything yet, or any more for now.
    if (this.#client === undefined) return;
    if (this.#clientFull && !this.#clientClosed) return;
    this.#reader.resume();
    this.#afterReading();
    if (!this.#reader.paused && !this.#backendOver) this.#socket.resume();
  }

  #toBackend(data: string | Chunk): void {
    if (this.#backendClosed || this.#backendOver) return;
    const socket = this.#socket;
    const client = this.#client;
    const { maxMessageBytes, budget } = this.#options;
    const waited = socket.queued;
    if (waited > this.#most && client?.pause === undefined) {
      return this.#tooSlow();
    }
    const payload = encoded(data);
    if (payload.length > maxMessageBytes) {
      this.#closeClient(CLOSE.tooBig, "message too big");
      return this.#leaveBackend();
    }
    const opcode = typeof data === "string" ? OPCODE.text : OPCODE.binary;
    socket.write(frameOf(opcode, payload));
    const { queued } = socket;
    if (queued >= ENOUGH && client?.pause !== undefined) {
      this.#clientWaits = true;
      client.pause();
    }
    if (queued > waited) budget.count(this);
  }

  /** Bytes that may wait when another message comes. */
  get #most(): number {
    return this.#options.maxMessageBytes + TOO_MUCH;
  }

  #tooSlow(): void {
    this.#options.log("a backend reads a WebSocket too slowly: closed");
    this.#closeClient(CLOSE.tryAgainLater, "the backend reads too slowly");
    this.#closeBackend(CLOSE.goingAway, "");
  }

  /**
   * Lets others have their turn. Bun hands over all that it has read at once,
   * which may be 80,000 messages, whatever it is told meanwhile.
   */
  #waitsItsTurn(): void {
    this.#client?.pause?.();
    this.#options.later(() => {
      for (this.#turn = 0; !this.#inbox.empty && this.#turn < TURN;) {
        this.#turn++;
        this.#toBackend(this.#inbox.take());
      }
      if (!this.#inbox.empty) this.#options.budget.count(this);
      if (this.#turn === TURN) return this.#waitsItsTurn();
      if (this.#clientSaid !== undefined) this.closed(...this.#clientSaid);
      this.#clientGoesOn();
    });
  }

  /** Reads the client again, unless its backend has to take something first. */
  #clientGoesOn(): void {
    if (this.#turn === TURN) return;
    if (!this.#clientWaits && !this.#clientClosed) this.#client?.resume?.();
  }

  #afterReading(): void {
    const ping = this.#ping;
    if (ping !== undefined) {
      this.#ping = undefined;
      // RFC 6455 §5.5.3 lets the last of many be enough.
      if (!this.#backendClosed && this.#socket.queued < ENOUGH) {
        this.#socket.write(frameOf(OPCODE.pong, ping));
      }
    }
    if (this.#backendLeft && !this.#reader.waits) this.#backendEnds();
    if (!this.#over) this.#options.budget.count(this);
  }

  #toClient(data: string | Chunk): void {
    if (this.#clientClosed) return;
    this.bytes += data.length;
    if (this.#client!.send(data)) return;
    this.#clientFull = true;
    this.#reader.pause();
    this.#socket.pause();
  }

  #closeClient(code: number | undefined, reason: string): void {
    if (this.#clientClosed || this.#client === undefined) return;
    this.#clientClosed = true;
    this.#moved();
    this.#client.close(code, reason);
    // Nothing is held back for it any more.
    this.#goOn();
  }

  #cutClient(): void {
    if (this.#clientClosed || this.#client === undefined) return;
    this.#clientClosed = true;
    this.#moved();
    this.#client.cut();
  }

  #closeBackend(code: number | undefined, reason: string): void {
    if (this.#backendClosed) return;
    this.#backendClosed = true;
    this.#moved();
    this.#socket.write(closeFrame(code, reason));
  }

  /** Says it as it happened: the end without a close frame. */
  #leaveBackend(): void {
    if (this.#backendClosed) return;
    this.#backendClosed = true;
    this.#moved();
    this.#socket.end();
  }

  /** The backend's side is over, whatever it still had to say. */
  #backendEnds(): void {
    if (this.#backendOver) return;
    this.#backendOver = this.#backendClosed = true;
    this.#moved();
    this.#reader.stop();
    this.#inbox.clear();
    // What was written to it may still be on the way out.
    this.#socket.end();
    this.#socket.destroy();
    if (!this.#backendSaid) this.#cutClient();
    this.#check();
  }

  #moved(): void {
    this.#movedAt = this.#options.now();
  }

  #check(): void {
    if (this.#over || !this.#clientOver || !this.#backendOver) return;
    this.#over = true;
    this.#options.budget.remove(this);
    this.#options.over();
  }
}

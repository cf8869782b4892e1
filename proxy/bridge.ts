/**
 * The bridge between a backend's connection and a client's WebSocket.
 *
 * Messages are passed on whole, since the runtimes' servers expose no frames.
 * Each side's pings are answered here (RFC 6455 §5.5.2 requires no end-to-end
 * ping). While one side does not accept data, the other side is not read.
 *
 * A bridge owns the backend's connection from the start, and always closes it:
 * {@linkcode Bridge.checkTimeouts} handles sides that do not end by themselves.
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

/** Bytes queued for a backend above which the client is not read. */
const HIGH_WATER = 1024 * 1024;
/**
 * The same where a client cannot be paused, which is Deno: above this plus one
 * message, the connection is closed with 1013, since messages would be lost.
 * One more message may exceed it, since each is accepted whole.
 */
const MAX_QUEUED = 16 * 1024 * 1024;
/** Messages of a client that are handled before other work runs. */
const MESSAGES_PER_TURN = 1_000;
/** Milliseconds for a client to accept its 101. */
const OPEN_TIMEOUT_MS = 2_000;
/** Milliseconds without progress after which a closing side is cut. */
const CLOSE_TIMEOUT_MS = 10_000;
/** Milliseconds for a backend to close its connection after a close frame. */
const BACKEND_CLOSE_MS = 1_000;

/** Options of a {@linkcode Bridge}. */
export interface BridgeOptions {
  /** Maximum bytes of a message, either way. */
  maxMessageBytes: number;
  /** Limit on the bytes held by all bridges. */
  budget: BridgeBudget;
  /** Called once, when both sides have ended. */
  over: () => void;
  /** Takes a line for the log. */
  log: (line: string) => void;
  /** Milliseconds on a monotonic clock. */
  now: () => number;
  /** Calls back after other pending work. */
  later: (callback: () => void) => void;
}

/** One WebSocket through the proxy. */
export class Bridge implements ClientEvents, Holder {
  readonly #socket: Socket;
  readonly #options: BridgeOptions;
  readonly #reader: FrameReader;
  #client: ClientEnd | undefined;
  /** Nothing more is sent to the client. */
  #clientClosed = false;
  /** The client's side has ended. */
  #clientOver = false;
  /** The client is paused until its backend has accepted data. */
  #clientPaused = false;
  /** Messages of the client in this turn; further ones wait in the inbox. */
  #turn = 0;
  readonly #inbox = new Inbox();
  /** How the client has closed, to be applied after the inbox. */
  #clientClose: [code: number, reason: string] | undefined;
  /** The client accepts no more data until `drained()`. */
  #clientFull = false;
  /** A close frame, or the end without one, was sent to the backend. */
  #backendClosed = false;
  /** The backend has sent a close frame or broken the protocol. */
  #backendDone = false;
  /** The backend has closed its connection; received data may still wait. */
  #backendEof = false;
  #backendOver = false;
  /** Payload of the latest ping, which is the only one to answer. */
  #ping: Chunk | undefined;
  #goingAway = false;
  #over = false;
  #shedding = false;
  /** When there was last progress towards the end. */
  #progressAt: number;
  #queued = 0;
  /** Bytes of messages to the client. */
  bytes = 0;
  counted = 0;

  /** Makes a bridge for a backend's connection; the client follows. */
  constructor({ socket, rest }: Opened, options: BridgeOptions) {
    this.#socket = socket;
    this.#options = options;
    this.#progressAt = options.now();
    this.#reader = new FrameReader({
      message: (data) => this.#sendToClient(data),
      ping: (payload) => {
        this.#ping = payload;
      },
      closed: (code, reason) => {
        this.#backendDone = true;
        this.#closeBackend(code, reason);
        this.#closeClient(code, reason);
      },
      failed: (code, reason) => {
        this.#backendDone = true;
        options.log(`a backend's WebSocket violates the protocol: ${reason}`);
        this.#closeBackend(code, reason);
        socket.end();
        this.#cutClient();
      },
      yielded: () => {
        socket.pause();
        options.later(() => this.#resume());
      },
    }, options.maxMessageBytes);
    this.#reader.pause();
    for (const bytes of rest) this.#reader.push(bytes);
    socket.listen({
      data: (bytes) => {
        // Nothing may follow its close frame (RFC 6455 §5.5.1).
        if (this.#backendDone) return this.#backendEnded();
        this.#reader.push(bytes);
        this.#afterReading();
      },
      ended: (error) => {
        this.#backendEof = true;
        if (error !== undefined || !this.#reader.waits) this.#backendEnded();
      },
      drained: () => {
        if (!this.#clientPaused) return;
        this.#clientPaused = false;
        this.#resumeClient();
      },
    });
  }

  opened(end: ClientEnd): void {
    this.#client = end;
    // Too late: the bridge was abandoned already.
    if (this.#clientOver) return end.cut();
    this.#progress();
    if (this.#goingAway) this.#closeClient(CLOSE.goingAway, "");
    this.#resume();
    // The backend may have ended before the client was ready.
    if (this.#backendOver && !this.#backendDone) this.#cutClient();
  }

  message(data: string | Chunk): void {
    if (this.#backendClosed || this.#backendOver) return;
    if (this.#turn === MESSAGES_PER_TURN) {
      this.#inbox.push(data);
      if (this.#inbox.bytes > this.#maxQueued) this.#closeTooSlow();
      return;
    }
    if (++this.#turn === MESSAGES_PER_TURN) this.#yieldTurn();
    this.#sendToBackend(data);
  }

  drained(): void {
    this.#clientFull = false;
    this.#resume();
  }

  closed(code: number, reason: string): void {
    if (this.#clientOver) return;
    if (!this.#inbox.empty) {
      this.#clientClose = [code, reason];
      return;
    }
    this.#clientOver = this.#clientClosed = true;
    if (mayBeSent(code)) {
      this.#closeBackend(code, reason);
    } else if (code === CLOSE.none) {
      this.#closeBackend(undefined, "");
    } else {
      this.#endBackend();
    }
    // Further data of the backend is dropped, but must be read to see the end.
    this.#resume();
    this.#progress();
    this.#check();
  }

  /** Closes both sides because this process ends. */
  goAway(): void {
    if (this.#goingAway) return;
    this.#goingAway = true;
    this.#closeClient(CLOSE.goingAway, "");
    this.#closeBackend(CLOSE.goingAway, "");
  }

  /** Ends it when the client's side cannot be opened. */
  abandon(): void {
    this.#clientOver = this.#clientClosed = true;
    this.#backendEnded();
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
    this.#options.log(
      "WebSockets hold too much memory: closing the one that holds most",
    );
    this.#reader.stop();
    this.#inbox.clear();
    this.#closeClient(CLOSE.tryAgainLater, "too much is waiting");
    // A close frame would queue behind the data, which is what is too much.
    if ((this.#client?.queued ?? 0) > HIGH_WATER) this.#client!.cut();
    if (this.#socket.queued > HIGH_WATER) return this.#backendEnded();
    this.#closeBackend(CLOSE.goingAway, "");
  }

  /** Ends sides that should have ended by now. */
  checkTimeouts(now: number): void {
    if (this.counted > 0) this.#options.budget.count(this);
    const { queued } = this.#socket;
    if (queued !== this.#queued) {
      this.#queued = queued;
      this.#progressAt = now;
    }
    const still = now - this.#progressAt;
    if (this.#client === undefined) {
      // The client disconnected between its request and the 101.
      if (still >= OPEN_TIMEOUT_MS) this.abandon();
    } else if (this.#backendClosed && !this.#backendOver) {
      const limit = queued > 0 ? CLOSE_TIMEOUT_MS : BACKEND_CLOSE_MS;
      if (still >= limit) this.#backendEnded();
    } else if (this.#backendOver && still >= CLOSE_TIMEOUT_MS) {
      // The client does not answer the close frame.
      this.#client.cut();
      this.#clientOver = true;
      this.#check();
    }
  }

  /** Reads on, if the client can accept data. */
  #resume(): void {
    // The client is not open yet, or not writable at the moment.
    if (this.#client === undefined) return;
    if (this.#clientFull && !this.#clientClosed) return;
    this.#reader.resume();
    this.#afterReading();
    if (!this.#reader.paused && !this.#backendOver) this.#socket.resume();
  }

  #sendToBackend(data: string | Chunk): void {
    if (this.#backendClosed || this.#backendOver) return;
    const socket = this.#socket;
    const client = this.#client;
    const { maxMessageBytes, budget } = this.#options;
    const waited = socket.queued;
    if (waited > this.#maxQueued && client?.pause === undefined) {
      return this.#closeTooSlow();
    }
    const payload = encoded(data);
    if (payload.length > maxMessageBytes) {
      this.#closeClient(CLOSE.tooBig, "message too big");
      return this.#endBackend();
    }
    const opcode = typeof data === "string" ? OPCODE.text : OPCODE.binary;
    socket.write(frameOf(opcode, payload));
    const { queued } = socket;
    if (queued >= HIGH_WATER && client?.pause !== undefined) {
      this.#clientPaused = true;
      client.pause();
    }
    if (queued > waited) budget.count(this);
  }

  /** Queued bytes above which no further message is accepted. */
  get #maxQueued(): number {
    return this.#options.maxMessageBytes + MAX_QUEUED;
  }

  #closeTooSlow(): void {
    this.#options.log("a WebSocket is closed: its backend reads too slowly");
    this.#closeClient(CLOSE.tryAgainLater, "the backend reads too slowly");
    this.#closeBackend(CLOSE.goingAway, "");
  }

  /**
   * Lets other work run. Bun delivers everything that it has read at once, up
   * to 80,000 messages, even after `pause()`.
   */
  #yieldTurn(): void {
    this.#client?.pause?.();
    this.#options.later(() => {
      for (
        this.#turn = 0;
        !this.#inbox.empty && this.#turn < MESSAGES_PER_TURN;
      ) {
        this.#turn++;
        this.#sendToBackend(this.#inbox.take());
      }
      if (!this.#inbox.empty) this.#options.budget.count(this);
      if (this.#turn === MESSAGES_PER_TURN) return this.#yieldTurn();
      if (this.#clientClose !== undefined) this.closed(...this.#clientClose);
      this.#resumeClient();
    });
  }

  /** Reads the client again, unless its backend must accept data first. */
  #resumeClient(): void {
    if (this.#turn === MESSAGES_PER_TURN) return;
    if (!this.#clientPaused && !this.#clientClosed) this.#client?.resume?.();
  }

  #afterReading(): void {
    const ping = this.#ping;
    if (ping !== undefined) {
      this.#ping = undefined;
      // RFC 6455 §5.5.3: answering only the latest ping is enough.
      if (!this.#backendClosed && this.#socket.queued < HIGH_WATER) {
        this.#socket.write(frameOf(OPCODE.pong, ping));
      }
    }
    if (this.#backendEof && !this.#reader.waits) this.#backendEnded();
    if (!this.#over) this.#options.budget.count(this);
  }

  #sendToClient(data: string | Chunk): void {
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
    this.#progress();
    this.#client.close(code, reason);
    // Data for it is dropped from now on.
    this.#resume();
  }

  #cutClient(): void {
    if (this.#clientClosed || this.#client === undefined) return;
    this.#clientClosed = true;
    this.#progress();
    this.#client.cut();
  }

  #closeBackend(code: number | undefined, reason: string): void {
    if (this.#backendClosed) return;
    this.#backendClosed = true;
    this.#progress();
    this.#socket.write(closeFrame(code, reason));
  }

  /** Ends the backend's side without a close frame, as the client did. */
  #endBackend(): void {
    if (this.#backendClosed) return;
    this.#backendClosed = true;
    this.#progress();
    this.#socket.end();
  }

  /** The backend's side has ended; data that was not passed on is dropped. */
  #backendEnded(): void {
    if (this.#backendOver) return;
    this.#backendOver = this.#backendClosed = true;
    this.#progress();
    this.#reader.stop();
    this.#inbox.clear();
    // Data written to it may still be in the send buffer.
    this.#socket.end();
    this.#socket.destroy();
    if (!this.#backendDone) this.#cutClient();
    this.#check();
  }

  #progress(): void {
    this.#progressAt = this.#options.now();
  }

  #check(): void {
    if (this.#over || !this.#clientOver || !this.#backendOver) return;
    this.#over = true;
    this.#options.budget.remove(this);
    this.#options.over();
  }
}

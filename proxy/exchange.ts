/**
 * One request from its arrival to the end of its response: its state, and what
 * can end it from this side.
 *
 * @module
 */

import type { Backend } from "../balancer.ts";
import { Abort } from "../http/signal.ts";
import type { Arrival } from "./arrival.ts";
import type { Bridge } from "./bridge.ts";
import type { Target } from "./guard.ts";
import type { Read } from "./fields.ts";
import { Swept, TICK_MS } from "./in_flight.ts";
import type { Attempt } from "./observed.ts";
import type { Ending, Relay, RelayOwner } from "./relay.ts";
import {
  CLIENT_LEFT,
  CLIENT_SLOW,
  IDLE,
  STOPPED,
  TIMED_OUT,
  TOO_LARGE,
} from "./reasons.ts";
import type { Trace } from "./trace.ts";
import { type ClientBody, NO_UPLOAD, type Upload } from "./upload.ts";
import type { Waiting } from "./waiting.ts";

/** The time limits of a request in milliseconds; `Infinity` for none. */
export interface Limits {
  /** From the last byte sent to a backend to its response header. */
  timeoutMs: number;
  /** For a client to send or to accept the next chunk of a body. */
  clientTimeoutMs: number;
  /** For a backend to send the next chunk of a body that has begun. */
  idleTimeoutMs: number;
}

/** Runs the steps of exchanges. */
export interface Owner {
  /** The time limits. */
  readonly limits: Limits;
  /** The exchange has lasted longer than a tick. */
  longRunning(x: Exchange): void;
  /** A relayed body has ended. */
  relayed(x: Exchange, how: Ending): void;
  /** The client reads nothing; its connection must be cut. */
  release(x: Exchange): void;
  /** The current time. */
  now(): number;
}

/** What the guard has read from a request. */
export interface Guarded {
  /** The `Host` that the client sent, if it sent one. */
  readonly host: string | undefined;
  readonly target: Target;
  /** The request's `Content-Length`, if it has one. */
  readonly length: string | null;
  /** Whether it requests a WebSocket. */
  readonly upgrades: boolean;
}

/** The state of one request. */
export class Exchange extends Swept implements RelayOwner {
  readonly request: Request;
  /** The request's header fields. */
  readonly fields: Read;
  readonly connection: unknown;
  /** Whether a server of ours sends the response, as it is. */
  readonly direct: boolean;
  readonly method: string;
  /** The peer's address, if there is one. */
  readonly peer: string | undefined;
  /** The `Host` that the client sent, if it sent one. */
  readonly host: string | undefined;
  readonly target: Target;
  /** The request's `Content-Length`, if it has one. */
  readonly length: string | null;
  /** Whether it requests a WebSocket. */
  readonly upgrades: boolean;
  readonly startedAt: number;
  /** Aborts the current attempt. */
  readonly abort = new Abort();
  /** Why it was ended from this side, if it was. */
  cause: Error | undefined;
  /** Whether the client has been sent a response. */
  answered = false;
  /** Whether it waits for a backend's response header. */
  awaiting = false;
  /** The `Host` set by a hook for the current attempt, if any. */
  hookHost: string | undefined;
  /** Since when it waits for a hook, if it does. */
  hookAt: number | undefined;
  /** The learnt limit under which it counts as waiting, if any. */
  room: Waiting | undefined;
  /** When that wait began. */
  waitsSince: number;
  /** Whether the request has ended. */
  over = false;
  /** The backend of the current attempt. */
  backend: Backend | undefined;
  /** The backends tried before; created at the first failure. */
  tried: Backend[] | undefined;
  /** Retries that reached a backend. */
  retries = 0;
  /** Attempts whose connection was refused. */
  refusals = 0;
  /** For the log; created only if there is a log. */
  attempts: Attempt[] | undefined;
  /** When the current attempt began. */
  attemptAt: number;
  /** Status sent to the client. */
  status = 0;
  /** Bytes of the response body so far. */
  bytes = 0;
  requestId: string | undefined;
  /** Its trace. */
  trace: Trace | undefined;
  /** The span of the current attempt. */
  spanId: string | undefined;
  /** Whether the response explains how it was answered. */
  explained = false;
  /** The key that hash policies use. */
  key: string | undefined;
  /** The request body, by how it can be sent. */
  upload: Upload = NO_UPLOAD;
  /** The request body as read from the client, if it is read here. */
  clientBody: ClientBody | undefined;
  /** The response body, if it is relayed here. */
  relay: Relay | undefined;
  /** Connects the two sides of a WebSocket, once the client has its 101. */
  bridge: Bridge | undefined;
  /** Whether no other request may use its connection to the backend. */
  alone = false;
  /** Whether the client's connection is watched. */
  watched = false;
  /**
   * Id of its connection, if that is shared and the request is long-running.
   */
  stream: string | undefined;
  #interrupt: ((cause: Error) => void) | undefined;
  readonly #owner: Owner;
  #seen = false;

  constructor(
    owner: Owner,
    { request, fields, connection, served, peer, at }: Arrival,
    { host, target, length, upgrades }: Guarded,
    /** Scheme of the client's connection. */
    readonly scheme: string,
  ) {
    super();
    this.#owner = owner;
    this.request = request;
    this.fields = fields;
    this.connection = connection;
    this.direct = served?.direct === true;
    this.method = request.method;
    this.peer = peer ?? undefined;
    this.host = host;
    this.target = target;
    this.length = length;
    this.upgrades = upgrades;
    this.startedAt = this.attemptAt = this.waitsSince = at;
  }

  /** Whether the request body may still be arriving. */
  get uploading(): boolean {
    return !this.answered && this.clientBody?.ended === false;
  }

  /** When the last byte so far was sent to the backend. */
  get sentAt(): number {
    const { attemptAt, clientBody } = this;
    return clientBody === undefined || clientBody.movedAt < attemptAt
      ? attemptAt
      : clientBody.movedAt;
  }

  /**
   * Runs a task until {@linkcode end}, whether the task listens to the signal
   * or not: then the promise rejects with the cause. A result that arrives
   * later goes to `late`.
   */
  interruptible<T>(
    task: () => Promise<T>,
    late?: (value: T) => void,
  ): Promise<T> {
    if (this.cause !== undefined) return Promise.reject(this.cause);
    return new Promise((resolve, reject) => {
      this.#interrupt = reject;
      task().then((value) => {
        if (this.cause === undefined) resolve(value);
        else late?.(value);
      }, reject);
    });
  }

  override sweep(now: number): void {
    if (this.bridge !== undefined) return this.bridge.checkTimeouts(now);
    // Not at the first tick, which may come right after the start: under load
    // it would catch a quarter of all requests, most of which end soon.
    if (!this.#seen && now - this.startedAt >= TICK_MS) {
      this.#seen = true;
      this.#owner.longRunning(this);
    }
    this.room?.dropIfStale(this, now);
    const overdue = this.#overdue(now);
    if (overdue !== undefined) this.end(overdue);
  }

  /** Ends it from this side. */
  end(cause: Error): void {
    if (this.over || this.cause !== undefined) return;
    if (this.bridge !== undefined) {
      // On Deno the request's own signal fires as soon as it is upgraded.
      if (cause === STOPPED) this.bridge.abandon();
      return;
    }
    this.cause = cause;
    this.abort.abort(cause);
    this.#interrupt?.(cause);
    if (this.relay !== undefined) {
      this.relay.abort(cause);
      if (cause === CLIENT_SLOW) this.#owner.release(this);
    } else if (cause === CLIENT_SLOW || cause === TOO_LARGE) {
      this.clientBody?.cancel(cause);
    }
  }

  progress(bytes: number): void {
    this.bytes += bytes;
  }

  relayed(how: Ending): void {
    this.#owner.relayed(this, how);
  }

  now(): number {
    return this.#owner.now();
  }

  /** The time limit that has expired, if any. */
  #overdue(now: number): Error | undefined {
    const { timeoutMs, clientTimeoutMs, idleTimeoutMs } = this.#owner.limits;
    const { clientBody, relay, hookAt } = this;
    if (hookAt !== undefined) {
      return now - hookAt >= timeoutMs ? TIMED_OUT : undefined;
    }
    if (clientBody?.waits === true && !this.answered) {
      // While the client sends its body, only the client's limit applies.
      return now - clientBody.movedAt >= clientTimeoutMs
        ? CLIENT_SLOW
        : undefined;
    }
    if (this.awaiting) {
      return now - this.sentAt >= timeoutMs ? TIMED_OUT : undefined;
    }
    if (relay === undefined) return undefined;
    const still = now - relay.movedAt;
    if (relay.waitsForClient) {
      return still >= clientTimeoutMs ? CLIENT_SLOW : undefined;
    }
    if (still >= idleTimeoutMs) return IDLE;
    // The client stalls its upload, and the response waits for it.
    return clientBody?.waits === true && still >= clientTimeoutMs &&
        now - clientBody.movedAt >= clientTimeoutMs
      ? CLIENT_SLOW
      : undefined;
  }
}

/** The status for the log; 499 if the client disconnected (nginx's number). */
export function statusOf(x: Exchange): number {
  // A client that sent too slowly got a 408; one that read too slowly was cut.
  return x.cause === CLIENT_LEFT ||
      (x.cause === CLIENT_SLOW && x.relay !== undefined)
    ? 499
    : x.status;
}

/**
 * One request on its way: what is known of it from its coming in to the end of
 * its answer, and what can end it from this side.
 *
 * @module
 */

import type { Backend } from "../balancer.ts";
import type { Bridge } from "./bridge.ts";
import type { Target } from "./guard.ts";
import type { Read } from "./headers.ts";
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

/** The time limits of a request, in milliseconds; `Infinity` for none. */
export interface Limits {
  /** From the last byte sent to a backend to its response header. */
  timeoutMs: number;
  /** For a client to send or to take the next piece of a body. */
  clientTimeoutMs: number;
  /** For a backend to send the next piece of a body that has begun. */
  idleTimeoutMs: number;
}

/** Who takes exchanges through all steps. */
export interface Owner {
  /** The time limits. */
  readonly limits: Limits;
  /** One has lasted past a tick. */
  lasting(x: Exchange): void;
  /** A body that is relayed has ended. */
  relayed(x: Exchange, how: Ending): void;
  /** A client that takes nothing is to be cut. */
  release(x: Exchange): void;
  /** The time. */
  now(): number;
}

/** One request on its way. */
export class Exchange extends Swept implements RelayOwner {
  /** Ends the attempt that is under way. */
  readonly controller = new AbortController();
  /** Why it was ended from this side, if it was. */
  cause: Error | undefined;
  /** Whether the client has been given an answer. */
  answered = false;
  /** Whether a backend's response header is being waited for. */
  awaiting = false;
  /** The `Host` that a hook has set for the current attempt, if one has. */
  hookHost: string | undefined;
  /** Since when a hook is being waited for, if one is. */
  hookAt: number | undefined;
  /** Where it counts among those that wait, under a limit that is learnt. */
  room: Waiting | undefined;
  /** When that wait began. */
  waitsSince: number;
  /** Whether the request is over. */
  over = false;
  /** The backend of the current attempt. */
  backend: Backend | undefined;
  /** The backends that were tried already; made at the first failure. */
  tried: Backend[] | undefined;
  /** Retries that reached a backend. */
  retries = 0;
  /** Connections that were refused. */
  refusals = 0;
  /** For the log; made when there is a log. */
  attempts: Attempt[] | undefined;
  /** When the current attempt began. */
  attemptAt: number;
  /** Status that the client is told. */
  status = 0;
  /** Bytes of the answer's body that were seen. */
  bytes = 0;
  requestId: string | undefined;
  /** The trace that it belongs to. */
  trace: Trace | undefined;
  /** The current attempt's span in it. */
  spanId: string | undefined;
  /** Whether its client is told how it was answered. */
  explained = false;
  /** What policies that hash take their key from. */
  key: string | undefined;
  /** The `Content-Length` of its body, if it has one. */
  length: string | null = null;
  /** Its body, by what can be done with it. */
  upload: Upload = NO_UPLOAD;
  /** Its body as it is read from the client, if it is read here. */
  clientBody: ClientBody | undefined;
  /** The answer's body, if it is handed on here. */
  relay: Relay | undefined;
  /** Whether it asks for a WebSocket. */
  upgrades = false;
  /** What joins the two sides of a WebSocket, once the client has been told. */
  bridge: Bridge | undefined;
  /** Whether no other request may use its connection to the backend. */
  alone = false;
  /** Whether its client is watched. */
  watched = false;
  /** Its connection, where several requests may share one, once it has lasted. */
  stream: string | undefined;
  #interrupt: ((cause: Error) => void) | undefined;
  readonly #owner: Owner;
  #seen = false;

  constructor(
    owner: Owner,
    readonly request: Request,
    /** Its fields. */
    readonly fields: Read,
    readonly connection: unknown,
    readonly method: string,
    readonly target: Target,
    readonly host: string | undefined,
    readonly scheme: string,
    readonly peer: string | undefined,
    readonly startedAt: number,
  ) {
    super();
    this.#owner = owner;
    this.attemptAt = this.waitsSince = startedAt;
  }

  /** Whether its body may still be on the way in. */
  get uploading(): boolean {
    return !this.answered && this.clientBody?.ended === false;
  }

  /** When the backend was sent the last byte so far. */
  get sentAt(): number {
    const { attemptAt, clientBody } = this;
    return clientBody === undefined || clientBody.movedAt < attemptAt
      ? attemptAt
      : clientBody.movedAt;
  }

  /**
   * Does something that {@linkcode end} is to end, whether it listens to the
   * signal or not: then the promise rejects with the cause. What comes out of it
   * all the same goes to `late`.
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
    if (this.bridge !== undefined) return this.bridge.look(now);
    // Not at the first tick, which may come right after the start: under load a
    // quarter of all requests would be hooked that are answered soon.
    if (!this.#seen && now - this.startedAt >= TICK_MS) {
      this.#seen = true;
      this.#owner.lasting(this);
    }
    this.room?.look(this, now);
    const overdue = this.#overdue(now);
    if (overdue !== undefined) this.end(overdue);
  }

  /** Ends what is under way, for a reason of this side's. */
  end(cause: Error): void {
    if (this.over || this.cause !== undefined) return;
    if (this.bridge !== undefined) {
      // The request's own signal fires on Deno as soon as it is upgraded.
      if (cause === STOPPED) this.bridge.abandon();
      return;
    }
    this.cause = cause;
    this.controller.abort(cause);
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

  /** Which time limit has run out, if any has. */
  #overdue(now: number): Error | undefined {
    const { timeoutMs, clientTimeoutMs, idleTimeoutMs } = this.#owner.limits;
    const { clientBody, relay, hookAt } = this;
    if (hookAt !== undefined) {
      return now - hookAt >= timeoutMs ? TIMED_OUT : undefined;
    }
    if (clientBody?.waits === true && !this.answered) {
      // While the client sends its body, it is the one that is waited for.
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
    // A client that stalls its upload behind an answer that waits for it.
    return clientBody?.waits === true && still >= clientTimeoutMs &&
        now - clientBody.movedAt >= clientTimeoutMs
      ? CLIENT_SLOW
      : undefined;
  }
}

/** Status that a client was told; 499 when it had left (nginx's number). */
export function statusOf(x: Exchange): number {
  // One that was too slow to send was told 408; one that does not take its answer
  // is cut.
  return x.cause === CLIENT_LEFT ||
      (x.cause === CLIENT_SLOW && x.relay !== undefined)
    ? 499
    : x.status;
}

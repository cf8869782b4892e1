/**
 * One request on its way: what is known of it from its coming in to the end of
 * its answer, and what can end it from this side.
 *
 * @module
 */

import type { Backend } from "../balancer.ts";
import type { Chunk, Follower, Remembering } from "./body.ts";
import type { Bridge } from "./bridge.ts";
import type { Target } from "./guard.ts";
import type { Opened } from "./handshake.ts";
import type { Read } from "./headers.ts";
import { Swept, TICK_MS } from "./in_flight.ts";
import type { Attempt } from "./observed.ts";
import type { Trace } from "./trace.ts";

/** What ended an attempt from this side; given to `abort()` as its reason. */
export const CLIENT_LEFT = new Error("Cannot answer: the client has left");
export const TIMED_OUT = new Error("Cannot answer: the time limit has run out");
export const IDLE = new Error("Cannot go on: no byte within the idle limit");
export const TOO_LARGE = new Error(
  "Cannot forward: the body is over the limit",
);
export const STOPPED = new Error("Cannot go on: the proxy is being stopped");

/** Who takes exchanges through all steps. */
export interface Owner {
  /** One has lasted past a tick. */
  lasting(x: Exchange): void;
  /** What is due for one at a tick. */
  look(x: Exchange, now: number): void;
  /** A body that is followed has ended. */
  bodyEnded(x: Exchange, how: "whole" | "broken" | "left"): void;
  /** The time. */
  now(): number;
}

/** One request on its way. */
export class Exchange extends Swept implements Follower {
  /** Ends the attempt that is under way. */
  readonly controller = new AbortController();
  /** Why it was ended from this side, if it was. */
  cause: Error | undefined;
  /** Whether an answer's header has come, or is being made here. */
  answered = false;
  /** Whether the request is over. */
  over = false;
  /** Whom the current attempt goes to. */
  backend: Backend | undefined;
  /** Whoever was tried already; made at the first failure. */
  tried: Backend[] | undefined;
  /** For the log; made when there is a log. */
  attempts: Attempt[] | undefined;
  /** When the current attempt began. */
  attemptAt: number;
  /** When the wait for a header began, which is limited. */
  waitsFrom: number;
  /** Status that the client is told. */
  status = 0;
  /** Bytes of the answer's body that were seen. */
  bytes = 0;
  /** Whether the runtime alone knows when the answer's body ends. */
  watched = false;
  /** When the last piece of a body went by, if that is limited. */
  movedAt = Infinity;
  requestId: string | undefined;
  /** The trace that it belongs to. */
  trace: Trace | undefined;
  /** The current attempt's span in it. */
  spanId: string | undefined;
  /** Whether its client is told how it was answered. */
  explained = false;
  /** What policies that hash take their key from. */
  key: string | undefined;
  /** The upload, if it was small and is here whole. */
  whole: Chunk | undefined;
  /** Ends the wait for that. */
  stopWaiting: ((cause: Error) => void) | undefined;
  /** The upload, if it is read here piece by piece. */
  upload: Remembering | undefined;
  /** Whether all of it has come. */
  uploaded = false;
  /** Whether a piece of the upload failed to come, which is the client's doing. */
  uploadBroke = false;
  /** Whether it asks for a WebSocket. */
  upgrades = false;
  /** A backend that has granted it. */
  opened: Opened | undefined;
  /** What joins the two, once the client has been told. */
  bridge: Bridge | undefined;
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
    readonly host: string,
    readonly scheme: string,
    readonly peer: string | undefined,
    readonly startedAt: number,
  ) {
    super();
    this.#owner = owner;
    this.attemptAt = this.waitsFrom = startedAt;
  }

  /** Whether its body may still be on the way in. */
  get uploading(): boolean {
    return !this.answered && this.upload !== undefined && !this.uploaded;
  }

  override sweep(now: number): void {
    if (this.bridge !== undefined) return this.bridge.look(now);
    // Not at the first tick, which may come right after the start: under load a
    // quarter of all requests would be hooked that are answered soon.
    if (!this.#seen && now - this.startedAt >= TICK_MS) {
      this.#seen = true;
      this.#owner.lasting(this);
    }
    this.#owner.look(this, now);
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
    this.stopWaiting?.(cause);
  }

  progress(bytes: number): void {
    this.bytes += bytes;
    if (this.movedAt !== Infinity) this.movedAt = this.#owner.now();
  }

  ended(how: "whole" | "broken" | "left"): void {
    this.#owner.bodyEnded(this, how);
  }
}

/** Status that a client was told; 499 when it had left (nginx's number). */
export function statusOf(x: Exchange): number {
  return x.cause === CLIENT_LEFT ? 499 : x.status;
}

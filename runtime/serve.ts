/**
 * Stopping a proxy and its listener without losing requests.
 *
 * @module
 */

import type { Clock, TimerHandle } from "../base/clock.ts";
import type { Handler, Listener } from "./listener.ts";

/** The part of a proxy that draining needs. */
export interface Drainable {
  /** Makes responses close their connections, and readiness fail. */
  drain(): void;
  /** Whether an upload without a response is in progress. */
  readonly uploading: boolean;
  /** Number of requests received. */
  readonly started: number;
  /** Number of open WebSockets. */
  readonly bridged: number;
  /** Closes all WebSockets on both sides. */
  goAway(): void;
  /** Ends all requests in flight. */
  cut(): void;
  /** Stops timers and connections. */
  stop(): Promise<void>;
}

/** Options for {@linkcode drain}. */
export interface DrainOptions {
  /** Milliseconds between "not ready" and the end of listening. */
  delayMs: number;
  /** Milliseconds after that for requests in flight to finish. */
  timeoutMs: number;
  /** Time and timers. */
  clock: Clock;
  /**
   * Resolves once all workers have reached a stage. Workers that share a port
   * must close it at the same time: connections that the first one releases
   * would otherwise go to the others just when they close (58 of 58,000
   * requests were lost).
   */
  barrier?: ((stage: Stage) => Promise<void>) | undefined;
}

/** The stages of workers: close the port, then release held responses. */
export type Stage = "close" | "release";

/**
 * Wraps a handler so that responses can be held back while the listener is
 * closed.
 *
 * A client may open a connection at that moment, whose request has not arrived
 * yet. Both runtimes, or the kernel before them, then close the connection
 * without telling the client. But a client that waits for a response opens no
 * connection. So responses are held until no more requests arrive and the port
 * is closed. A client that comes later finds no listener and has lost nothing.
 * Without this, of 32 clients in a loop 15 lost a request on Deno and 7 on Bun.
 */
export class Gate {
  readonly #handler: Handler;
  #watching = false;
  #held: PromiseWithResolvers<void> | undefined;

  /** Makes an open gate. */
  constructor(handler: Handler) {
    this.#handler = handler;
  }

  /** The wrapped handler. Does not depend on `this`. */
  readonly handle: Handler = (request, connection) => {
    const answer = this.#handler(request, connection);
    return this.#watching ? this.#heldBack(answer) : answer;
  };

  /** Enables holding; before that, it costs nothing. */
  watch(): void {
    this.#watching = true;
  }

  /** Holds responses back. */
  hold(): void {
    this.#held ??= Promise.withResolvers();
  }

  /** Releases the held responses. */
  release(): void {
    this.#held?.resolve();
    this.#held = undefined;
  }

  async #heldBack(answer: Response | Promise<Response>): Promise<Response> {
    const response = await answer;
    await this.#held?.promise;
    return response;
  }
}

/** Milliseconds between two checks for activity. */
const POLL_MS = 20;
/** Milliseconds without a new request after which connections count as idle. */
const QUIET_MS = 100;
/** Maximum milliseconds for clients to see that their connections close. */
const CLOSING_MS = 1_000;
/** Maximum milliseconds that a response is held back, the first time. */
const HOLD_MS = 500;

/**
 * Stops a listener without losing a request.
 *
 * A client on a kept connection may send its next request just when the
 * connection is closed. So first every response announces the end of its
 * connection, while requests still arrive (at most a second). Only then, while
 * `gate` holds back responses, is the listener closed.
 */
export async function drain(
  listener: Listener,
  gate: Gate,
  proxy: Drainable,
  { delayMs, timeoutMs, clock, barrier }: DrainOptions,
): Promise<void> {
  const wait = (ms: number) =>
    new Promise<void>((resolve) => clock.setTimeout(resolve, ms));
  proxy.drain();
  gate.watch();
  if (delayMs > 0) await wait(delayMs);
  const began = clock.now();
  const left = () => Math.max(0, timeoutMs - (clock.now() - began));
  /** Waits until no request has arrived for a while, at most `ms`. */
  const quiet = async (ms: number) => {
    const until = clock.now() + Math.min(ms, left());
    let started = proxy.started;
    let since = clock.now();
    while (clock.now() < until && clock.now() - since < QUIET_MS) {
      await wait(POLL_MS);
      if (proxy.started === started) continue;
      started = proxy.started;
      since = clock.now();
    }
  };
  // When closed, Deno's server cuts uploads in progress.
  const uploading = () => listener.cutsUploads && proxy.uploading && left() > 0;
  await quiet(CLOSING_MS);
  proxy.goAway();
  while (proxy.bridged > 0 && left() > 0) await wait(POLL_MS);
  for (let holdMs = HOLD_MS;; holdMs *= 2) {
    const heldAt = clock.now();
    gate.hold();
    await quiet(holdMs);
    // Most uploads end quickly while no new ones arrive. For the others, held
    // responses are released from time to time.
    while (uploading() && clock.now() - heldAt < holdMs) await wait(POLL_MS);
    if (!uploading()) break;
    gate.release();
    await wait(HOLD_MS);
  }
  let done = false;
  await barrier?.("close");
  // An upload that never ended gets a response of ours. Cut by the listener, it
  // would look as if its client had left.
  if (listener.cutsUploads && left() === 0) proxy.cut();
  const closing = listener.close().catch(() => {}).then(() => done = true);
  await barrier?.("release");
  gate.release();
  // WebSockets opened in the meantime.
  proxy.goAway();
  await atMost(clock, left(), closing);
  if (!done) {
    // Ends the backends' side, so that clients without a header get a response.
    proxy.cut();
    await atMost(clock, QUIET_MS, closing);
  }
  if (!done) listener.kill();
  await proxy.stop();
}

/** Waits for a promise, but at most `ms`, without leaving a timer. */
async function atMost(
  clock: Clock,
  ms: number,
  promise: Promise<unknown>,
): Promise<void> {
  let timer: TimerHandle;
  const late = new Promise<void>((resolve) => {
    timer = clock.setTimeout(resolve, ms);
  });
  await Promise.race([promise, late]);
  clock.clear(timer);
}

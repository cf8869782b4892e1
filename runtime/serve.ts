/**
 * A proxy with a server in front of it, and how the two are stopped.
 *
 * @module
 */

import type { Clock, TimerHandle } from "../base/clock.ts";
import type { Handler, Listener } from "./listener.ts";

/** What draining needs of a proxy. */
export interface Drainable {
  /** Makes answers end their connections, and readiness say no. */
  drain(): void;
  /** Whether an upload is under way that has no answer yet. */
  readonly uploading: boolean;
  /** Requests that have come in so far. */
  readonly started: number;
  /** WebSockets that are open. */
  readonly bridged: number;
  /** Closes them, on both sides. */
  goAway(): void;
  /** Ends the requests that are under way. */
  cut(): void;
  /** Ends its timers and connections. */
  stop(): Promise<void>;
}

/** Options for {@linkcode drain}. */
export interface DrainOptions {
  /** Milliseconds between "not ready" and the end of listening. */
  delayMs: number;
  /** Milliseconds that running requests may still take after it. */
  timeoutMs: number;
  /** Time and timers. */
  clock: Clock;
  /**
   * Resolves once all workers have come so far. Those that share a port have to
   * close it at one moment: what the first of them lets go of would come back to
   * the others just when they close (of 58,000 requests 58 were lost so).
   */
  barrier?: ((stage: Stage) => Promise<void>) | undefined;
}

/** What workers do together: close the port, then let the held answers go. */
export type Stage = "close" | "release";

/**
 * Stands between a listener and its handler, and can hold answers back for the
 * moment in which the listener is closed.
 *
 * A connection that a client has made just then, and on which its request is
 * still on the way, is closed by both runtimes, or by the kernel before they
 * even know of it, and nobody can say that to the client. But a client that waits for an answer
 * makes no connection: so answers wait until no more requests come, the port is
 * closed, and then they leave. Who comes after that finds nobody and has lost
 * nothing. Without it, of 32 clients that kept asking 15 lost a request on Deno
 * and 7 on Bun.
 */
export class Gate {
  readonly #handler: Handler;
  #watching = false;
  #held: PromiseWithResolvers<void> | undefined;

  /** Makes an open gate. */
  constructor(handler: Handler) {
    this.#handler = handler;
  }

  /** The handler behind it. May be called unbound. */
  readonly handle: Handler = (request, connection) => {
    const answer = this.#handler(request, connection);
    return this.#watching ? this.#late(answer) : answer;
  };

  /** From now on answers can be held; before it they cost nothing here. */
  watch(): void {
    this.#watching = true;
  }

  /** Holds answers back. */
  hold(): void {
    this.#held ??= Promise.withResolvers();
  }

  /** Lets them go. */
  release(): void {
    this.#held?.resolve();
    this.#held = undefined;
  }

  async #late(answer: Response | Promise<Response>): Promise<Response> {
    const response = await answer;
    await this.#held?.promise;
    return response;
  }
}

/** Milliseconds between two looks at what is still under way. */
const LOOK_MS = 20;
/** Milliseconds without a new request after which kept connections are idle. */
const QUIET_MS = 100;
/** Milliseconds that clients have at most to see their connections closed. */
const FAREWELL_MS = 1_000;
/** Milliseconds that an answer is held back at most, the first time. */
const HOLD_MS = 500;

/**
 * Stops a listener without losing a request.
 *
 * A client on a kept connection may have sent its next request at the very
 * moment the connection is closed. So first every answer says that its
 * connection ends, for as long as requests still come (a second at most), and
 * only then, while answers are held back by `gate`, is the listener closed.
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
  /** Waits until no request has come for a while, `ms` at most. */
  const quiet = async (ms: number) => {
    const until = clock.now() + Math.min(ms, left());
    let started = proxy.started;
    let since = clock.now();
    while (clock.now() < until && clock.now() - since < QUIET_MS) {
      await wait(LOOK_MS);
      if (proxy.started === started) continue;
      started = proxy.started;
      since = clock.now();
    }
  };
  // Deno's server, when it is closed, ends uploads that are under way.
  const uploading = () => listener.cutsUploads && proxy.uploading && left() > 0;
  await quiet(FAREWELL_MS);
  proxy.goAway();
  while (proxy.bridged > 0 && left() > 0) await wait(LOOK_MS);
  for (let holdMs = HOLD_MS;; holdMs *= 2) {
    const heldAt = clock.now();
    gate.hold();
    await quiet(holdMs);
    // Most are over in a moment, while no new ones come. For the others answers
    // are let go from time to time.
    while (uploading() && clock.now() - heldAt < holdMs) await wait(LOOK_MS);
    if (!uploading()) break;
    gate.release();
    await wait(HOLD_MS);
  }
  let done = false;
  await barrier?.("close");
  const closing = listener.close().catch(() => {}).then(() => done = true);
  await barrier?.("release");
  gate.release();
  // Such as were opened since.
  proxy.goAway();
  await atMost(clock, left(), closing);
  if (!done) {
    // From the backends' side, so that who waits for a header gets an answer.
    proxy.cut();
    await atMost(clock, QUIET_MS, closing);
  }
  if (!done) listener.kill();
  await proxy.stop();
}

/** Waits for something, so long at most, and leaves no timer behind. */
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

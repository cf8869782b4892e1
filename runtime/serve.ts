/**
 * A proxy with a server in front of it, and how the two are stopped.
 *
 * @module
 */

import type { Clock, TimerHandle } from "./clock.ts";
import type { Listener } from "./listener.ts";

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
}

/** Milliseconds between two looks at what is still under way. */
const LOOK_MS = 20;
/** Milliseconds without a new request after which kept connections are idle. */
const QUIET_MS = 100;
/** Milliseconds that clients have at most to see their connections closed. */
const FAREWELL_MS = 1_000;

/**
 * Stops a listener without losing a request.
 *
 * A client on a kept connection may have sent its next request at the very
 * moment the connection is closed. So first every answer says that its
 * connection ends, for as long as requests still come (a second at most), and
 * only then is the listener closed.
 */
export async function drain(
  listener: Listener,
  proxy: Drainable,
  { delayMs, timeoutMs, clock }: DrainOptions,
): Promise<void> {
  const wait = (ms: number) =>
    new Promise<void>((resolve) => clock.setTimeout(resolve, ms));
  const atMost = async (ms: number, promise: Promise<unknown>) => {
    let timer: TimerHandle;
    const late = new Promise<void>((resolve) => {
      timer = clock.setTimeout(resolve, ms);
    });
    await Promise.race([promise, late]);
    clock.clear(timer);
  };
  proxy.drain();
  if (delayMs > 0) await wait(delayMs);
  const began = clock.now();
  let started = proxy.started;
  let quietSince = began;
  while (clock.now() - began < Math.min(FAREWELL_MS, timeoutMs)) {
    await wait(LOOK_MS);
    if (proxy.started !== started) {
      started = proxy.started;
      quietSince = clock.now();
    } else if (clock.now() - quietSince >= QUIET_MS) {
      break;
    }
  }
  // Deno's server, when it is closed, ends uploads that are under way.
  while (
    listener.cutsUploads && proxy.uploading && clock.now() - began < timeoutMs
  ) await wait(LOOK_MS);
  // After that, so that no WebSocket is opened behind it.
  proxy.goAway();
  while (proxy.bridged > 0 && clock.now() - began < timeoutMs) {
    await wait(LOOK_MS);
  }
  let done = false;
  const closing = listener.close().catch(() => {}).then(() => done = true);
  const left = Math.max(0, timeoutMs - (clock.now() - began));
  await atMost(left, closing);
  if (!done) {
    // From the backends' side, so that who waits for a header gets an answer.
    proxy.cut();
    await atMost(QUIET_MS, closing);
  }
  if (!done) listener.kill();
  await proxy.stop();
}

/**
 * Backends that can do only so much, and what clients get of them.
 *
 * @module
 */

import { seeded } from "../../testing/random.ts";
import { type RawBackend, rawBackend } from "../harness/backend.ts";
import type { Asked } from "../harness/open_loop.ts";

/** Milliseconds after which an answer is of no use. */
const PATIENCE_MS = 1_000;

/** Requests that each backend works on at once. */
const WORKERS = 6;

/**
 * Nine of ten requests take 20 ms, and one takes 400 ms. What can be done in a
 * second is so little that the machine has time to spare: it is the backends
 * that are overloaded, and not the test.
 */
const SHORT_MS = 20;
const LONG_MS = 400;
const MEAN_MS = 0.9 * SHORT_MS + 0.1 * LONG_MS;

/** Backends that work on some requests at once, and let the others wait. */
export class Workshop implements AsyncDisposable {
  /** How fast they work. */
  speed = 1;
  #busy = 0;
  #busyMs = 0;
  #changedAt = performance.now();
  private constructor(readonly backends: RawBackend[] = []) {}

  static async start(count: number): Promise<Workshop> {
    const workshop = new Workshop();
    for (let i = 0; i < count; i++) {
      workshop.backends.push(await workshop.#backend(i));
    }
    return workshop;
  }

  #backend(seed: number): Promise<RawBackend> {
    const random = seeded(seed);
    const waiting: (() => void)[] = [];
    let busy = 0;
    return rawBackend(async (conn) => {
      if (busy === WORKERS) {
        await new Promise<void>((resolve) => waiting.push(resolve));
      } else {
        busy++;
        this.#works(1);
      }
      const ms = (random() < 0.1 ? LONG_MS : SHORT_MS) / this.speed;
      await new Promise((resolve) => setTimeout(resolve, ms));
      const next = waiting.shift();
      if (next === undefined) {
        busy--;
        this.#works(-1);
      } else next();
      if (conn.ending === undefined) await conn.reply({ body: "done" });
    });
  }

  #works(more: number): void {
    const now = performance.now();
    this.#busyMs += this.#busy * (now - this.#changedAt);
    this.#changedAt = now;
    this.#busy += more;
  }

  /**
   * Says, when it is called, which share of the time the workers have been busy
   * since. On a machine that has too little time to spare they get less done in
   * a second, but not with fewer hands.
   */
  timed(): () => number {
    this.#works(0);
    const busyMs = this.#busyMs;
    const from = this.#changedAt;
    return () => {
      this.#works(0);
      const all = this.backends.length * WORKERS * (this.#changedAt - from);
      return (this.#busyMs - busyMs) / all;
    };
  }

  get urls(): string {
    return this.backends.map(({ url }) => url).join();
  }

  /** Answers a second that they can give. */
  get capacity(): number {
    return this.backends.length * WORKERS / MEAN_MS * 1_000 * this.speed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const backend of this.backends) await backend.stop();
  }
}

/** Share of requests that were refused. */
export function refused(asked: readonly Asked[]): number {
  return asked.filter(({ status }) => status === 503).length / asked.length;
}

/** Share of these whose answers came while they were waited for. */
export function inTime(asked: readonly Asked[]): number {
  return asked.filter(({ status, at, endedAt }) =>
    status === 200 && endedAt - at <= PATIENCE_MS
  ).length / asked.length;
}

/**
 * What came of the backends' work while it was waited for, as a share of what
 * they could have done: they were busy for the `busy` share of the time.
 */
export function goodput(asked: readonly Asked[], busy: number): number {
  return busy * inTime(asked.filter(({ status }) => status === 200));
}

/** Milliseconds that the median of the answers took. */
export function median(asked: readonly Asked[]): number {
  const took = asked.filter(({ status }) => status === 200)
    .map(({ at, endedAt }) => endedAt - at).sort((a, b) => a - b);
  return took[took.length >> 1] ?? NaN;
}

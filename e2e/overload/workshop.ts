/**
 * Backends with a limited capacity, and what clients get from them.
 *
 * @module
 */

import { seeded } from "../../testing/random.ts";
import { type RawBackend, rawBackend } from "../harness/backend.ts";
import type { Asked } from "../harness/open_loop.ts";

/** Milliseconds after which an answer is of no use. */
const PATIENCE_MS = 1_000;

/** Requests that each backend processes at a time. */
const WORKERS = 6;

/**
 * Nine of ten requests take 20 ms, and one takes 400 ms. The capacity is so
 * small that the machine has time to spare: the backends are overloaded, not
 * the test.
 */
const SHORT_MS = 20;
const LONG_MS = 400;
const MEAN_MS = 0.9 * SHORT_MS + 0.1 * LONG_MS;

/** Backends that process some requests at a time, and queue the others. */
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
   * Returns, when called, the share of time for which the workers have been
   * busy since. On a busy machine they do less per second, but are not less
   * busy.
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

/** Share of these whose responses came before their clients gave up. */
export function inTime(asked: readonly Asked[]): number {
  return asked.filter(({ status, at, endedAt }) =>
    status === 200 && endedAt - at <= PATIENCE_MS
  ).length / asked.length;
}

/**
 * Useful work as a share of the capacity, when the workers were busy for the
 * `busy` share of the time.
 */
export function goodput(asked: readonly Asked[], busy: number): number {
  return busy * inTime(asked.filter(({ status }) => status === 200));
}

/** Median latency in milliseconds. */
export function median(asked: readonly Asked[]): number {
  const took = asked.filter(({ status }) => status === 200)
    .map(({ at, endedAt }) => endedAt - at).sort((a, b) => a - b);
  return took[took.length >> 1] ?? NaN;
}

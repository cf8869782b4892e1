/**
 * Clients that do not wait for each other: requests are sent at a rate, whether
 * or not earlier ones were answered, like those of many people. Only such a
 * load can exceed the capacity of a server.
 *
 * @module
 */

import { seeded } from "../../testing/random.ts";
import { type ConnectOptions, RawConnection, requestText } from "./client.ts";
import { delay } from "./wait.ts";

/** One request that was made. */
export interface Asked {
  /** `performance.now()` when it was due, and when its answer was whole. */
  at: number;
  endedAt: number;
  /** 0 when there was no whole answer. */
  status: number;
}

/** Options for {@linkcode OpenLoop}. */
export interface OpenLoopOptions {
  /** What each request is. @default {GET /} */
  request?: Uint8Array;
  /** Whether they come evenly, and not at random as they do in life. */
  even?: boolean;
  /** Each request has its own connection. */
  fresh?: boolean;
  /** @default {1} */
  seed?: number;
  /** How it connects, such as `{ tls: {} }`. */
  connect?: ConnectOptions;
}

/** A load with kept connections, as many as needed. */
export class OpenLoop implements AsyncDisposable {
  /** All requests, in the order in which they were due. */
  readonly asked: Asked[] = [];
  readonly #port: number;
  readonly #request: Uint8Array;
  readonly #even: boolean;
  readonly #fresh: boolean;
  readonly #connect: ConnectOptions;
  readonly #random: () => number;
  readonly #idle: RawConnection[] = [];
  readonly #underWay = new Set<Promise<void>>();

  constructor(port: number, options: OpenLoopOptions = {}) {
    const {
      request = requestText("GET", "/"),
      even = false,
      fresh = false,
      seed = 1,
      connect = {},
    } = options;
    this.#port = port;
    this.#request = request;
    this.#even = even;
    this.#fresh = fresh;
    this.#connect = { timeoutMs: 20_000, ...connect };
    this.#random = seeded(seed);
  }

  /** Sends `rate` requests a second for so many seconds; returns them. */
  async run(rate: number, seconds: number): Promise<Asked[]> {
    const first = this.asked.length;
    const start = performance.now();
    const end = start + seconds * 1_000;
    for (let due = start + this.#pause(rate); due < end;) {
      const now = performance.now();
      // Timers are late: what is due by then is sent at once.
      while (due <= now && due < end) {
        this.#ask(due);
        due += this.#pause(rate);
      }
      await delay(1);
    }
    return this.asked.slice(first);
  }

  /** Waits until all are answered. */
  async settle(): Promise<void> {
    await Promise.all(this.#underWay);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.settle();
    for (const connection of this.#idle.splice(0)) await connection.close();
  }

  #pause(rate: number): number {
    const mean = 1_000 / rate;
    return this.#even ? mean : -mean * Math.log(1 - this.#random());
  }

  #ask(at: number): void {
    const asked: Asked = { at, endedAt: Infinity, status: 0 };
    this.asked.push(asked);
    const asking = this.#exchange(asked).catch(() => {}).finally(() => {
      asked.endedAt = performance.now();
      this.#underWay.delete(asking);
    });
    this.#underWay.add(asking);
  }

  async #exchange(asked: Asked): Promise<void> {
    const connection = this.#idle.pop() ??
      await RawConnection.connect(this.#port, this.#connect);
    try {
      const answer = await connection.request(this.#request);
      if (answer.complete) asked.status = answer.status;
      if (answer.complete && !answer.closed && !this.#fresh) {
        this.#idle.push(connection);
        return;
      }
    } catch {
      // It counts as unanswered.
    }
    await connection.close();
  }
}

/**
 * A certificate on its way to workers, each of which says when it shows it.
 *
 * @module
 */

import type { Clock } from "../base/clock.ts";
import type { TlsOptions } from "../config/options.ts";
import type { Worker } from "../runtime/line.ts";
import type { FromWorker, ToWorker } from "./messages.ts";

/** Milliseconds that a worker has to show another certificate. */
const CERTIFY_MS = 10_000;

/** One that takes requests, if it lives, and its number. */
interface Slot {
  readonly number: number;
  readonly worker: Worker<FromWorker, ToWorker> | undefined;
}

/** Those that were given a certificate and have not said so yet. */
export class Certifying {
  readonly #clock: Clock;
  readonly #waiting = new Map<
    number,
    { slot: Slot; done: (reason?: string) => void }
  >();
  #nextId = 0;

  /** Begins with none. */
  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Has all of them show another certificate to new connections. Rejects with the
   * first reason when one cannot.
   */
  async certify(slots: readonly Slot[], tls: TlsOptions): Promise<void> {
    const reasons = await Promise.all(
      slots.map((slot) => this.#ask(slot, tls)),
    );
    const reason = reasons.find((one) => one !== undefined);
    if (reason !== undefined) throw new Error(reason);
  }

  /** One of them shows it, or cannot for this reason. */
  certified(id: number, reason: string | undefined): void {
    this.#waiting.get(id)?.done(reason);
  }

  /** One has ended: the one that takes its place begins with the certificate. */
  ended(slot: Slot): void {
    for (const { slot: asked, done } of this.#waiting.values()) {
      if (asked === slot) done();
    }
  }

  /** Resolves with the reason why a worker cannot, if so. */
  #ask(slot: Slot, tls: TlsOptions): Promise<string | undefined> {
    const { worker, number } = slot;
    if (worker === undefined) return Promise.resolve(undefined);
    const id = this.#nextId++;
    return new Promise((resolve) => {
      const done = (reason?: string) => {
        this.#clock.clear(timer);
        this.#waiting.delete(id);
        resolve(reason);
      };
      const timer = this.#clock.setTimeout(
        () => done(`worker ${number + 1} does not answer`),
        CERTIFY_MS,
      );
      this.#waiting.set(id, { slot, done });
      worker.post({ kind: "certificate", id, tls });
    });
  }
}

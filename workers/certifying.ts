/**
 * Passing a new certificate to the workers, and waiting for their
 * confirmations.
 *
 * @module
 */

import type { Clock } from "../base/clock.ts";
import type { TlsOptions } from "../config/options.ts";
import type { Worker } from "../runtime/channel.ts";
import type { FromWorker, ToWorker } from "./messages.ts";

/** Milliseconds for a worker to confirm a new certificate. */
const CERTIFY_MS = 10_000;

/** A worker's place, with the worker if it lives. */
interface Slot {
  readonly number: number;
  readonly worker: Worker<FromWorker, ToWorker> | undefined;
}

/** The workers that have not yet confirmed a new certificate. */
export class Certifying {
  readonly #clock: Clock;
  readonly #waiting = new Map<
    number,
    { slot: Slot; done: (reason?: string) => void }
  >();
  #nextId = 0;

  /** Starts with none. */
  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Makes all workers show another certificate on new connections. Rejects with
   * the first reason if one cannot.
   */
  async certify(slots: readonly Slot[], tls: TlsOptions): Promise<void> {
    const reasons = await Promise.all(
      slots.map((slot) => this.#send(slot, tls)),
    );
    const reason = reasons.find((one) => one !== undefined);
    if (reason !== undefined) throw new Error(reason);
  }

  /** Handles a worker's confirmation, or its reason why it cannot. */
  certified(id: number, reason: string | undefined): void {
    this.#waiting.get(id)?.done(reason);
  }

  /** A worker has ended; its replacement starts with the new certificate. */
  ended(slot: Slot): void {
    for (const { slot: waiting, done } of this.#waiting.values()) {
      if (waiting === slot) done();
    }
  }

  /** Resolves with the reason why a worker cannot use it, if any. */
  #send(slot: Slot, tls: TlsOptions): Promise<string | undefined> {
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

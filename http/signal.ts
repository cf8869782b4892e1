/**
 * Aborting requests without an `AbortController` for each.
 *
 * @module
 */

/** Is called when a {@linkcode Signal} aborts. */
export interface SignalListener {
  handleEvent(): void;
}

/** The part of an `AbortSignal` that the client needs. */
export interface Signal {
  readonly aborted: boolean;
  readonly reason: unknown;
  addEventListener(type: "abort", listener: SignalListener): void;
  removeEventListener(type: "abort", listener: SignalListener): void;
}

/**
 * A signal and what aborts it. On Bun an `AbortController`, its signal and a
 * listener cost 1.8 µs of a request, and almost no request is aborted.
 */
export class Abort implements Signal {
  /** Whether it has aborted. */
  aborted = false;
  /** Why, if it has. */
  reason: unknown;
  readonly #listeners: SignalListener[] = [];
  #controller: AbortController | undefined;

  /** The same as an `AbortSignal`, for the runtime's functions. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.aborted) this.#controller.abort(this.reason);
    }
    return this.#controller.signal;
  }

  /** Aborts it, once. */
  abort(reason: unknown): void {
    if (this.aborted) return;
    this.aborted = true;
    this.reason = reason;
    this.#controller?.abort(reason);
    for (const listener of this.#listeners.splice(0)) listener.handleEvent();
  }

  addEventListener(_type: "abort", listener: SignalListener): void {
    if (!this.aborted) this.#listeners.push(listener);
  }

  removeEventListener(_type: "abort", listener: SignalListener): void {
    const at = this.#listeners.lastIndexOf(listener);
    if (at >= 0) this.#listeners.splice(at, 1);
  }
}

/**
 * What all WebSockets together may hold back: one bound for the sum, since the
 * bound of each, times as many as there are clients, is none.
 *
 * @module
 */

/** Something that holds bytes back, and can be told to let go. */
export interface Holder {
  /** Bytes that it holds right now. */
  readonly held: number;
  /** What it was last counted with; the budget's own. */
  counted: number;
  /** Whether it was told to let go; what it still holds goes by itself. */
  readonly shedding: boolean;
  /** Closes its two sides, since it holds more than all others. */
  shed(): void;
}

/**
 * Bytes that each may hold without being counted: about what its connections
 * cost anyway. Most WebSockets never hold more, and cost nothing here then.
 */
export const FREE = 64 * 1024;

/** Bytes that all may hold together, or the room for so many largest messages. */
const ALL = 128 * 1024 * 1024;
const LARGEST = 4;

/**
 * Counts what bridges hold. Past the limit the one that holds most is closed, and
 * not the one that wants more: otherwise a few that hold much for long could
 * have every other one closed.
 */
export class BridgeBudget {
  readonly #limit: number;
  readonly #holders = new Set<Holder>();
  #total = 0;
  #relieving = false;

  /** Makes a budget for messages of up to `maxMessageBytes`. */
  constructor(maxMessageBytes: number, all: number = ALL) {
    this.#limit = Math.max(all, LARGEST * maxMessageBytes);
  }

  /** Bytes that are held, as far as they are counted. */
  get total(): number {
    return this.#total;
  }

  /** Counts a holder anew. */
  count(holder: Holder): void {
    const { held } = holder;
    if (held > FREE) {
      if (holder.counted === 0) this.#holders.add(holder);
      this.#total += held - holder.counted;
      holder.counted = held;
      if (this.#total > this.#limit) this.#relieve();
    } else if (holder.counted > 0) {
      this.remove(holder);
    }
  }

  /** Counts a holder no more. */
  remove(holder: Holder): void {
    this.#total -= holder.counted;
    holder.counted = 0;
    this.#holders.delete(holder);
  }

  #relieve(): void {
    // What is shed is counted anew while that is done.
    if (this.#relieving) return;
    this.#relieving = true;
    let heaviest: Holder | undefined;
    // Others may hold less by now than they were counted with.
    for (const holder of this.#holders) {
      const { held } = holder;
      this.#total += held - holder.counted;
      holder.counted = held;
      if (held <= FREE) this.remove(holder);
      else if (!holder.shedding && !(held <= (heaviest?.counted ?? 0))) {
        heaviest = holder;
      }
    }
    if (this.#total > this.#limit && heaviest !== undefined) {
      heaviest.shed();
      this.count(heaviest);
    }
    this.#relieving = false;
  }
}

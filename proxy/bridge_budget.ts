/**
 * The memory limit for all WebSockets together: a limit per connection does not
 * bound the sum.
 *
 * @module
 */

/** Something that buffers bytes and can be told to release them. */
export interface Holder {
  /** Bytes that it buffers now. */
  readonly held: number;
  /** Bytes it is counted with; set by the budget. */
  counted: number;
  /** Whether it was told to release; the rest goes without further action. */
  readonly shedding: boolean;
  /** Closes both sides, because it buffers more than all others. */
  shed(): void;
}

/**
 * Bytes that each may buffer without being counted: about the memory of its
 * connections. Most WebSockets never buffer more, and then cost nothing here.
 */
export const FREE = 64 * 1024;

/** The limit of all together, but at least this many largest messages. */
const ALL = 128 * 1024 * 1024;
const MIN_MESSAGES = 4;

/**
 * Counts the bytes that bridges buffer. Above the limit, the one that buffers
 * most is closed, not the one that needs more: otherwise a few that buffer much
 * for a long time could cause every other one to be closed.
 */
export class BridgeBudget {
  readonly #limit: number;
  readonly #holders = new Set<Holder>();
  #total = 0;
  #relieving = false;

  /** Makes a budget for messages of up to `maxMessageBytes`. */
  constructor(maxMessageBytes: number, all: number = ALL) {
    this.#limit = Math.max(all, MIN_MESSAGES * maxMessageBytes);
  }

  /** The counted bytes. */
  get total(): number {
    return this.#total;
  }

  /** Updates the count of a holder. */
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

  /** Stops counting a holder. */
  remove(holder: Holder): void {
    this.#total -= holder.counted;
    holder.counted = 0;
    this.#holders.delete(holder);
  }

  #relieve(): void {
    // Shedding counts the holder again.
    if (this.#relieving) return;
    this.#relieving = true;
    let heaviest: Holder | undefined;
    // Others may buffer less than they were counted with.
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

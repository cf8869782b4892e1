/**
 * Changes of a pool as server-sent events, with ids and a memory, so that a reader
 * that lost the connection for a moment has missed nothing.
 *
 * A reader holds a place in that memory and no bytes of its own: it is given the
 * next event when it has taken the last one. So a reader that takes nothing costs
 * what is on its way to it and a connection, whatever happens meanwhile.
 *
 * @module
 */

import type { Backend, Pool, PoolEvent } from "../balancer.ts";
import type { Clock, TimerHandle } from "../base/clock.ts";
import type { BackendJson } from "./backend_json.ts";

/** Changes that are remembered; a reader further behind has to come again. */
const KEPT = 512;
/** Readers at once; one more takes the place of the oldest. */
const MOST_READERS = 64;
/** Milliseconds of silence after which a comment keeps a connection alive. */
const COMMENT_MS = 15_000;
/** Bytes of events that are handed on together. */
const TOGETHER = 16 * 1024;

const ENCODER = new TextEncoder();

/** Says when to come back. Half of this second: a proxy restarts quickly. */
const RETRY = "retry: 500\n\n";
/** The same for a reader whose place another needs, so that they take turns. */
const RETRY_LATE = ENCODER.encode("retry: 10000\n\n");
const COMMENT = ENCODER.encode(":\n\n");

/** Options for {@linkcode EventLog}. */
export interface EventLogOptions {
  /** Tells of a backend. */
  tell: (backend: Backend) => BackendJson;
  /** Time and timers. */
  clock: Clock;
  /** Milliseconds since 1970. @default {Date.now} */
  date?: () => number;
}

/** Options for {@linkcode EventLog.read}. */
export interface ReadOptions {
  /** The last change that the reader has seen. */
  after?: string | undefined;
  /** Whether a reader that has seen none gets those that are remembered. */
  past?: boolean;
  /** Whether figures are wanted. */
  figures?: boolean;
  /** What comes first, as events. */
  first?: string;
}

/** Where a reader is. */
interface Reader {
  /** What comes before anything else. */
  first: Uint8Array | undefined;
  /** Number of the last change that it was given. */
  seen: number;
  /** The figures that it was last given; none if it wants none. */
  figures: Uint8Array | undefined | "none";
  /** Whether a comment is due, as nothing else was. */
  silent: boolean;
  /** Whether it has to go, or has gone. */
  ended: boolean;
  /** Whether it has gone by itself. */
  left: boolean;
  /** Goes on with a read that waits for something to happen. */
  wake: () => void;
}

/** Remembers the changes of a pool and tells its readers. */
export class EventLog {
  readonly #options: Required<EventLogOptions>;
  readonly #readers = new Set<Reader>();
  /** The last changes; the last of them has the number {@linkcode #number}. */
  readonly #kept: Uint8Array[] = [];
  /** The last figures, the same bytes for all readers. */
  #figures: Uint8Array | undefined;
  // Ids of one run do not mean anything in the next.
  readonly #run: string;
  readonly #unsubscribe: () => void;
  readonly #timer: TimerHandle;
  #number = 0;

  /** Begins to remember. */
  constructor(pool: Pool, options: EventLogOptions) {
    this.#options = { date: Date.now, ...options };
    this.#run = this.#options.date().toString(36);
    this.#unsubscribe = pool.subscribe((event) => this.#changed(event));
    this.#timer = options.clock.setInterval(() => {
      for (const reader of this.#readers) reader.silent = true;
      this.#wakeAll();
    }, COMMENT_MS);
  }

  /** How many read it. */
  get readers(): number {
    return this.#readers.size;
  }

  /** Ends listening to the pool, and all readers. */
  stop(): void {
    this.#unsubscribe();
    this.#options.clock.clear(this.#timer);
    for (const reader of this.#readers) this.#end(reader);
  }

  /** Remembers and sends a change of the proxy itself. */
  add(type: string, reason: string): void {
    this.#remember(type, { reason });
  }

  /** Sends an event that is not remembered; newer ones take its place. */
  figures(data: unknown): void {
    if (this.#readers.size === 0) return;
    this.#figures = ENCODER.encode(frame("figures", data));
    this.#wakeAll();
  }

  /** A body that goes on until its reader leaves, or another needs its place. */
  read(
    { after, past = false, figures = true, first = "" }: ReadOptions,
  ): ReadableStream<Uint8Array> {
    const reader: Reader = {
      first: ENCODER.encode(RETRY + first),
      seen: this.#placeOf(after, past),
      figures: figures ? this.#figures : "none",
      silent: false,
      ended: false,
      left: false,
      wake: () => {},
    };
    // Readers that were forgotten somewhere must not shut out a new one. One that
    // is really read comes back and goes on where it was.
    if (this.#readers.size >= MOST_READERS) {
      const [oldest] = this.#readers;
      oldest!.first = RETRY_LATE;
      this.#end(oldest!);
    }
    this.#readers.add(reader);
    return new ReadableStream<Uint8Array>({
      pull: async (controller) => {
        let bytes = this.#next(reader);
        while (bytes === undefined && !reader.ended) {
          await new Promise<void>((resolve) => reader.wake = resolve);
          bytes = this.#next(reader);
        }
        // A reader that has left meanwhile takes neither.
        if (reader.left) return;
        if (bytes !== undefined) controller.enqueue(bytes);
        else controller.close();
      },
      cancel: () => {
        reader.left = true;
        this.#end(reader);
      },
      // Asked for one by one, so nothing waits in a queue.
    }, { highWaterMark: 0 });
  }

  /** What a reader gets next; nothing while there is nothing. */
  #next(reader: Reader): Uint8Array | undefined {
    const { first } = reader;
    if (first !== undefined) {
      reader.first = undefined;
      return first;
    }
    if (reader.ended) return undefined;
    const behind = this.#number - reader.seen;
    if (behind > this.#kept.length) {
      // What it has missed is forgotten, and it cannot be told less than all.
      this.#end(reader);
      return undefined;
    }
    if (behind > 0) return this.#changes(reader, behind);
    if (reader.figures !== "none" && reader.figures !== this.#figures) {
      reader.silent = false;
      return reader.figures = this.#figures;
    }
    if (!reader.silent) return undefined;
    reader.silent = false;
    return COMMENT;
  }

  /** The next changes, as many as go together. */
  #changes(reader: Reader, behind: number): Uint8Array {
    let [from, size] = [this.#kept.length - behind, 0];
    const start = from;
    do size += this.#kept[from++]!.byteLength; while (
      from < this.#kept.length && size + this.#kept[from]!.byteLength < TOGETHER
    );
    reader.seen += from - start;
    reader.silent = false;
    if (from === start + 1) return this.#kept[start]!;
    const bytes = new Uint8Array(size);
    let at = 0;
    for (const piece of this.#kept.slice(start, from)) {
      bytes.set(piece, at);
      at += piece.byteLength;
    }
    return bytes;
  }

  /** The last change that a reader has seen, as far as it is remembered. */
  #placeOf(after: string | undefined, past: boolean): number {
    const oldest = this.#number - this.#kept.length;
    if (after === undefined || after === "") {
      return past ? oldest : this.#number;
    }
    const [, run, number] = /^([^-]*)-(\d{1,15})$/.exec(after) ?? [];
    const known = run === this.#run ? Number(number) : NaN;
    // All there is, when the id is of another run or of none.
    return known >= oldest && known <= this.#number ? known : oldest;
  }

  #changed({ type, backend, reason }: PoolEvent): void {
    // Called from inside the pool's own work, which nothing here may disturb.
    try {
      this.#remember(type, {
        reason,
        backend: backend && this.#options.tell(backend),
      });
    } catch {
      // A change that cannot be told is still a change.
    }
  }

  #remember(
    type: string,
    facts: { reason: string | undefined; backend?: BackendJson | undefined },
  ): void {
    const time = new Date(this.#options.date()).toISOString();
    const id = `${this.#run}-${this.#number + 1}`;
    this.#kept.push(ENCODER.encode(frame(type, { time, type, ...facts }, id)));
    this.#number++;
    if (this.#kept.length > KEPT) this.#kept.shift();
    this.#wakeAll();
  }

  #wakeAll(): void {
    for (const reader of this.#readers) reader.wake();
  }

  #end(reader: Reader): void {
    reader.ended = true;
    this.#readers.delete(reader);
    reader.wake();
  }
}

/** One event; JSON has no newline, which would end it. */
export function frame(type: string, data: unknown, id?: string): string {
  const head = id === undefined ? "" : `id: ${id}\n`;
  return `${head}event: ${type}\ndata: ${JSON.stringify(data)}\n\n`;
}

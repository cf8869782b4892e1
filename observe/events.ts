/**
 * Changes of a pool as server-sent events, with ids and a memory, so that who
 * lost the connection for a moment has missed nothing.
 *
 * @module
 */

import type { Backend, Pool, PoolEvent } from "../balancer.ts";
import type { Clock, TimerHandle } from "../runtime/clock.ts";
import type { BackendJson } from "./backend_json.ts";

/** Changes that are remembered. */
const KEPT = 512;
/** Characters that may wait for one reader. Who is further behind is let go. */
const MOST_UNREAD = 4 * 1024 * 1024;
/** Readers at once. */
const MOST_READERS = 64;
/** Milliseconds of silence after which a comment keeps a connection alive. */
const COMMENT_MS = 15_000;

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

interface Reader {
  controller: ReadableStreamDefaultController<Uint8Array>;
  figures: boolean;
}

/** Remembers the changes of a pool and tells its readers. */
export class EventLog {
  readonly #options: Required<EventLogOptions>;
  readonly #readers = new Set<Reader>();
  readonly #kept: { number: number; text: string }[] = [];
  // Ids of one run do not mean anything in the next.
  readonly #run: string;
  readonly #encoder = new TextEncoder();
  readonly #unsubscribe: () => void;
  readonly #timer: TimerHandle;
  #number = 0;

  /** Begins to remember. */
  constructor(pool: Pool, options: EventLogOptions) {
    this.#options = { date: Date.now, ...options };
    this.#run = this.#options.date().toString(36);
    this.#unsubscribe = pool.subscribe((event) => this.#changed(event));
    this.#timer = options.clock.setInterval(
      () => this.#send(":\n\n", false),
      COMMENT_MS,
    );
  }

  /** How many read it. */
  get readers(): number {
    return this.#readers.size;
  }

  /** Ends listening to the pool, and all readers. */
  stop(): void {
    this.#unsubscribe();
    this.#options.clock.clear(this.#timer);
    for (const reader of this.#readers) this.#letGo(reader);
  }

  /** Sends an event that is not remembered. */
  figures(data: unknown): void {
    if (this.#readers.size > 0) this.#send(frame("figures", data), true);
  }

  /** A body that goes on until its reader leaves; none when they are too many. */
  read(
    { after, past = false, figures = true, first = "" }: ReadOptions,
  ): ReadableStream<Uint8Array> | undefined {
    if (this.#readers.size >= MOST_READERS) return undefined;
    // Half of this second: a proxy that restarts is back soon.
    const text = `retry: 500\n\n${first}${this.#missed(after, past)}`;
    let reader: Reader;
    return new ReadableStream<Uint8Array>({
      start: (controller) => {
        reader = { controller, figures };
        this.#readers.add(reader);
        controller.enqueue(this.#encoder.encode(text));
      },
      cancel: () => {
        this.#readers.delete(reader);
      },
    }, new ByteLengthQueuingStrategy({ highWaterMark: MOST_UNREAD }));
  }

  /** What came after an id, as text; all there is when the id is not known. */
  #missed(after: string | undefined, past: boolean): string {
    if (after === undefined || after === "") {
      return past ? this.#kept.map(({ text }) => text).join("") : "";
    }
    const [run, number] = after.split("-");
    const from = run === this.#run ? Number(number) : 0;
    return this.#kept.filter((event) => !(event.number <= from))
      .map(({ text }) => text).join("");
  }

  #changed({ type, backend, reason }: PoolEvent): void {
    // Called from inside the pool's own work, which nothing here may disturb.
    try {
      const number = ++this.#number;
      const text = frame(type, {
        time: new Date(this.#options.date()).toISOString(),
        type,
        reason,
        backend: backend && this.#options.tell(backend),
      }, `${this.#run}-${number}`);
      if (this.#kept.length >= KEPT) this.#kept.shift();
      this.#kept.push({ number, text });
      this.#send(text, false);
    } catch {
      // A change that cannot be told is still a change.
    }
  }

  #send(text: string, figures: boolean): void {
    if (this.#readers.size === 0) return;
    const bytes = this.#encoder.encode(text);
    for (const reader of this.#readers) {
      if (figures && !reader.figures) continue;
      const room = reader.controller.desiredSize ?? 0;
      // Figures are passed over first: the next second has newer ones. A change
      // may not be missed, so a reader that cannot take it has to come again.
      if (figures && room < MOST_UNREAD / 2) continue;
      if (room < bytes.byteLength) this.#letGo(reader);
      else reader.controller.enqueue(bytes);
    }
  }

  #letGo(reader: Reader): void {
    this.#readers.delete(reader);
    try {
      reader.controller.close();
    } catch {
      // It has just left by itself.
    }
  }
}

/** One event; JSON has no newline, which would end it. */
export function frame(type: string, data: unknown, id?: string): string {
  const head = id === undefined ? "" : `id: ${id}\n`;
  return `${head}event: ${type}\ndata: ${JSON.stringify(data)}\n\n`;
}

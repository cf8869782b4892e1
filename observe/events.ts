/**
 * The changes of a pool as server-sent events. They have ids and are kept for a
 * while, so that a reader that reconnects has missed nothing.
 *
 * A reader is a position in the kept events, without a buffer of its own: it
 * gets the next event when it has read the last one. So a reader that reads
 * nothing costs one event in transit and a connection, whatever happens in the
 * meantime.
 *
 * @module
 */

import type { Backend, Pool, PoolEvent } from "../balancer.ts";
import type { Clock, TimerHandle } from "../base/clock.ts";
import type { BackendJson } from "./backend_json.ts";

/** Number of kept changes; a reader further behind must reconnect. */
const KEPT = 512;
/** Maximum readers; a further one replaces the oldest. */
const MAX_READERS = 64;
/** Milliseconds of silence after which a comment keeps a connection open. */
const COMMENT_MS = 15_000;
/** Bytes of events that are sent in one chunk. */
const BATCH = 16 * 1024;

const ENCODER = new TextEncoder();

/** Reconnection time. Half a second, since a proxy restarts quickly. */
const RETRY = "retry: 500\n\n";
/** For a reader that must give up its place, so that readers take turns. */
const RETRY_LATE = ENCODER.encode("retry: 10000\n\n");
const COMMENT = ENCODER.encode(":\n\n");

/** Options for {@linkcode EventLog}. */
export interface EventLogOptions {
  /** Describes a backend. */
  describe: (backend: Backend) => BackendJson;
  /** Time and timers. */
  clock: Clock;
  /** Milliseconds since 1970. @default {Date.now} */
  date?: () => number;
}

/** Options for {@linkcode EventLog.read}. */
export interface ReadOptions {
  /** Id of the last change that the reader has received. */
  after?: string | undefined;
  /** Whether a reader without an id gets the kept changes. */
  past?: boolean;
  /** Whether the reader gets figures. */
  figures?: boolean;
  /** Events to send first. */
  first?: string;
}

/** The state of a reader. */
interface Reader {
  /** Bytes to send before anything else. */
  first: Uint8Array | undefined;
  /** Number of the last change sent. */
  seen: number;
  /** The last figures sent; `"none"` if it gets no figures. */
  figures: Uint8Array | undefined | "none";
  /** Whether a comment is due, because nothing was sent. */
  silent: boolean;
  /** Whether its stream must end or has ended. */
  ended: boolean;
  /** Whether it has disconnected. */
  left: boolean;
  /** Wakes a read that waits for an event. */
  wake: () => void;
}

/** Keeps the changes of a pool and sends them to readers. */
export class EventLog {
  readonly #options: Required<EventLogOptions>;
  readonly #readers = new Set<Reader>();
  /** The last changes; the newest has the number {@linkcode #number}. */
  readonly #kept: Uint8Array[] = [];
  /** The last figures, shared by all readers. */
  #figures: Uint8Array | undefined;
  // Ids include the run: those of an earlier run are unknown.
  readonly #run: string;
  readonly #unsubscribe: () => void;
  readonly #timer: TimerHandle;
  #number = 0;

  /** Starts to keep changes. */
  constructor(pool: Pool, options: EventLogOptions) {
    this.#options = { date: Date.now, ...options };
    this.#run = this.#options.date().toString(36);
    this.#unsubscribe = pool.subscribe((event) => this.#changed(event));
    this.#timer = options.clock.setInterval(() => {
      for (const reader of this.#readers) reader.silent = true;
      this.#wakeAll();
    }, COMMENT_MS);
  }

  /** Number of readers. */
  get readers(): number {
    return this.#readers.size;
  }

  /** Stops listening to the pool, and ends all readers' streams. */
  stop(): void {
    this.#unsubscribe();
    this.#options.clock.clear(this.#timer);
    for (const reader of this.#readers) this.#end(reader);
  }

  /** Keeps and sends a change of the proxy itself. */
  add(type: string, reason: string): void {
    this.#remember(type, { reason });
  }

  /** Sends an event that is not kept; newer figures replace older ones. */
  figures(data: unknown): void {
    if (this.#readers.size === 0) return;
    this.#figures = ENCODER.encode(frame("figures", data));
    this.#wakeAll();
  }

  /** A stream of events, until the reader disconnects or is replaced. */
  read(
    { after, past = false, figures = true, first = "" }: ReadOptions,
  ): ReadableStream<Uint8Array> {
    const reader: Reader = {
      first: ENCODER.encode(RETRY + first),
      seen: this.#positionOf(after, past),
      figures: figures ? this.#figures : "none",
      silent: false,
      ended: false,
      left: false,
      wake: () => {},
    };
    // Abandoned readers must not lock out a new one. One that is still reading
    // reconnects and continues where it was.
    if (this.#readers.size >= MAX_READERS) {
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
        // A reader that has disconnected in the meantime needs neither.
        if (reader.left) return;
        if (bytes !== undefined) controller.enqueue(bytes);
        else controller.close();
      },
      cancel: () => {
        reader.left = true;
        this.#end(reader);
      },
      // No queue: each event is read on demand.
    }, { highWaterMark: 0 });
  }

  /** The next bytes for a reader; `undefined` if there are none. */
  #next(reader: Reader): Uint8Array | undefined {
    const { first } = reader;
    if (first !== undefined) {
      reader.first = undefined;
      return first;
    }
    if (reader.ended) return undefined;
    const behind = this.#number - reader.seen;
    if (behind > this.#kept.length) {
      // It has missed changes that are no longer kept, so it must reconnect.
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

  /** The next changes, as many as fit into a chunk. */
  #changes(reader: Reader, behind: number): Uint8Array {
    let [from, size] = [this.#kept.length - behind, 0];
    const start = from;
    do size += this.#kept[from++]!.byteLength; while (
      from < this.#kept.length && size + this.#kept[from]!.byteLength < BATCH
    );
    reader.seen += from - start;
    reader.silent = false;
    if (from === start + 1) return this.#kept[start]!;
    const bytes = new Uint8Array(size);
    let at = 0;
    for (const event of this.#kept.slice(start, from)) {
      bytes.set(event, at);
      at += event.byteLength;
    }
    return bytes;
  }

  /** The number of the last change that a reader has received. */
  #positionOf(after: string | undefined, past: boolean): number {
    const oldest = this.#number - this.#kept.length;
    if (after === undefined || after === "") {
      return past ? oldest : this.#number;
    }
    const [, run, number] = /^([^-]*)-(\d{1,15})$/.exec(after) ?? [];
    const known = run === this.#run ? Number(number) : NaN;
    // All kept changes, if the id is unknown or of another run.
    return known >= oldest && known <= this.#number ? known : oldest;
  }

  #changed({ type, backend, reason }: PoolEvent): void {
    // Called within an operation of the pool, which must not be disturbed.
    try {
      this.#remember(type, {
        reason,
        backend: backend && this.#options.describe(backend),
      });
    } catch {
      // The change itself has happened nevertheless.
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

/** One event; JSON has no line breaks, which would end it. */
export function frame(type: string, data: unknown, id?: string): string {
  const head = id === undefined ? "" : `id: ${id}\n`;
  return `${head}event: ${type}\ndata: ${JSON.stringify(data)}\n\n`;
}

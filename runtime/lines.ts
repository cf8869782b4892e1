/**
 * Lines that are written without anybody waiting for them.
 *
 * Standard output may be a pipe that nobody reads. A write to it would then hold
 * up the whole process, so lines are gathered, written in batches by a thread of
 * the runtime's, and past a bound dropped and counted: a log is worth less than
 * the requests that it is about.
 *
 * @module
 */

import { builtin } from "../base/builtin.ts";
import type { Clock } from "../base/clock.ts";

/** Writes some of the bytes and says how many. */
export type Write = (bytes: Uint8Array) => Promise<number>;

/** Options for {@linkcode LineWriter}. */
export interface LineWriterOptions {
  /** Time and timers. */
  clock: Clock;
  /** Characters that may wait; a line past them is dropped. @default {1_048_576} */
  most?: number;
  /** Milliseconds that lines are gathered for one write. @default {10} */
  gatherMs?: number;
  /** Called at the first line that is lost. */
  onLoss?: () => void;
}

/** A queue of lines in front of a file. */
export class LineWriter {
  readonly #write: Write;
  readonly #options: Required<LineWriterOptions>;
  readonly #encoder = new TextEncoder();
  #text = "";
  #lines = 0;
  #busy = false;
  #dropped = 0;
  readonly #waiting = new Set<() => void>();

  /** Makes a writer that does nothing until there is a line. */
  constructor(write: Write, options: LineWriterOptions) {
    this.#write = write;
    this.#options = {
      most: 1024 * 1024,
      gatherMs: 10,
      onLoss: () => {},
      ...options,
    };
  }

  /** Lines that were lost: too many waited, or the file takes none. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Queues a line, which must hold no newline. Never throws, never waits. */
  line(text: string): void {
    const { most, gatherMs, clock } = this.#options;
    if (this.#text.length + text.length >= most) return this.#lose(1);
    this.#text += text;
    this.#text += "\n";
    this.#lines++;
    if (this.#busy) return;
    this.#busy = true;
    clock.setTimeout(() => this.#drain(), gatherMs);
  }

  /** Resolves once nothing waits, or after `ms` all the same. */
  flush(ms: number): Promise<void> {
    if (!this.#busy) return Promise.resolve();
    const { clock } = this.#options;
    return new Promise((resolve) => {
      const end = () => {
        clock.clear(timer);
        this.#waiting.delete(end);
        resolve();
      };
      const timer = clock.setTimeout(end, ms);
      this.#waiting.add(end);
    });
  }

  async #drain(): Promise<void> {
    const { clock, gatherMs } = this.#options;
    const lines = this.#lines;
    const bytes = this.#encoder.encode(this.#text);
    this.#text = "";
    this.#lines = 0;
    try {
      for (let at = 0; at < bytes.byteLength;) {
        at += await this.#some(bytes.subarray(at));
      }
    } catch {
      // Closed, or a full disk. The next batch finds out for itself.
      this.#lose(lines);
    }
    if (this.#lines > 0) {
      clock.setTimeout(() => this.#drain(), gatherMs);
      return;
    }
    this.#busy = false;
    for (const end of this.#waiting) end();
  }

  async #some(bytes: Uint8Array): Promise<number> {
    try {
      return await this.#write(bytes);
    } catch (error) {
      // Whoever shares the pipe may have made it non-blocking; then it is full
      // right now and not broken.
      if ((error as { code?: string }).code !== "EAGAIN") throw error;
      const { clock, gatherMs } = this.#options;
      await new Promise<void>((r) => clock.setTimeout(r, gatherMs));
      return 0;
    }
  }

  #lose(lines: number): void {
    if (this.#dropped === 0) this.#options.onLoss();
    this.#dropped += lines;
  }
}

/** The part of Deno's global that is used here. */
interface DenoOutput {
  stdout: { write: Write };
  stderr: { write: Write };
}

/**
 * Writes to standard output or error off the event loop. Deno's `node:fs` holds
 * up the event loop even in its form with a callback (measured on 2.9.6), and
 * Deno's own does not.
 */
export function standard(to: "out" | "err"): Write {
  const { Deno } = globalThis as unknown as { Deno?: DenoOutput };
  if (Deno?.stdout !== undefined) {
    const file = to === "out" ? Deno.stdout : Deno.stderr;
    return (bytes) => file.write(bytes);
  }
  const fd = to === "out" ? 1 : 2;
  const { write } = builtin("node:fs");
  return (bytes) =>
    new Promise((resolve, reject) => {
      write(fd, bytes, 0, bytes.byteLength, null, (error, written) => {
        if (error) reject(error);
        else resolve(written);
      });
    });
}

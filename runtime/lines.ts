/**
 * Writes lines without waiting.
 *
 * Standard output may be a pipe without a reader. A write would then block the
 * whole process. So lines are collected, written in batches off the event loop,
 * and dropped and counted above a limit: requests are more important than their
 * log.
 *
 * @module
 */

import { builtin } from "../base/builtin.ts";
import type { Clock } from "../base/clock.ts";

/** Writes some of the bytes; returns how many. */
export type Write = (bytes: Uint8Array) => Promise<number>;

/** Options for {@linkcode LineWriter}. */
export interface LineWriterOptions {
  /** Time and timers. */
  clock: Clock;
  /** Maximum queued characters; further lines are lost. @default {1_048_576} */
  maxChars?: number;
  /** Milliseconds during which lines are collected. @default {10} */
  batchMs?: number;
  /** Called when the first line is lost. */
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

  /** Makes a writer that is idle until there is a line. */
  constructor(write: Write, options: LineWriterOptions) {
    this.#write = write;
    this.#options = {
      maxChars: 1024 * 1024,
      batchMs: 10,
      onLoss: () => {},
      ...options,
    };
  }

  /** Lines lost, because the queue was full or a write has failed. */
  get dropped(): number {
    return this.#dropped;
  }

  /** Queues a line, which must have no line break. Never throws or waits. */
  line(text: string): void {
    const { maxChars, batchMs, clock } = this.#options;
    if (this.#text.length + text.length >= maxChars) return this.#lose(1);
    this.#text += text;
    this.#text += "\n";
    this.#lines++;
    if (this.#busy) return;
    this.#busy = true;
    clock.setTimeout(() => this.#drain(), batchMs);
  }

  /** Resolves once the queue is empty, or after `ms`. */
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
    const { clock, batchMs } = this.#options;
    const lines = this.#lines;
    const bytes = this.#encoder.encode(this.#text);
    this.#text = "";
    this.#lines = 0;
    try {
      for (let at = 0; at < bytes.byteLength;) {
        at += await this.#some(bytes.subarray(at));
      }
    } catch {
      // Closed, or the disk is full. The next batch tries again.
      this.#lose(lines);
    }
    if (this.#lines > 0) {
      clock.setTimeout(() => this.#drain(), batchMs);
      return;
    }
    this.#busy = false;
    for (const end of this.#waiting) end();
  }

  async #some(bytes: Uint8Array): Promise<number> {
    try {
      return await this.#write(bytes);
    } catch (error) {
      // Another process may have made a shared pipe non-blocking; then the pipe
      // is only full.
      if ((error as { code?: string }).code !== "EAGAIN") throw error;
      const { clock, batchMs } = this.#options;
      await new Promise<void>((r) => clock.setTimeout(r, batchMs));
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
 * Writes to standard output or error off the event loop. Deno's `node:fs`
 * blocks the event loop even with a callback (measured on 2.9.6); Deno's own
 * API does not.
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

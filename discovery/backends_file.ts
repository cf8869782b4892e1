/**
 * `BACKENDS_FILE`: read again when it changes, and when it is asked for.
 *
 * Its text is looked at every half second. A file watcher would tell sooner, but
 * of the wrong thing: editors put a new file in its place, Kubernetes turns a
 * symbolic link two folders up, network file systems tell nothing at all. What
 * counts is what stands there now, and reading a page costs a few microseconds.
 *
 * @module
 */

import { readFile } from "node:fs/promises";
import type { Clock, TimerHandle } from "../base/clock.ts";

/** Milliseconds between two looks. */
const LOOK_MS = 500;

/** Options for {@linkcode BackendsFile}. */
export interface BackendsFileOptions {
  /** Where it is. */
  path: string;
  /** What was read of it at start. */
  text: string;
  /** Takes a text that is new; throws nothing. */
  changed: (text: string) => void;
  /** Takes a line for the log. */
  log: (line: string) => void;
  /** Time and timers. */
  clock: Clock;
  /** Reads a file as text. @default {readFile} */
  read?: (path: string) => Promise<string>;
}

/** Looks after the file. */
export class BackendsFile {
  readonly #options: Required<BackendsFileOptions>;
  readonly #timer: TimerHandle;
  /** What was last handed on. */
  #text: string;
  /** What was seen at the last look. */
  #seen: string;
  #failure: string | undefined;
  #reading = false;

  /** Begins to look. */
  constructor(options: BackendsFileOptions) {
    this.#options = { read: (path) => readFile(path, "utf8"), ...options };
    this.#text = this.#seen = options.text;
    this.#timer = options.clock.setInterval(() => {
      // A file system that hangs is asked again only when it has answered.
      if (!this.#reading) this.#look(false);
    }, LOOK_MS);
  }

  /** Reads it now, and hands it on even if it is the same. */
  reload(): Promise<void> {
    return this.#look(true);
  }

  /** Ends looking. */
  stop(): void {
    this.#options.clock.clear(this.#timer);
  }

  async #look(asked: boolean): Promise<void> {
    const { path, read, changed, log } = this.#options;
    this.#reading = true;
    let text: string;
    try {
      text = await read(path);
    } catch (error) {
      const failure = error instanceof Error ? error.message : String(error);
      if (asked || failure !== this.#failure) {
        log(
          `BACKENDS_FILE cannot be read (${failure}): the backends stay as they are`,
        );
      }
      this.#failure = failure;
      return;
    } finally {
      this.#reading = false;
    }
    this.#failure = undefined;
    const settled = text === this.#seen;
    this.#seen = text;
    // Half of a file that is being written is a list too, of too few backends.
    // So it has to look the same twice, unless SIGHUP says that it is done.
    if (!asked && (!settled || text === this.#text)) return;
    this.#text = text;
    changed(text);
  }
}

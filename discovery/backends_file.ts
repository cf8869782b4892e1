/**
 * `BACKENDS_FILE`: read again when it changes, and when it is asked for.
 *
 * @module
 */

import type { Clock } from "../base/clock.ts";
import { FileWatch } from "./file_watch.ts";

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
  readonly #watch: FileWatch;

  /** Begins to look. */
  constructor(
    { path, text, changed, log, clock, read }: BackendsFileOptions,
  ) {
    this.#watch = new FileWatch({
      paths: [path],
      texts: [text],
      changed: ([text = ""]) => changed(text),
      failed: (reason) =>
        log(
          `BACKENDS_FILE cannot be read (${reason}): the backends stay as they are`,
        ),
      clock,
      read,
    });
  }

  /** Reads it now, and hands it on even if it is the same. */
  reload(): Promise<void> {
    return this.#watch.reload();
  }

  /** Ends looking. */
  stop(): void {
    this.#watch.stop();
  }
}

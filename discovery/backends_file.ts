/**
 * `BACKENDS_FILE`: read again when it changes, and on request.
 *
 * @module
 */

import type { Clock } from "../base/clock.ts";
import { FileWatch } from "./file_watch.ts";

/** Options for {@linkcode BackendsFile}. */
export interface BackendsFileOptions {
  /** Path of the file. */
  path: string;
  /** Its text at start. */
  text: string;
  /** Takes a changed text; must not throw. */
  changed: (text: string) => void;
  /** Takes a line for the log. */
  log: (line: string) => void;
  /** Time and timers. */
  clock: Clock;
  /** Reads a file as text. @default {fileText} */
  read?: (path: string) => Promise<string>;
}

/** Watches the file. */
export class BackendsFile {
  readonly #watch: FileWatch;

  /** Starts watching. */
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

  /** Reads the file now and passes it on even if it is unchanged. */
  reload(): Promise<void> {
    return this.#watch.reload();
  }

  /** Stops watching. */
  stop(): void {
    this.#watch.stop();
  }
}

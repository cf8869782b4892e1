/**
 * Files that are read again when they change, and when it is asked for.
 *
 * Their texts are looked at every half second. A file watcher would tell sooner,
 * but of the wrong thing: editors and certbot put new files and links in the
 * place of old ones, Kubernetes turns a symbolic link two folders up, network
 * file systems tell nothing at all. What counts is what stands there now, and
 * reading a page costs a few microseconds.
 *
 * @module
 */

import { builtin } from "../base/builtin.ts";
import type { Clock, TimerHandle } from "../base/clock.ts";

/** Milliseconds between two looks. */
const LOOK_MS = 500;

/** Options for {@linkcode FileWatch}. */
export interface FileWatchOptions {
  /** Where they are. */
  paths: readonly string[];
  /** What was read of each at start. */
  texts: readonly string[];
  /** Takes texts of which one is new, or that were asked for; throws nothing. */
  changed: (texts: readonly string[]) => void;
  /** Takes the reason why one cannot be read; once, unless it is asked for. */
  failed: (reason: string) => void;
  /** Time and timers. */
  clock: Clock;
  /** Reads a file as text. @default {readFile} */
  read?: ((path: string) => Promise<string>) | undefined;
}

/** Looks after files that belong together. */
export class FileWatch {
  readonly #options: FileWatchOptions;
  readonly #timer: TimerHandle;
  /** What was last handed on. */
  #texts: readonly string[];
  /** What was seen at the last look. */
  #seen: readonly string[];
  #failure: string | undefined;
  #reading = false;

  /** Begins to look. */
  constructor(options: FileWatchOptions) {
    this.#options = options;
    this.#texts = this.#seen = options.texts;
    this.#timer = options.clock.setInterval(() => {
      // A file system that hangs is asked again only when it has answered.
      if (!this.#reading) this.#look(false);
    }, LOOK_MS);
  }

  /** Reads them now, and hands them on even if they are the same. */
  reload(): Promise<void> {
    return this.#look(true);
  }

  /** Ends looking. */
  stop(): void {
    this.#options.clock.clear(this.#timer);
  }

  async #look(asked: boolean): Promise<void> {
    const {
      paths,
      changed,
      failed,
      read = (path) => builtin("node:fs/promises").readFile(path, "utf8"),
    } = this.#options;
    this.#reading = true;
    let texts: readonly string[];
    try {
      texts = await Promise.all(paths.map(read));
    } catch (error) {
      const failure = error instanceof Error ? error.message : String(error);
      if (asked || failure !== this.#failure) failed(failure);
      this.#failure = failure;
      return;
    } finally {
      this.#reading = false;
    }
    this.#failure = undefined;
    const settled = same(texts, this.#seen);
    this.#seen = texts;
    // Half of a file that is being written is a text too, and so is the new file
    // beside the old one that is about to be replaced. So all have to look the
    // same twice, unless somebody says that it is done.
    if (!asked && (!settled || same(texts, this.#texts))) return;
    this.#texts = texts;
    changed(texts);
  }
}

function same(some: readonly string[], others: readonly string[]): boolean {
  return some.every((text, i) => text === others[i]);
}

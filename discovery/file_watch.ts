/**
 * Files that are read again when they change, and on request.
 *
 * They are read every half second. A file watcher would be faster but watch the
 * wrong thing: editors and certbot replace files and links, Kubernetes swaps a
 * symbolic link two directories up, and network file systems send no events.
 * Reading the current content is reliable and costs a few microseconds.
 *
 * @module
 */

import { messageOf } from "../base/text.ts";
import type { Clock, TimerHandle } from "../base/clock.ts";
import { fileText } from "./file_text.ts";

/** Milliseconds between two polls. */
const POLL_MS = 500;

/** Options for {@linkcode FileWatch}. */
export interface FileWatchOptions {
  /** Paths of the files. */
  paths: readonly string[];
  /** Their texts at start. */
  texts: readonly string[];
  /** Takes the texts after a change or a reload; must not throw. */
  changed: (texts: readonly string[]) => void;
  /**
   * Takes the reason when a file cannot be read; a repeated one only on reload.
   */
  failed: (reason: string) => void;
  /** Time and timers. */
  clock: Clock;
  /** Reads a file as text. @default {fileText} */
  read?: ((path: string) => Promise<string>) | undefined;
}

/** Watches files that belong together. */
export class FileWatch {
  readonly #options: FileWatchOptions;
  readonly #timer: TimerHandle;
  /** The texts that were last passed on. */
  #texts: readonly string[];
  /** The texts of the last poll. */
  #polled: readonly string[];
  #failure: string | undefined;
  #reading = false;

  /** Starts watching. */
  constructor(options: FileWatchOptions) {
    this.#options = options;
    this.#texts = this.#polled = options.texts;
    this.#timer = options.clock.setInterval(() => {
      // Never two at once: a file system may hang.
      if (!this.#reading) this.#poll(false);
    }, POLL_MS);
  }

  /** Reads the files now and passes them on even if they are unchanged. */
  reload(): Promise<void> {
    return this.#poll(true);
  }

  /** Stops watching. */
  stop(): void {
    this.#options.clock.clear(this.#timer);
  }

  async #poll(forced: boolean): Promise<void> {
    const { paths, changed, failed, read = fileText } = this.#options;
    this.#reading = true;
    let texts: readonly string[];
    try {
      texts = await Promise.all(paths.map(read));
    } catch (error) {
      const failure = messageOf(error);
      if (forced || failure !== this.#failure) failed(failure);
      this.#failure = failure;
      return;
    } finally {
      this.#reading = false;
    }
    this.#failure = undefined;
    const stable = same(texts, this.#polled);
    this.#polled = texts;
    // A poll may see a file half written, or a new certificate with the old
    // key. So texts count once two polls in a row agree, unless a reload is
    // requested.
    if (!forced && (!stable || same(texts, this.#texts))) return;
    this.#texts = texts;
    changed(texts);
  }
}

function same(some: readonly string[], others: readonly string[]): boolean {
  return some.every((text, i) => text === others[i]);
}

/**
 * A program of another project that runs beside a test and is ended with it.
 *
 * @module
 */

import { ended, opened } from "./cleanup.ts";
import { until, within } from "./wait.ts";

/** A running program, and the lines that it has printed. */
export class Daemon implements AsyncDisposable {
  readonly label: string;
  /** Its output so far, of both streams. */
  output = "";
  readonly #child: Deno.ChildProcess;
  readonly #reading: Promise<unknown>;

  /** Starts it. */
  constructor(program: string, args: readonly string[], cwd?: string) {
    this.label = program;
    this.#child = new Deno.Command(program, {
      args: [...args],
      ...(cwd === undefined ? {} : { cwd }),
      stdin: "null",
      stdout: "piped",
      stderr: "piped",
    }).spawn();
    const { stdout, stderr } = this.#child;
    this.#reading = Promise.all([stdout, stderr].map((s) => this.#read(s)));
    opened(this);
  }

  async #read(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    for await (const piece of stream) {
      this.output += decoder.decode(piece, { stream: true });
    }
  }

  /** Waits for something that it prints. */
  async prints(pattern: RegExp): Promise<RegExpExecArray> {
    await until(() => pattern.test(this.output), {
      timeoutMs: 20_000,
      what: () => `${pattern} from ${this.label}: ${this.output}`,
    });
    return pattern.exec(this.output)!;
  }

  /** Ends it: by SIGTERM, which nginx passes on to its workers. */
  async abandon(): Promise<void> {
    ended(this);
    try {
      this.#child.kill("SIGTERM");
    } catch {
      // It has exited.
    }
    await within(this.#child.status, 30_000, `the end of ${this.label}`);
    await this.#reading;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.abandon();
  }
}

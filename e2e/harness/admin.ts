/**
 * Help for tests of the admin port.
 *
 * @module
 */

import type { ProxyProcess } from "./proxy.ts";

/** A token that tests use. */
export const TOKEN = "a-token-for-tests-only";

/** Settings that switch the admin port on. */
export const ADMIN_ENV = { ADMIN_PORT: "0", ADMIN_TOKEN: TOKEN };

/** Where the admin port of a proxy is, without a slash at the end. */
export async function adminUrl(proxy: ProxyProcess): Promise<string> {
  const [, url] = await proxy.waitForLine(/dashboard at (http:\S+?)\/$/);
  return url!;
}

/** The port in such a URL. */
export function portOf(url: string): number {
  return Number(new URL(url).port);
}

/** One event of a stream. */
export interface SentEvent {
  id: string | undefined;
  type: string;
  // deno-lint-ignore no-explicit-any -- each type has a form of its own
  data: any;
}

/** Reads server-sent events one by one until it is closed. */
export class EventReader implements AsyncDisposable {
  readonly #reader: ReadableStreamDefaultReader<string>;
  readonly #abort: AbortController;
  #rest = "";

  private constructor(
    readonly response: Response,
    abort: AbortController,
  ) {
    this.#abort = abort;
    this.#reader = response.body!.pipeThrough(new TextDecoderStream())
      .getReader();
  }

  static async open(
    url: string,
    headers: Record<string, string> = {},
  ): Promise<EventReader> {
    const abort = new AbortController();
    const response = await fetch(url, { headers, signal: abort.signal });
    return new EventReader(response, abort);
  }

  /** The next event; figures only if they are requested. */
  async next(type?: string): Promise<SentEvent> {
    while (true) {
      const end = this.#rest.indexOf("\n\n");
      if (end < 0) {
        const { done, value } = await this.#reader.read();
        if (done) throw new Error("The stream of events has ended");
        this.#rest += value;
        continue;
      }
      const lines = this.#rest.slice(0, end).split("\n");
      this.#rest = this.#rest.slice(end + 2);
      const event: SentEvent = { id: undefined, type: "", data: undefined };
      for (const line of lines) {
        const [, name, text] = /^(\w+): (.*)$/.exec(line) ?? [];
        if (name === "id") event.id = text;
        if (name === "event") event.type = text!;
        if (name === "data") event.data = JSON.parse(text!);
      }
      if (event.data === undefined) continue;
      if (type === undefined ? event.type !== "figures" : event.type === type) {
        return event;
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Deno's stream of an answer whose server has exited may stay open for ever
    // after an abort.
    await this.#reader.cancel().catch(() => {});
    this.#abort.abort();
  }
}

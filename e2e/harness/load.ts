/**
 * Clients that send requests until they are stopped, each on its own kept
 * connection, and count errors.
 *
 * @module
 */

import { RawConnection, requestText } from "./client.ts";

/** Options for {@linkcode Load.start}. */
export interface LoadOptions {
  /** Number of clients. @default {8} */
  clients?: number;
  /** What each request is. @default {GET /} */
  request?: Uint8Array;
  /** Milliseconds of rest after each answer. @default {2} */
  restMs?: number;
}

/** What a load has seen. */
export interface Seen {
  /** Whole answers of status 200. */
  answered: number;
  /** The errors; the first hundred. */
  failures: string[];
}

/** A running load. */
export class Load implements AsyncDisposable {
  readonly #seen: Seen = { answered: 0, failures: [] };
  readonly #clients: Promise<void>[] = [];
  #stopped = false;

  /** Begins. */
  static start(port: number, options: LoadOptions = {}): Load {
    const {
      clients = 8,
      request = requestText("GET", "/"),
      restMs = 2,
    } = options;
    const load = new Load();
    for (let i = 0; i < clients; i++) {
      load.#clients.push(load.#client(port, request, restMs));
    }
    return load;
  }

  /** Answers so far. */
  get answered(): number {
    return this.#seen.answered;
  }

  /** Ends when each client has its last answer. */
  async stop(): Promise<Seen> {
    this.#stopped = true;
    await Promise.all(this.#clients);
    return this.#seen;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #client(
    port: number,
    request: Uint8Array,
    restMs: number,
  ): Promise<void> {
    let connection: RawConnection | undefined;
    while (!this.#stopped) {
      try {
        connection ??= await RawConnection.connect(port);
        const answer = await connection.request(request);
        if (answer.status === 200 && answer.complete) this.#seen.answered++;
        else this.#fail(`${answer.statusLine} ${answer.problem ?? ""}`);
        if (answer.closed) {
          await connection.close();
          connection = undefined;
        }
      } catch (error) {
        this.#fail(String(error));
        await connection?.close();
        connection = undefined;
      }
      await new Promise((resolve) => setTimeout(resolve, restMs));
    }
    await connection?.close();
  }

  #fail(what: string): void {
    if (this.#seen.failures.length < 100) this.#seen.failures.push(what);
  }
}

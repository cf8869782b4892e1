/**
 * The HTTP client in a test's hands: its clock, and the connections it opens.
 *
 * @module
 */

import { setImmediate } from "node:timers";
import { bytesOf, type Chunk, latin1 } from "../http/bytes.ts";
import type { Answer, ClientRequest, Payload, Reading } from "../http/call.ts";
import { Client } from "../http/client.ts";
import type { Pool } from "../http/pool.ts";
import { FakeClock, settle } from "./clock.ts";
import { type Delivery, FakeConnection } from "./fake_connection.ts";

/** A client and the backend that it talks to. */
export class ClientRig {
  readonly clock = new FakeClock();
  readonly client: Client;
  readonly pool: Pool;
  /** Each connection that was opened, in that order. */
  readonly connections: FakeConnection[] = [];
  /** What connecting fails with. */
  refusal: Error | undefined;
  /** Called with each connection that was opened. */
  opened: ((connection: FakeConnection) => void) | undefined;

  constructor(
    delivery: Delivery = "own",
    { lingers = true, reuses = false, lags = false } = {},
  ) {
    this.client = new Client({
      timers: {
        later: (callback) => void setImmediate(callback),
        setTimeout: (callback, ms) => this.clock.setTimeout(callback, ms),
        setInterval: (callback, ms) => this.clock.setInterval(callback, ms),
        clear: (handle) => this.clock.clear(handle),
      },
      wholeUpTo: 64 * 1024,
      lingers,
      reuses,
      lags,
    });
    this.pool = this.client.pool(() => {
      if (this.refusal !== undefined) return Promise.reject(this.refusal);
      const connection = new FakeConnection(delivery);
      this.connections.push(connection);
      this.opened?.(connection);
      return Promise.resolve(connection);
    });
  }

  /** The connection that was opened last. */
  get last(): FakeConnection {
    return this.connections.at(-1)!;
  }

  /** Sends a request; it has left when the promise resolves. */
  async send(
    request: Partial<ClientRequest> = {},
  ): Promise<{ answer: Promise<Answer>; controller: AbortController }> {
    const controller = new AbortController();
    const method = request.method ?? "GET";
    // A connection used in this turn is not reused in the same turn.
    await settle();
    const answer = this.pool.send({
      method,
      target: "/",
      fields: [["host", "backend"]],
      repeatable: method === "GET",
      signal: controller.signal,
      ...request,
    });
    // A rejection is handled later.
    answer.catch(() => {});
    await settle();
    return { answer, controller };
  }
}

/** All of an answer's body as text. */
export async function textOf({ body }: Answer): Promise<string> {
  if (body === null) return "";
  if (body instanceof Uint8Array) return latin1(body);
  let text = "";
  for (let piece; (piece = await body.read()) !== undefined;) {
    text += latin1(piece);
  }
  return text;
}

/** A body that a test sends on by hand. */
export class FakePayload implements Reading {
  cancelled: unknown;
  /** Pieces that were read. */
  reads = 0;
  /** Pieces whose memory was given back. */
  readonly reused: Chunk[] = [];
  readonly #pieces: (Chunk | Error | undefined)[] = [];
  #wanted: PromiseWithResolvers<Chunk | undefined> | undefined;

  /** It as a request's body, of this length or in chunks. */
  of(length?: number): Payload {
    return { reading: this, length };
  }

  /** A chunk arrives; without an argument, the end. */
  push(piece?: string | Error): this {
    this.#pieces.push(typeof piece === "string" ? bytesOf(piece) : piece);
    this.#give();
    return this;
  }

  read(): Promise<Chunk | undefined> {
    this.#wanted = Promise.withResolvers();
    const { promise } = this.#wanted;
    this.#give();
    return promise;
  }

  cancel(why: unknown): void {
    this.cancelled = why;
  }

  reuse(piece: Chunk): void {
    this.reused.push(piece);
  }

  #give(): void {
    const wanted = this.#wanted;
    if (wanted === undefined || this.#pieces.length === 0) return;
    this.#wanted = undefined;
    this.reads++;
    const piece = this.#pieces.shift();
    if (piece instanceof Error) wanted.reject(piece);
    else wanted.resolve(piece);
  }
}

/**
 * Bounds the long-running requests of one connection.
 *
 * Over HTTP/2 a client may repeatedly open a stream and reset it at once. The
 * server counts open streams only, and on Deno a reset is not noticed that came
 * before the request's signal was read. Each such request would wait at a
 * backend until its time limit. A connection cannot have more than
 * {@linkcode MAX_STREAMS} open streams, so requests older than its newest ones
 * have been reset.
 *
 * @module
 */

import type { Exchange } from "./exchange.ts";
import { CLIENT_LEFT } from "./reasons.ts";

/** Streams that Deno's server allows per connection at a time. */
const MAX_STREAMS = 200;

/** Long-running requests by connection, oldest first. */
export class Streams {
  readonly #of = new Map<string, Set<Exchange>>();

  /** Adds a request; above the limit, ends the oldest one. */
  add(x: Exchange, connection: string): void {
    let streams = this.#of.get(connection);
    if (streams === undefined) {
      this.#of.set(connection, streams = new Set());
    }
    streams.add(x);
    if (streams.size <= MAX_STREAMS) return;
    const [oldest] = streams;
    streams.delete(oldest!);
    oldest!.end(CLIENT_LEFT);
  }

  /** Removes a request that has ended. */
  remove(x: Exchange, connection: string): void {
    const streams = this.#of.get(connection);
    streams?.delete(x);
    if (streams?.size === 0) this.#of.delete(connection);
  }
}

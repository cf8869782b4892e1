/**
 * How many requests of one connection may be under way for long.
 *
 * Over HTTP/2 a client may open a stream and give it up at once, again and
 * again: the server counts open streams only, and on Deno nobody hears of a
 * reset that came before the request's signal was asked for. Each such request
 * would wait at a backend until its time limit. A connection cannot have more
 * than {@linkcode MOST} streams open, so what is older than its newest ones has
 * been given up.
 *
 * @module
 */

import type { Exchange } from "./exchange.ts";
import { CLIENT_LEFT } from "./reasons.ts";

/** Streams that Deno's server lets a connection have open at a time. */
const MOST = 200;

/** Lasting requests by connection, the oldest first. */
export class Streams {
  readonly #of = new Map<string, Set<Exchange>>();

  /** Takes a request that has lasted, and ends the oldest of too many. */
  add(x: Exchange, connection: string): void {
    let streams = this.#of.get(connection);
    if (streams === undefined) {
      this.#of.set(connection, streams = new Set());
    }
    streams.add(x);
    if (streams.size <= MOST) return;
    const [oldest] = streams;
    streams.delete(oldest!);
    oldest!.end(CLIENT_LEFT);
  }

  /** A request is over. */
  remove(x: Exchange, connection: string): void {
    const streams = this.#of.get(connection);
    streams?.delete(x);
    if (streams?.size === 0) this.#of.delete(connection);
  }
}

/**
 * Which runtime this is, and its parts.
 *
 * @module
 */

import type { Server } from "../proxy/server.ts";
import type { FetchTransport } from "../proxy/transport.ts";
import { BunFetch } from "./bun/fetch.ts";
import { listenBun } from "./bun/listen.ts";
import { BunServer } from "./bun/server.ts";
import { DenoFetch } from "./deno/fetch.ts";
import { listenDeno } from "./deno/listen.ts";
import { DenoServer } from "./deno/server.ts";
import type { Handler, Listener, ListenOptions } from "./listener.ts";
import type { TransportOptions } from "./transport_options.ts";

const onBun = "Bun" in globalThis;

/**
 * Whether `fetch` can be told to connect to an address and to ask there for the
 * certificate of a name. Deno's cannot: it takes one host for both.
 */
export const sendsServerName: boolean = onBun;

/** This runtime's server. */
export const server: Server = onBun ? new BunServer() : new DenoServer();

/** Sends requests with this runtime's `fetch`. */
export function fetchTransport(options: TransportOptions): FetchTransport {
  return onBun ? new BunFetch(options) : new DenoFetch(options);
}

/** Listens with this runtime's server. */
export function listen(handler: Handler, options: ListenOptions): Listener {
  return onBun ? listenBun(handler, options) : listenDeno(handler, options);
}

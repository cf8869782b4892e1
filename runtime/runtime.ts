/**
 * Which runtime this is, and its parts.
 *
 * @module
 */

import type { Transport } from "../proxy/transport.ts";
import { BunTransport, listenBun } from "./bun.ts";
import { DenoTransport, listenDeno } from "./deno.ts";
import type { Handler, Listener, ListenOptions } from "./listener.ts";
import type { TransportOptions } from "./transport_options.ts";

const onBun = "Bun" in globalThis;

/**
 * Whether `fetch` can be told to connect to an address and to ask there for the
 * certificate of a name. Deno's cannot: it takes one host for both.
 */
export const sendsServerName: boolean = onBun;

/** Makes the transport of this runtime. */
export function transport(options: TransportOptions): Transport {
  return onBun ? new BunTransport(options) : new DenoTransport(options);
}

/** Listens with this runtime's server. */
export function listen(handler: Handler, options: ListenOptions): Listener {
  return onBun ? listenBun(handler, options) : listenDeno(handler, options);
}

/**
 * Selects the parts of the current runtime.
 *
 * @module
 */

import { builtin } from "../base/builtin.ts";
import type { Server } from "../proxy/server.ts";
import type { FetchTransport, Transport } from "../proxy/transport.ts";
import { withUsualAuthorities } from "./bun/authorities.ts";
import { connectBun } from "./bun/connect.ts";
import { BunFetch, changedByBun } from "./bun/fetch.ts";
import { listenBun } from "./bun/listen.ts";
import { BunServer } from "./bun/server.ts";
import { AutoTransport } from "./auto.ts";
import { customTransport } from "./custom.ts";
import { connectDeno } from "./deno/connect.ts";
import { DenoFetch } from "./deno/fetch.ts";
import { listenDeno } from "./deno/listen.ts";
import { DenoServer } from "./deno/server.ts";
import type { Handler, Listener, ListenOptions } from "./listener.ts";
import { SocketTransport } from "./sockets.ts";
import type { SocketOptions, TransportOptions } from "./transport_options.ts";

const onBun = "Bun" in globalThis;

/** What sends requests: a value of `TRANSPORT`, or a custom `fetch`. */
export type SentBy = "auto" | "fetch" | "socket" | typeof fetch;

/**
 * Whether it can connect to an address and verify the certificate of a name.
 * Deno's `fetch` cannot: it uses one host for both.
 */
export function sendsServerName(by: SentBy): boolean {
  return onBun || by === "auto" || by === "socket";
}

/** This runtime's server. */
export const server: Server = onBun ? new BunServer() : new DenoServer();

/** Sends requests with this runtime's `fetch`. */
export function fetchTransport(options: TransportOptions): FetchTransport {
  return onBun ? new BunFetch(options) : new DenoFetch(options);
}

/** Sends requests over this runtime's sockets. */
export function socketTransport(options: SocketOptions): Transport {
  // Loaded before the time of the first probe runs.
  if (options.secure) builtin("node:tls");
  return new SocketTransport({
    userAgent: "sluice",
    ...options,
    tls: onBun ? withUsualAuthorities(options.tls) : options.tls,
    open: onBun ? connectBun : connectDeno,
    wholeUpTo: server.wholeUpTo,
    // Bun reads the rest of a request by itself.
    lingers: !onBun,
    // The result of a read that is over waits for its turn behind new requests.
    lags: !onBun,
  });
}

/** Makes the transport for requests. */
export function transportFor(
  by: SentBy,
  options: SocketOptions,
): Transport {
  if (typeof by === "function") {
    return customTransport(fetchTransport(options), by);
  }
  if (by === "fetch") return fetchTransport(options);
  const sockets = socketTransport(options);
  // Deno's `fetch` changes nearly every request, for example `Accept-Language`.
  if (by === "socket" || !onBun) return sockets;
  return new AutoTransport(fetchTransport(options), sockets, changedByBun);
}

/** The name of the transport on the dashboard. */
export function transportName(by: SentBy): string {
  if (typeof by === "function") return "a fetch of your own";
  if (by === "fetch") return "fetch";
  return by === "socket" || !onBun ? "sockets" : "fetch and sockets";
}

/** Listens with this runtime's server. */
export function listen(handler: Handler, options: ListenOptions): Listener {
  return onBun ? listenBun(handler, options) : listenDeno(handler, options);
}

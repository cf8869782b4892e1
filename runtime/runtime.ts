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
import { BunFetch, needsSocket } from "./bun/fetch.ts";
import { listenBun } from "./bun/listen.ts";
import { BunServer } from "./bun/server.ts";
import { AutoTransport } from "./auto.ts";
import { customTransport } from "./custom.ts";
import { connectDeno } from "./deno/connect.ts";
import { DenoFetch } from "./deno/fetch.ts";
import { listenDeno } from "./deno/listen.ts";
import { DenoServer } from "./deno/server.ts";
import type { Handler, Listener, ListenOptions } from "./listener.ts";
import { onBun, onDeno } from "./process.ts";
import { SocketTransport } from "./sockets.ts";
import type { SocketOptions, TransportOptions } from "./transport_options.ts";
import { WebFetch } from "./web/fetch.ts";
import { WebServer } from "./web/server.ts";

/**
 * Whether this is neither Deno nor Bun but a platform that calls a handler and
 * has a `fetch`: no sockets, no files, and no timers between two requests.
 */
export const onWeb: boolean = !onBun && !onDeno;

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
export const server: Server = onBun
  ? new BunServer()
  : onWeb
  ? new WebServer()
  : new DenoServer();

/** Why a backend cannot be used on a platform without sockets. */
export function platformFault(
  { url, resolve }: { url: string; resolve?: boolean | undefined },
): string | undefined {
  if (!onWeb) return undefined;
  if (url.startsWith("unix:")) {
    return `"${url}" is a Unix domain socket, and this platform has none`;
  }
  return resolve === true
    ? `"${url}" has resolve, and this platform looks up no names`
    : undefined;
}

/** Sends requests with this runtime's `fetch`. */
export function fetchTransport(options: TransportOptions): FetchTransport {
  if (onWeb) return new WebFetch(options);
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
    reuses: server.copiesBodies === true,
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
  if (onWeb && by === "socket") {
    throw new TypeError(
      'Cannot make a proxy: transport is "socket", and this platform has none',
    );
  }
  if (by === "fetch" || onWeb) return fetchTransport(options);
  const sockets = socketTransport(options);
  // Deno's `fetch` changes nearly every request, for example `Accept-Language`.
  if (by === "socket" || !onBun) return sockets;
  return new AutoTransport(fetchTransport(options), sockets, needsSocket);
}

/** The name of the transport on the dashboard. */
export function transportName(by: SentBy): string {
  if (typeof by === "function") return "a fetch of your own";
  if (by === "fetch") return "fetch";
  return by === "socket" || !onBun ? "sockets" : "fetch and sockets";
}

/** Listens with this runtime's server. */
export function listen(handler: Handler, options: ListenOptions): Listener {
  if (onWeb) {
    throw new Error(
      "Cannot listen: this platform calls a handler by itself; export one that calls proxy.fetch()",
    );
  }
  return onBun ? listenBun(handler, options) : listenDeno(handler, options);
}

/**
 * Deno's internals for serving TLS, see `listen_tls.ts`. Measured on 2.9.6. If
 * they are not as expected, the public API is used.
 *
 * @module
 */

import type { Handler } from "../listener.ts";
import { env } from "../process.ts";

/** The server of one connection. */
export interface ConnectionServer {
  readonly finished: Promise<void>;
  shutdown(): Promise<void>;
}

/** The internals that are used. */
export interface TlsInside {
  serveHttpOnConnection(
    connection: Deno.TlsConn,
    signal: { addEventListener(type: "abort", listener: () => void): void },
    handler: Handler,
    onError: () => Response,
    onListen: () => void,
  ): ConnectionServer;
  core: {
    createCancelHandle(): number;
    tryClose(resource: number): void;
    resources(): Record<number, string>;
  };
}

/** The internals; `undefined` if any is missing. */
export function tlsInside(): TlsInside | undefined {
  const { Deno: deno } = globalThis as { Deno?: { internal?: symbol } };
  const { internal } = deno ?? {};
  // A connection served separately obeys this variable, and no option overrides
  // it.
  if (internal === undefined || env("DENO_SERVE_AUTOMATIC_COMPRESSION")) {
    return undefined;
  }
  const found = (deno as Record<symbol, Partial<TlsInside> | undefined>)[
    internal
  ];
  const known = typeof found?.serveHttpOnConnection === "function" &&
    typeof found.core?.createCancelHandle === "function" &&
    typeof found.core.tryClose === "function" &&
    typeof found.core.resources === "function";
  return known ? found as TlsInside : undefined;
}

/**
 * Listens on the socket of other listeners of this process, or on a new one.
 *
 * Deno uses this for the port of `deno serve --parallel`. `Deno.listenTls`
 * passes on only the public `reusePort`, which differs and requires a flag. But
 * the native function also reads `loadBalanced`, as a property of any object.
 * So for this one call every object has that property.
 */
export function listenShared(
  options: Deno.ListenTlsOptions & Deno.TlsCertifiedKeyPem,
): Deno.TlsListener {
  Object.defineProperty(Object.prototype, "loadBalanced", {
    value: true,
    configurable: true,
  });
  try {
    return Deno.listenTls(options);
  } finally {
    delete (Object.prototype as { loadBalanced?: true }).loadBalanced;
  }
}

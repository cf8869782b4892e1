/**
 * What Deno keeps for itself and serves TLS with, see `listen_tls.ts`. Measured on
 * 2.9.6. Where it is not as expected, the public way is taken.
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

/** What is used of what Deno keeps for itself. */
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

/** Finds it; `undefined` where something is missing. */
export function tlsInside(): TlsInside | undefined {
  const { Deno: deno } = globalThis as { Deno?: { internal?: symbol } };
  const { internal } = deno ?? {};
  // A connection that is served by itself obeys this variable, and there is no
  // option that says otherwise.
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
 * Listens on the socket that other listeners of this process have there, or on
 * a new one.
 *
 * Deno has this for the port of `deno serve --parallel`. `Deno.listenTls` hands
 * on the public `reusePort` alone, which is another thing and wants a flag; but
 * the one who takes its options looks for `loadBalanced` as well, and looks for
 * it as a property of any object. So for this one call every object has it.
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

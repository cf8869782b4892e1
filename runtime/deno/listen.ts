/**
 * Listens with `Deno.serve`. Measured on 2.9.6.
 *
 * @module
 */

import type { Handler, Listener, ListenOptions } from "../listener.ts";
import { sharing } from "../sharing.ts";
import { failed, listenTlsDeno } from "./listen_tls.ts";
import { keepFreedMemory } from "./memory.ts";

/** Milliseconds before listening again. */
const RELISTEN_MS = 50;

/** Options of every listener. */
const FIXED = {
  // The program prints this once, when everything is ready.
  onListen() {},
  // The variable DENO_SERVE_AUTOMATIC_COMPRESSION would enable it.
  automaticCompression: false,
  onError: failed,
};

/** Listens with `Deno.serve`. */
export function listenDeno(
  handler: Handler,
  options: ListenOptions,
): Listener {
  const { port, host, tls, shared = false, log } = options;
  keepFreedMemory();
  const own = tls && listenTlsDeno(handler, { ...options, tls });
  if (own !== undefined) return own;
  let closed = false;
  let shutting = false;
  const killed = new AbortController();
  let server = open(port);
  const bound = (server.addr as Deno.NetAddr).port;

  function open(on: number): Deno.HttpServer {
    const { signal } = killed;
    const own = { ...FIXED, port: on, hostname: host, signal, ...(tls ?? {}) };
    const given = shared ? sharing(own) : undefined;
    const opened = Deno.serve(given?.options ?? own, handler);
    if (given?.shared() === false) {
      killed.abort();
      throw new Error("this Deno does not share a port: write WORKERS=1");
    }
    // Running out of descriptors ends a server for good, and an unhandled
    // rejection would end the process too. Open connections continue, and
    // descriptors become free again: listen again.
    opened.finished.catch((error: unknown) => {
      if (closed) return;
      log(`cannot accept connections (${String(error)}): listening anew`);
      reopen();
    });
    return opened;
  }

  function reopen(): void {
    setTimeout(() => {
      if (closed) return;
      try {
        server = open(bound);
      } catch {
        reopen();
      }
    }, RELISTEN_MS);
  }

  return {
    port: bound,
    cutsUploads: true,
    close() {
      closed = shutting = true;
      return server.shutdown();
    },
    kill() {
      closed = true;
      // Aborting a server during its shutdown would end the process with an
      // uncaught `BadResource`.
      if (!shutting) killed.abort();
    },
  };
}

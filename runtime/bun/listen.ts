/**
 * Listens with `Bun.serve`. Measured on 1.4.5.
 *
 * @module
 */

import { builtin } from "../../base/builtin.ts";
import { answer } from "../../proxy/errors.ts";
import type { Handler, Listener, ListenOptions } from "../listener.ts";
import { listenTlsBun, type MakeServer } from "./listen_tls.ts";
import type { BunServerLike } from "./server.ts";

/** Bun's server, as far as it is used here. */
interface BunServer extends BunServerLike {
  readonly port: number;
  readonly pendingRequests: number;
  readonly pendingWebSockets: number;
  stop(closeActive?: boolean): Promise<void>;
}

/** The part of Bun's global that is used here. */
interface BunGlobal {
  serve(options: Record<string, unknown>): BunServer;
}

/**
 * Seconds that a connection may be idle between requests, or take to send a
 * request's head: the longest that Bun can count. A request that lasts has its
 * connection taken out of the limit, see {@linkcode BunServer.keepOpen}.
 */
const IDLE_S = 255;

/** Bytes of a request's head that are taken: as many as on Deno. */
const HEAD_BYTES = 64 * 1024;

/**
 * Has Bun take heads of more than 16 KB, for all of its servers in this process.
 * What was set higher on the command line stays.
 */
function liftHeadLimit(): void {
  // Not imported: Deno reads this file too, and would load it for nothing.
  const http = builtin("node:http") as unknown as {
    maxHeaderSize: number;
  };
  if (http.maxHeaderSize < HEAD_BYTES) http.maxHeaderSize = HEAD_BYTES;
}

/** The answer in place of one that could not be begun. */
function broken(): Response {
  return answer(502, "http_response_incomplete");
}

/** Listens with `Bun.serve`. */
export function listenBun(handler: Handler, options: ListenOptions): Listener {
  const { host, tls, websocket } = options;
  const { Bun } = globalThis as unknown as { Bun: BunGlobal };
  liftHeadLimit();
  const make: MakeServer = (fetch, { port, shared = false, tls }) =>
    Bun.serve({
      port,
      hostname: host,
      reusePort: shared,
      idleTimeout: IDLE_S,
      // Bun's own limit is 128 MB; ours is `MAX_BODY`.
      maxRequestBodySize: Number.MAX_SAFE_INTEGER,
      // Otherwise a fault is answered with a page that shows this program.
      development: false,
      // The handler never throws: this is a backend's body that broke before
      // anything of the answer had left.
      error: broken,
      fetch,
      ...(websocket === undefined ? {} : { websocket }),
      ...(tls === undefined ? {} : { tls }),
    });
  if (tls !== undefined) {
    return listenTlsBun(make, handler, { ...options, tls });
  }
  const server = make(handler, options);
  return {
    port: server.port,
    cutsUploads: false,
    close: () => server.stop(),
    kill: () => void server.stop(true),
  };
}

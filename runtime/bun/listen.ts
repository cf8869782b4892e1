/**
 * Listens with `Bun.serve`. Measured on 1.4.5.
 *
 * @module
 */

import { builtin } from "../../base/builtin.ts";
import { BUN_HEAD_FLAG, HEAD_BYTES } from "../process.ts";
import { answer } from "../../proxy/errors.ts";
import type { Handler, Listener, ListenOptions } from "../listener.ts";
import { listenTlsBun, type MakeServer, type Server } from "./listen_tls.ts";

/** The part of Bun's global that is used. */
interface BunGlobal {
  serve(options: Record<string, unknown>): Server;
}

/**
 * Seconds that a connection may be idle between requests, or take to send a
 * request's head: Bun's maximum. Connections of long-running requests are
 * exempt, see `BunServer.keepOpen()`.
 */
const IDLE_S = 255;

/**
 * Raises Bun's limit of 16 KB for heads, for all servers of this process. A
 * higher limit from the command line stays.
 */
function liftHeadLimit(): void {
  if (builtin("node:process").execArgv.includes(BUN_HEAD_FLAG)) return;
  const http = builtin("node:http") as unknown as {
    maxHeaderSize: number;
  };
  if (http.maxHeaderSize < HEAD_BYTES) http.maxHeaderSize = HEAD_BYTES;
}

/** The response when a backend's body has failed before anything was sent. */
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
      // Otherwise an error is answered with a page that shows source code.
      development: false,
      // The handler never throws: this is a backend's body that failed before
      // anything of the response was sent.
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

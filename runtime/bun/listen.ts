/**
 * Listens with `Bun.serve`. Measured on 1.4.5.
 *
 * @module
 */

import { answer } from "../../proxy/errors.ts";
import type { Handler, Listener, ListenOptions } from "../listener.ts";
import { lingering } from "./linger.ts";
import type { BunServerLike } from "./server.ts";

/** Bun's server, as far as it is used here. */
interface BunServer extends BunServerLike {
  readonly port: number;
  stop(closeActive?: boolean): Promise<void>;
}

/** The part of Bun's global that is used here. */
interface BunGlobal {
  serve(options: Record<string, unknown>): BunServer;
}

/**
 * Seconds that a connection may be idle between requests, or take to send a
 * request's head: the longest that Bun can count. A request that lasts has its
 * connection taken out of the limit, see {@linkcode BunServer.unhurried}.
 */
const IDLE_S = 255;

/** The answer in place of one that could not be begun. */
function broken(): Response {
  return answer(502, "http_response_incomplete");
}

/** Listens with `Bun.serve`. */
export function listenBun(
  handler: Handler,
  { port, host, tls, shared = false, refusesLate, websocket }: ListenOptions,
): Listener {
  const { Bun } = globalThis as unknown as { Bun: BunGlobal };
  const server = Bun.serve({
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
    fetch(request: Request, connection: unknown) {
      const answer = handler(request, connection);
      // A refusal is here at once, and nothing of the request has been read.
      if (answer instanceof Response) return lingering(request, answer);
      // One of those may wait for a user's function; others have read the body.
      return refusesLate === true
        ? answer.then((answer) => lingering(request, answer))
        : answer;
    },
    ...(websocket === undefined ? {} : { websocket }),
    ...(tls === undefined ? {} : { tls }),
  });
  return {
    port: server.port,
    cutsUploads: false,
    close: () => server.stop(),
    kill: () => void server.stop(true),
  };
}

/**
 * TLS on Bun, with a certificate that can be replaced while it listens.
 * Measured on 1.4.5.
 *
 * `Bun.serve` uses one certificate forever (`reload()` accepts another one but
 * keeps the old, oven-sh/bun#43815), cannot listen on an existing socket
 * (oven-sh/bun#36491), and `stop()` also closes idle connections. So a second
 * server is made with the new certificate, and the first one's listening socket
 * is moved to it: `dup3()` replaces the second server's own socket, and
 * `epoll_ctl()` updates Bun's event loop. Both happen between two turns of that
 * loop, so there is no moment without a listener; the second server accepts the
 * connections in the queue. The first server keeps its connections.
 *
 * The public alternatives are worse: a TLS listener of `node:tls`, whose
 * certificate can be replaced, in front of a plain `Bun.serve` added 14 µs to
 * about 31 per request. Two listeners with `reusePort` lose the queue of the
 * first one when it closes.
 *
 * This requires Linux, `bun:ffi` and the expected event loop; each step is
 * checked before anything is changed. Otherwise the certificate stays, and the
 * log says that a restart is needed.
 *
 * @module
 */

import type { Handler, Listener, ListenOptions } from "../listener.ts";
import { type Mover, socketMover } from "./move_socket.ts";

/** The part of Bun's server that is used. */
export interface Server {
  readonly port: number;
  readonly pendingRequests: number;
  readonly pendingWebSockets: number;
  stop(closeActive?: boolean): Promise<void>;
}

type Pair = NonNullable<ListenOptions["tls"]>;

/** Makes a server of Bun with this handler. */
export type MakeServer = (
  handler: Handler,
  options: Pick<ListenOptions, "port" | "shared" | "tls">,
) => Server;

/** A server with its certificate and its activity. */
export interface Generation {
  server: Server;
  /** Requests so far, and their number at the last check. */
  requests: number;
  checkedRequests: number;
  /** Checks in a row without any activity. */
  quiet: number;
}

/** Milliseconds between two checks of servers that no longer listen. */
const CHECK_MS = 60_000;

/**
 * Quiet checks after which such a server has no connections left: Bun closes
 * those without activity after 255 s. (Not those exempted for a long-running
 * request; they are as idle as the others, and are closed here.)
 */
const QUIET_CHECKS = 5;

/** Listens with TLS. */
export function listenTlsBun(
  make: MakeServer,
  handler: Handler,
  { port, shared = false, tls }: ListenOptions & { tls: Pair },
): Listener {
  let current = begin(make, handler, { port, shared, tls });
  const bound = current.server.port;
  const all = new Set([current]);
  let turn = Promise.resolve();
  let closed = false;
  let timer: ReturnType<typeof setInterval> | undefined;

  async function replace(tls: Pair): Promise<void> {
    const mover = await socketMover();
    try {
      if (closed) throw new Error("it is closed");
      const next = moveTo(mover, bound, make, handler, tls);
      all.add(next);
      current = next;
    } finally {
      mover.close();
    }
    timer ??= setInterval(check, CHECK_MS);
    (timer as { unref?(): void }).unref?.();
  }

  /** Stops servers without connections. */
  function check(): void {
    for (const one of all) {
      if (one === current || !isOver(one)) continue;
      all.delete(one);
      one.server.stop(true);
    }
  }

  return {
    port: bound,
    cutsUploads: false,
    async close() {
      closed = true;
      clearInterval(timer);
      await Promise.all([...all].map(({ server }) => server.stop()));
    },
    kill() {
      closed = true;
      clearInterval(timer);
      for (const { server } of all) server.stop(true);
    },
    setCertificate(tls) {
      const replaced = turn.then(() => replace(tls));
      turn = replaced.catch(() => {});
      return replaced;
    },
  };
}

/** Makes a server with this certificate, and gives it the listening socket. */
function moveTo(
  mover: Mover,
  bound: number,
  make: MakeServer,
  handler: Handler,
  tls: Pair,
): Generation {
  // On another port, which it loses before the next turn of the event loop: it
  // accepts no connection there.
  const next = begin(make, handler, { port: 0, tls });
  try {
    mover.move(bound, next.server.port);
  } catch (error) {
    next.server.stop(true);
    throw error;
  }
  return next;
}

function begin(
  make: MakeServer,
  handler: Handler,
  options: Pick<ListenOptions, "port" | "shared" | "tls">,
): Generation {
  const generation: Omit<Generation, "server"> = {
    requests: 0,
    checkedRequests: 0,
    quiet: 0,
  };
  const server = make((request, connection) => {
    generation.requests++;
    return handler(request, connection);
  }, options);
  return Object.assign(generation, { server });
}

/**
 * Checks a server that no longer listens: whether it has no connections left.
 */
export function isOver(one: Generation): boolean {
  const { pendingRequests, pendingWebSockets } = one.server;
  const idle = one.requests === one.checkedRequests && pendingRequests === 0 &&
    pendingWebSockets === 0;
  one.checkedRequests = one.requests;
  one.quiet = idle ? one.quiet + 1 : 0;
  return one.quiet > QUIET_CHECKS;
}

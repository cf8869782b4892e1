/**
 * TLS on Bun, with a certificate that can be replaced while it listens. Measured
 * on 1.4.5.
 *
 * `Bun.serve` shows one certificate for as long as it lives (`reload()` takes
 * another and shows the old one, oven-sh/bun#43815), it listens on no socket
 * that is there already (oven-sh/bun#36491), and `stop()` closes idle
 * connections too. So a second server is made for the second certificate, and
 * the listening socket of the first is moved to it: with `dup3()` it takes the
 * place of the second's own, and with `epoll_ctl()` Bun's event loop is told.
 * Both happen between two turns of that loop, so no connection meets a moment in
 * which nobody listens; those in the queue are accepted by the second server.
 * The first keeps the connections that it has.
 *
 * What is public instead costs more: one TLS listener of `node:tls`, which can
 * be given another certificate, in front of a plain `Bun.serve`, took 14 µs more
 * of about 31 for each request. Two listeners with `reusePort` lose what waits
 * at the first when it closes.
 *
 * This needs Linux, `bun:ffi` and an event loop that is as expected, of which
 * each step is checked before anything is changed. Without them the certificate
 * stays, and the log says that the program has to be started anew.
 *
 * @module
 */

import type { Handler, Listener, ListenOptions } from "../listener.ts";
import { type Mover, socketMover } from "./move_socket.ts";

/** What is used of Bun's server here. */
export interface Server {
  readonly port: number;
  readonly pendingRequests: number;
  readonly pendingWebSockets: number;
  stop(closeActive?: boolean): Promise<void>;
}

type Pair = NonNullable<ListenOptions["tls"]>;

/** Makes a server of Bun's with this handler. */
export type MakeServer = (
  handler: Handler,
  options: Pick<ListenOptions, "port" | "shared" | "tls">,
) => Server;

/** A server with one certificate, and what it has to do. */
export interface Generation {
  server: Server;
  /** Requests that it was given, and how many those were at the last look. */
  requests: number;
  seen: number;
  /** Looks in a row at which nothing had happened and nothing was under way. */
  quiet: number;
}

/** Milliseconds between two looks at servers that do not listen any more. */
const LOOK_MS = 60_000;

/**
 * Looks after which such a server has no connections any more: Bun ends those on
 * which nothing happens for 255 s. (Not those of which a request was once given
 * all the time that it wants; they are ended here, just as idle as the others.)
 */
const QUIET_LOOKS = 5;

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

  async function take(tls: Pair): Promise<void> {
    const mover = await socketMover();
    try {
      if (closed) throw new Error("it is closed");
      const next = moveTo(mover, bound, make, handler, tls);
      all.add(next);
      current = next;
    } finally {
      mover.close();
    }
    timer ??= setInterval(look, LOOK_MS);
    (timer as { unref?(): void }).unref?.();
  }

  /** Lets go of the servers that have become useless. */
  function look(): void {
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
      const taken = turn.then(() => take(tls));
      turn = taken.catch(() => {});
      return taken;
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
  // On a port of its own, which it loses before the event loop has had a turn:
  // nobody can get to it there.
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
    seen: 0,
    quiet: 0,
  };
  const server = make((request, connection) => {
    generation.requests++;
    return handler(request, connection);
  }, options);
  return Object.assign(generation, { server });
}

/**
 * Looks at a server that does not listen any more: whether it has no connections
 * left.
 */
export function isOver(one: Generation): boolean {
  const { pendingRequests, pendingWebSockets } = one.server;
  const idle = one.requests === one.seen && pendingRequests === 0 &&
    pendingWebSockets === 0;
  one.seen = one.requests;
  one.quiet = idle ? one.quiet + 1 : 0;
  return one.quiet > QUIET_LOOKS;
}

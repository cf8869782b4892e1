/**
 * TLS on Deno, with a certificate that can be replaced while it listens.
 * Measured on 2.9.6.
 *
 * `Deno.serve` uses one certificate forever, and closing it closes its
 * connections. So connections are accepted here with the public
 * `Deno.listenTls`, and each is served separately: then a listener can be
 * closed alone. Before that, the next one with the other certificate is opened
 * on the same socket, so both accept from one queue and no waiting connection
 * is lost. A new connection costs about 60 µs more than with `Deno.serve` (of
 * 300 for its handshake) and 8 KB more (38 instead of 31); a request costs the
 * same.
 *
 * Three internals of Deno are used: serving one connection, sharing a socket
 * between listeners, and keeping the server of a connection from closing a
 * WebSocket. If they are not as expected, `Deno.serve` is used and the
 * certificate cannot be replaced.
 *
 * @module
 */

import {
  type ConnectionServer,
  listenShared,
  type TlsInside,
  tlsInside,
} from "./inside_tls.ts";
import { answer } from "../../proxy/errors.ts";
import type { Handler, Listener, ListenOptions } from "../listener.ts";
import { tryPort } from "../sharing.ts";

/** A connection being served. */
interface Live {
  server: ConnectionServer | undefined;
  /** Cuts it. */
  cut: () => void;
  /** Keeps it open as a WebSocket. */
  keep: (socket: WebSocket) => void;
}

type Pair = NonNullable<ListenOptions["tls"]>;

/** Milliseconds before accepting again after a failure. */
const REACCEPT_MS = 50;

/**
 * Length of the queue of connections to accept; Linux allows 4096 by default.
 * Eight times Deno's value: each is accepted by a turn of the event loop, and a
 * client whose connection finds the queue full retries a second later.
 */
const BACKLOG = 4096;

/** The property of a request that holds its connection. */
const LIVE = Symbol("live");

/** A request of a connection that is served here. */
interface Served extends Request {
  [LIVE]?: Live;
}

/** The answer when the handler throws, which it never does. */
export function failed(): Response {
  return answer(500, "proxy_internal_error");
}

/** Listens with TLS; `undefined` if this Deno lacks the internals. */
export function listenTlsDeno(
  handler: Handler,
  options: ListenOptions & { tls: Pair },
): Listener | undefined {
  const inside = tlsInside();
  if (inside === undefined) return undefined;
  const server = new TlsServer(handler, options, inside);
  return {
    port: server.port,
    cutsUploads: true,
    close: () => server.close(),
    kill: () => server.kill(),
    setCertificate: (tls) => server.open(tls),
  };
}

/**
 * Keeps a connection open that has become a WebSocket. Its server ends at that
 * point, and would otherwise close the WebSocket.
 */
export function keepWebSocket(request: Request, socket: WebSocket): void {
  const live = (request as Served)[LIVE];
  if (live === undefined) return;
  // Deno fires `open` before it tells the server that the connection is
  // upgraded, so this is in time.
  socket.addEventListener("open", () => live.keep(socket));
}

/** Accepts connections and tracks the open ones. */
class TlsServer {
  readonly port: number;
  readonly #handler: Handler;
  readonly #options: ListenOptions;
  readonly #inside: TlsInside;
  readonly #live = new Set<Live>();
  readonly #sockets = new Map<WebSocket, Promise<unknown>>();
  /** Connections in their handshake. */
  readonly #shaking = new Set<Deno.TlsConn>();
  #listener: Deno.TlsListener | undefined;
  /** Resolves when that listener accepts no more. */
  #accepting: Promise<void> | undefined;
  #closing: Promise<void> | undefined;
  #failed = false;
  /** Distance from a connection's server to the next resource number. */
  #distance: number | undefined;

  constructor(
    handler: Handler,
    options: ListenOptions & { tls: Pair },
    inside: TlsInside,
  ) {
    this.#handler = handler;
    this.#options = options;
    this.#inside = inside;
    const { host, port, shared, tls } = options;
    // Listeners with this option share a socket, even those of two proxies with
    // the same port by mistake. So the port must be free; with workers, the
    // first process has checked it.
    this.port = shared ? port : tryPort(host, port);
    this.#listen(tls);
  }

  /**
   * Listens with this certificate. Resolves when no new connection can get the
   * previous one.
   */
  async open(tls: Pair): Promise<void> {
    if (this.#closing !== undefined) throw new Error("it is closed");
    const [before, accepting] = [this.#listener, this.#accepting];
    this.#listen(tls);
    before?.close();
    // It may still accept one connection after it was closed.
    await accepting;
  }

  #listen({ cert, key }: Pair): void {
    const listener = this.#listener = listenShared({
      hostname: this.#options.host,
      port: this.port,
      cert,
      key,
      alpnProtocols: ["h2", "http/1.1"],
      tcpBacklog: BACKLOG,
    });
    this.#accepting = this.#accept(listener);
  }

  /**
   * Stops accepting, and closes each connection when its requests have ended.
   */
  close(): Promise<void> {
    return this.#closing ??= (async () => {
      this.#stopListening();
      await Promise.all([
        this.#accepting,
        ...[...this.#live].map(({ server }) => server?.shutdown()),
        ...this.#sockets.values(),
      ]);
    })();
  }

  /** Closes everything at once. */
  kill(): void {
    // A server that is shutting down cannot be cut.
    const shutting = this.#closing !== undefined;
    this.#closing ??= Promise.resolve();
    this.#stopListening();
    if (!shutting) { for (const live of this.#live) live.cut(); }
    for (const socket of this.#sockets.keys()) socket.close();
  }

  #stopListening(): void {
    this.#listener?.close();
    this.#listener = undefined;
    // Deno itself releases such a connection only when its handshake ends,
    // however long that takes.
    for (const connection of this.#shaking) connection.close();
    this.#shaking.clear();
  }

  async #accept(listener: Deno.TlsListener): Promise<void> {
    while (this.#listener === listener) {
      try {
        const connection = await listener.accept();
        this.#failed = false;
        // It may have been accepted just when all was closed.
        if (this.#closing !== undefined) connection.close();
        else this.#handshake(connection);
      } catch (error) {
        if (this.#listener !== listener) return;
        // Usually out of descriptors, which become free again.
        if (!this.#failed) {
          this.#options.log(`cannot accept connections (${String(error)})`);
        }
        this.#failed = true;
        await new Promise((resolve) => setTimeout(resolve, REACCEPT_MS));
      }
    }
  }

  async #handshake(connection: Deno.TlsConn): Promise<void> {
    this.#shaking.add(connection);
    try {
      await connection.handshake();
      // Unless it was closed in the meantime.
      if (this.#shaking.has(connection)) this.#serve(connection);
    } catch {
      // The client does not use TLS, or has disconnected.
      if (this.#shaking.has(connection)) connection.close();
    }
    this.#shaking.delete(connection);
  }

  #serve(connection: Deno.TlsConn): void {
    const { core, serveHttpOnConnection } = this.#inside;
    const live: Live = { server: undefined, cut() {}, keep() {} };
    const handler = this.#handler;
    const server = live.server = serveHttpOnConnection(
      connection,
      {
        addEventListener(_type, listener) {
          live.cut = () => {
            try {
              listener();
            } catch {
              // It has already ended.
            }
          };
        },
      },
      (request, info) => {
        (request as Served)[LIVE] = live;
        return handler(request, info);
      },
      failed,
      () => {},
    );
    // Resource numbers are sequential; this one follows the server's.
    const next = core.createCancelHandle();
    core.tryClose(next);
    const distance = this.#distance ??= distanceTo(core, next);
    live.keep = (socket) => {
      core.tryClose(next - distance);
      this.#sockets.set(
        socket,
        new Promise((resolve) => {
          socket.addEventListener("close", () => {
            this.#sockets.delete(socket);
            resolve(undefined);
          });
        }),
      );
    };
    this.#live.add(live);
    const gone = () => this.#live.delete(live);
    server.finished.then(gone, gone);
  }
}

/** The distance to the resource number of the latest server. */
function distanceTo({ resources }: TlsInside["core"], next: number): number {
  const servers = Object.entries(resources())
    .flatMap(([number, name]) => name === "http" ? Number(number) : []);
  // If none is found, nothing is closed, and a WebSocket ends early.
  return servers.length === 0 ? 0 : next - Math.max(...servers);
}

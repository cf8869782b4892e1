/**
 * TLS on Deno, with a certificate that can be replaced while it listens.
 * Measured on 2.9.6.
 *
 * `Deno.serve` shows one certificate for as long as it lives, and closing it
 * closes its connections. So connections are accepted here, by the public
 * `Deno.listenTls`, and each is served by itself: then a listener can be closed
 * alone. The next one, with the other certificate, is opened before that on the
 * very same socket, so both take from one queue and nothing that waits in it is
 * lost. A new connection costs some 60 µs more than through `Deno.serve` (of 300
 * for its handshake) and holds 8 KB more (38 instead of 31); a request costs the
 * same.
 *
 * Three things that are used for this are not public: how one connection is
 * served, how two listeners share a socket, and how the server of a connection
 * that has become a WebSocket is kept from ending it. Where they are not as
 * expected, `Deno.serve` does the work and the certificate stays.
 *
 * @module
 */

import {
  type ConnectionServer,
  listenShared,
  type TlsInside,
  tlsInside,
} from "./inside_tls.ts";
import type { Handler, Listener, ListenOptions } from "../listener.ts";
import { tryPort } from "../sharing.ts";

/** A connection that is served. */
interface Live {
  server: ConnectionServer | undefined;
  /** Ends it at once. */
  cut: () => void;
  /** Keeps a WebSocket that it has become. */
  keep: (socket: WebSocket) => void;
}

type Pair = NonNullable<ListenOptions["tls"]>;

/** Milliseconds before accepting is tried again after it has failed. */
const REACCEPT_MS = 50;

/**
 * Connections that may wait to be accepted; Linux takes 4096 at most by default.
 * Eight times what Deno would say: each is accepted here by a turn of the event
 * loop, and one that finds no room is tried by its client again a second later.
 */
const BACKLOG = 4096;

/** Under which a request knows its connection. */
const LIVE = Symbol("live");

/** A request of a connection that is served here. */
interface Served extends Request {
  [LIVE]?: Live;
}

/** Listens with TLS; `undefined` where this Deno does not have what it takes. */
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
 * Keeps a WebSocket that a connection has become. Its server has nothing more to
 * do, ends, and on its way out would end the WebSocket too.
 */
export function keepWebSocket(request: Request, socket: WebSocket): void {
  const live = (request as Served)[LIVE];
  if (live === undefined) return;
  // The moment is the right one: Deno tells of the opening before it tells the
  // server that its connection is gone.
  socket.addEventListener("open", () => live.keep(socket));
}

/** Accepts connections and knows those that are open. */
class TlsServer {
  readonly port: number;
  readonly #handler: Handler;
  readonly #options: ListenOptions;
  readonly #inside: TlsInside;
  readonly #live = new Set<Live>();
  readonly #sockets = new Map<WebSocket, Promise<unknown>>();
  /** Those that shake hands. */
  readonly #shaking = new Set<Deno.TlsConn>();
  #listener: Deno.TlsListener | undefined;
  /** Resolves when that one accepts no more. */
  #accepting: Promise<void> | undefined;
  #closing: Promise<void> | undefined;
  #failed = false;
  /** How far before the next resource a connection's server has its number. */
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
    // All listeners that ask for it share a socket, also those of two proxies
    // that were given one port by mistake: so it has to be free. Workers mean to,
    // and the first process has tried it for them.
    this.port = shared ? port : tryPort(host, port);
    this.#listen(tls);
  }

  /**
   * Listens with this certificate, and resolves when no connection can meet the
   * one before any more.
   */
  async open(tls: Pair): Promise<void> {
    if (this.#closing !== undefined) throw new Error("it is closed");
    const [before, accepting] = [this.#listener, this.#accepting];
    this.#listen(tls);
    before?.close();
    // The last one that it has taken may come after it was told to end.
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

  /** Accepts no more, and ends each connection once its requests are done. */
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

  /** Ends everything at once. */
  kill(): void {
    // A server that shuts down is no longer there to be cut.
    const shutting = this.#closing !== undefined;
    this.#closing ??= Promise.resolve();
    this.#stopListening();
    if (!shutting) { for (const live of this.#live) live.cut(); }
    for (const socket of this.#sockets.keys()) socket.close();
  }

  #stopListening(): void {
    this.#listener?.close();
    this.#listener = undefined;
    // Nothing waits for them any more. Deno itself lets go of such a connection
    // only when its handshake has ended, however long that takes.
    for (const connection of this.#shaking) connection.close();
    this.#shaking.clear();
  }

  async #accept(listener: Deno.TlsListener): Promise<void> {
    while (this.#listener === listener) {
      try {
        const connection = await listener.accept();
        this.#failed = false;
        // One that came in the very moment in which all was closed.
        if (this.#closing !== undefined) connection.close();
        else this.#shake(connection);
      } catch (error) {
        if (this.#listener !== listener) return;
        // Out of descriptors, as a rule: they come back.
        if (!this.#failed) {
          this.#options.log(`cannot accept connections (${String(error)})`);
        }
        this.#failed = true;
        await new Promise((resolve) => setTimeout(resolve, REACCEPT_MS));
      }
    }
  }

  async #shake(connection: Deno.TlsConn): Promise<void> {
    this.#shaking.add(connection);
    try {
      await connection.handshake();
      // Unless it was closed meanwhile.
      if (this.#shaking.has(connection)) this.#serve(connection);
    } catch {
      // A client that wants something else than TLS, or has left.
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
              // It has ended by itself.
            }
          };
        },
      },
      (request, info) => {
        (request as Served)[LIVE] = live;
        return handler(request, info);
      },
      () => new Response("Internal error.\n", { status: 500 }),
      () => {},
    );
    // Resources are numbered as they are made, and this one comes after it.
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

/** Looks for the server that was made last among all resources. */
function distanceTo({ resources }: TlsInside["core"], next: number): number {
  const servers = Object.entries(resources())
    .flatMap(([number, name]) => name === "http" ? Number(number) : []);
  // With none found what is closed is nothing, and a WebSocket ends early.
  return servers.length === 0 ? 0 : next - Math.max(...servers);
}

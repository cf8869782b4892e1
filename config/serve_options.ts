/**
 * The options of the server in front of a proxy, as types alone.
 *
 * @module
 */

/** A server's certificate, as PEM text. */
export interface TlsOptions {
  /** The certificate, followed by its chain. */
  readonly cert: string;
  /** The certificate's private key. */
  readonly key: string;
}

/** The dashboard, the metrics and the admin API. */
export interface AdminOptions {
  /** Port to listen on, 0 to 65535; 0 takes a free one. */
  readonly port: number;
  /**
   * Address or name to listen on. In a list, the first is that, and the others
   * are further names that it answers to: a `Host` that is neither one of them
   * nor an address nor `localhost` is refused.
   *
   * @default {"127.0.0.1"}
   */
  readonly host?: string | readonly string[] | undefined;
  /**
   * What a change must carry as `Authorization: Bearer`: 16 to 512 visible
   * ASCII characters. Default: none, and so no changes.
   */
  readonly token?: string | undefined;
}

/** A request's connection, as {@linkcode ServeOptions.fetch} gets it. */
export interface Connection {
  /**
   * The address of the other end. `undefined` on a Unix domain socket; `null` if
   * the client has left already.
   */
  readonly clientAddress: string | null | undefined;
}

/** Options of the server in front of a proxy. */
export interface ServeOptions {
  /**
   * Answers the requests in place of the proxy, and passes on what it wants to
   * with `proxy.fetch(request, connection)`, to this proxy or another one. A
   * `Request` that is made of the client's may be passed on with the same
   * `connection`; only a WebSocket needs the client's own. A throw is a 500.
   * Draining, the admin port and `stop()` work as without it; only a second
   * proxy has to be stopped by you, after `finished`. Default: `proxy.fetch`.
   *
   * @example
   * ```ts
   * import { createProxy, serve } from "../mod.ts";
   *
   * const proxy = createProxy({ backends: [() => new Response("hello")] });
   * const server = serve(proxy, {
   *   port: 0,
   *   host: "127.0.0.1",
   *   fetch: (request, connection) =>
   *     new URL(request.url).pathname === "/about"
   *       ? new Response("answered here\n")
   *       : proxy.fetch(request, connection),
   * });
   * await server.stop();
   * ```
   */
  readonly fetch?:
    | ((
      request: Request,
      connection: Connection,
    ) => Response | Promise<Response>)
    | undefined;
  /**
   * Port to listen on, 0 to 65535; 0 takes a free one.
   *
   * @default {8080}
   */
  readonly port?: number | undefined;
  /**
   * Address or name to listen on.
   *
   * @default {"0.0.0.0"}
   */
  readonly host?: string | undefined;
  /** Serve HTTPS with this certificate. Default: plain HTTP. */
  readonly tls?: TlsOptions | undefined;
  /**
   * A second port, 0 to 65535, that answers 308 to the same URL with `https:`;
   * 0 takes a free one, `false` is none. Only with `tls`.
   *
   * @default {false}
   */
  readonly redirectPort?: number | false | undefined;
  /**
   * Milliseconds between "not ready" and the end of listening, 0 s to 1 h.
   *
   * @default {0}
   */
  readonly drainDelayMs?: number | undefined;
  /**
   * Milliseconds that running requests may still take, 0 s to 1 h.
   *
   * @default {10_000}
   */
  readonly drainTimeoutMs?: number | undefined;
  /** The admin server. Default: `false`, none. */
  readonly admin?: false | AdminOptions | undefined;
  /**
   * Listeners on the one port, 1 to 256; `"auto"` for one a processor. With
   * more than one, workers answer the requests (threads on Deno, which have to
   * be allowed to read the module's folder, processes on Bun) and this process
   * probes, judges and tells them. The proxy then takes no hook, no `key`, no
   * `fetch`, `clock` or `random`, no policy and no backend that is a function,
   * and `serve()` no `fetch`: those cannot be handed over. `health.check` can be
   * used, since this process probes.
   *
   * @default {1}
   */
  readonly workers?: number | "auto" | undefined;
}

/**
 * The options of the server in front of a proxy: types only.
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
  /** Port to listen on, 0 to 65535; 0: any free port. */
  readonly port: number;
  /**
   * Address or name to listen on. In a list, the further entries are names that
   * it answers to: a `Host` that is not one of these names, an address or
   * `localhost` is refused.
   *
   * @default {"127.0.0.1"}
   */
  readonly host?: string | readonly string[] | undefined;
  /**
   * Token that changes require as `Authorization: Bearer`: 16 to 512 visible
   * ASCII characters. Default: none; changes are not possible then.
   */
  readonly token?: string | undefined;
}

/** A request's connection, as passed to {@linkcode ServeOptions.fetch}. */
export interface Connection {
  /**
   * The address of the peer. `undefined` on a Unix domain socket; `null` if the
   * client has already disconnected.
   */
  readonly clientAddress: string | null | undefined;
  /**
   * Lets work continue after the response on a platform such as Cloudflare's:
   * `(promise) => ctx.waitUntil(promise)`. Probes run there during requests, and
   * may take longer than a request. Not needed on Deno and Bun.
   */
  readonly waitUntil?: ((promise: Promise<unknown>) => void) | undefined;
}

/** Options of the server in front of a proxy. */
export interface ServeOptions {
  /**
   * Answers requests in place of the proxy. Pass requests on with
   * `proxy.fetch(request, connection)`, to this proxy or another one. A
   * `Request` that you derive from the client's can use the same `connection`;
   * only a WebSocket needs the client's own request. A throw is a 500.
   * Draining, the admin port and `stop()` work as usual; stop a second proxy
   * yourself, after `finished`. Default: `proxy.fetch`.
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
   * Port to listen on, 0 to 65535; 0: any free port.
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
   * 0: any free port; `false`: none. Requires `tls`.
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
   * Milliseconds for requests in flight to finish after that, 0 s to 1 h.
   *
   * @default {10_000}
   */
  readonly drainTimeoutMs?: number | undefined;
  /** The admin server. Default: `false` (none). */
  readonly admin?: false | AdminOptions | undefined;
  /**
   * Number of listeners on the port, 1 to 256; `"auto"`: one per processor.
   * With more than one, workers answer the requests (threads on Deno, which
   * need read permission for the module's folder; processes on Bun), and this
   * process probes the backends and decides their state. Functions cannot be
   * passed to workers: the proxy must have no hook, `key`, `fetch`, `clock`,
   * `random`, and no policy or backend that is a function, and `serve()` no
   * `fetch`. Only `health.check` works, since this process probes.
   *
   * @default {1}
   */
  readonly workers?: number | "auto" | undefined;
}

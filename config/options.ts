/**
 * The options of the proxy and of its server, as types alone.
 *
 * They stand apart from the code that uses them so that `config/` can build
 * them from text and everything else can take them, without either importing
 * the other. Absent and `undefined` both mean "the default"; what a default is
 * stands here and, once, in the code that uses the field.
 *
 * @module
 */

import type { Backend, BackendFunction, Policy } from "../balancer.ts";
import type { RequestRecord } from "../observe/log.ts";
import type {
  KeyFunction,
  OnError,
  OnRequest,
  OnResponse,
} from "../proxy/hook_types.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Lookup } from "../runtime/resolve.ts";

export type { BackendContext, BackendFunction, Policy } from "../balancer.ts";
export type { AttemptRecord, RequestRecord } from "../observe/log.ts";
export type { ErrorType } from "../proxy/errors.ts";
export type {
  AttemptContext,
  KeyFunction,
  OnError,
  OnRequest,
  OnResponse,
  ProxyFailure,
  RequestContext,
} from "../proxy/hook_types.ts";

/** The name of a policy. */
export type PolicyName =
  | "round_robin"
  | "least_conn"
  | "random"
  | "p2c"
  | "ewma"
  | "ip_hash"
  | "uri_hash"
  | `header:${string}`
  | `cookie:${string}`
  | `sticky:${string}`;

/** One backend as an object: where it is, and its share of the requests. */
export interface BackendOptions {
  /**
   * `http://host:port`, `https://host:port`, each with a base path if wanted
   * (it is kept in front of every request's path), or `unix:/path.sock`. No
   * credentials, no query, no fragment.
   */
  readonly url: string;
  /**
   * Share of the requests relative to the other backends' weights: a whole
   * number from 0 to 1000. 0 gets no requests.
   *
   * @default {1}
   */
  readonly weight?: number | undefined;
  /**
   * Used only while no other backend is available.
   *
   * @default {false}
   */
  readonly backup?: boolean | undefined;
  /** Requests at once on this backend, 1 or more. Default: no limit. */
  readonly maxConns?: number | undefined;
  /**
   * Look the host name up again and again, and keep one backend per address.
   * Needs a name: not for addresses, not for `unix:`.
   *
   * @default {false}
   */
  readonly resolve?: boolean | undefined;
  /**
   * What logs, metrics, the admin API and the dashboard call it: 1 to 64 visible
   * ASCII characters other than quotes, commas and slashes; no two backends may
   * have one name. With `resolve` each backend's address is put behind it:
   * `web@10.0.0.5:3000`. Default: its URL.
   */
  readonly name?: string | undefined;
}

/** A function as a backend, and its share of the requests. */
export interface BackendFunctionOptions {
  /** Answers the requests. */
  readonly answer: BackendFunction;
  /**
   * What logs, metrics, the admin API and the dashboard call it, as for a
   * backend with a URL. Default: `function:`, the function's own name and a
   * number.
   */
  readonly name?: string | undefined;
  /**
   * Share of the requests relative to the other backends' weights.
   *
   * @default {1}
   */
  readonly weight?: number | undefined;
  /**
   * Used only while no other backend is available: a maintenance page.
   *
   * @default {false}
   */
  readonly backup?: boolean | undefined;
  /** Requests at once on this backend, 1 or more. Default: no limit. */
  readonly maxConns?: number | undefined;
}

/** A backend as it may be written: a URL, an object, or a function. */
export type BackendInit =
  | string
  | BackendOptions
  | BackendFunction
  | BackendFunctionOptions;

/**
 * Checks the health of one backend: `true` if it is well, `false` or the reason,
 * in a few words, if it is not. A throw or a rejection is a failure too. When the
 * time of a probe is over `signal` fires, and the probe has failed.
 */
export type HealthCheck = (
  backend: Backend,
  signal: AbortSignal,
) => boolean | string | Promise<boolean | string>;

/** How backends are probed. */
export interface HealthOptions {
  /**
   * Takes the place of the HTTP probe: called for each backend that is not a
   * function, on `intervalMs`, for `timeoutMs` at most. Not together with `path`,
   * `host`, `status`, `headers` or `method`, which it would ignore. Default:
   * none.
   *
   * @example
   * ```ts
   * import { createProxy } from "../mod.ts";
   *
   * const proxy = createProxy({
   *   backends: ["http://127.0.0.1:3000"],
   *   health: {
   *     async check({ url }, signal) {
   *       const response = await fetch(`${url}/status`, { signal });
   *       const { queue } = await response.json();
   *       return queue < 100 || `${queue} jobs are waiting`;
   *     },
   *   },
   *   log: () => {},
   * });
   * await proxy.stop();
   * ```
   */
  readonly check?: HealthCheck | undefined;
  /**
   * Fields that probes send in addition to their own, such as a key. No `Host`
   * (see `host`), and no field that frames a message or concerns one connection.
   * Default: none.
   */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /**
   * The method of probes.
   *
   * @default {"GET"}
   */
  readonly method?: "GET" | "HEAD" | "OPTIONS" | undefined;
  /**
   * What is asked for, after the backend's base path. Begins with `/`; may
   * have a query. While it is left out, every status under 500 counts as up.
   *
   * @default {"/health"}
   */
  readonly path?: string | undefined;
  /**
   * The `Host` that probes send, for backends that check it: a name or an
   * address, with a port if wanted. Default: the backend's own.
   */
  readonly host?: string | undefined;
  /**
   * The status codes that pass, as a list of codes and ranges: `200-399,404`.
   *
   * @default {"200-399"}
   */
  readonly status?: string | undefined;
  /**
   * Milliseconds from one probe of a backend to the next, 10 ms to 24 h.
   *
   * @default {5_000}
   */
  readonly intervalMs?: number | undefined;
  /**
   * Milliseconds that a probe may take. Must be under `intervalMs`.
   *
   * @default {2_000}
   */
  readonly timeoutMs?: number | undefined;
  /**
   * Passes in a row that bring a backend up, 1 to 100.
   *
   * @default {2}
   */
  readonly rise?: number | undefined;
  /**
   * Failures in a row that take a backend down, 1 to 100.
   *
   * @default {3}
   */
  readonly fall?: number | undefined;
}

/** When outcomes put a backend out for a while. */
export interface EjectOptions {
  /**
   * Bad outcomes in a row that eject a backend, 1 to 1000.
   *
   * @default {3}
   */
  readonly after?: number | undefined;
  /**
   * Milliseconds of the first ejection, up to 5 min; each further one doubles
   * it, up to 5 min.
   *
   * @default {10_000}
   */
  readonly timeMs?: number | undefined;
}

/** TLS towards `https:` backends, as PEM text. */
export interface BackendTlsOptions {
  /** Certificates of a private authority, believed besides the usual ones. */
  readonly ca?: string | undefined;
  /** The client certificate to show, with its chain. Goes with `key`. */
  readonly cert?: string | undefined;
  /** The client certificate's private key. Goes with `cert`. */
  readonly key?: string | undefined;
}

/** Options of a proxy. Only `backends` is required. */
export interface ProxyOptions {
  /** The backends; at least one, each at most once. */
  readonly backends: readonly BackendInit[];
  /**
   * How one backend is picked: `round_robin` (smooth, weighted), `least_conn`,
   * `random`, `p2c`, `ewma`, `ip_hash`, `uri_hash`, `header:NAME`,
   * `cookie:NAME` or `sticky:NAME`; or a function, which may go by all that is
   * known of a {@linkcode Backend}. If it throws, or picks what it must not, that
   * is logged once and round robin decides.
   *
   * @default {"round_robin"}
   *
   * @example The backend with the lowest latency, as far as it is known
   * ```ts
   * import { createProxy, type Policy } from "../mod.ts";
   *
   * const quickest: Policy = (backends, accepts) =>
   *   backends.filter(accepts).sort((a, b) =>
   *     (a.latencyMs || 0) - (b.latencyMs || 0)
   *   )[0];
   * const proxy = createProxy({
   *   backends: ["http://127.0.0.1:3000", "http://127.0.0.1:3001"],
   *   policy: quickest,
   *   log: () => {},
   * });
   * await proxy.stop();
   * ```
   */
  readonly policy?: PolicyName | Policy | undefined;
  /**
   * What `ip_hash`, `uri_hash`, `header:NAME` and `cookie:NAME` hash, in place of
   * what they are named after, and what a policy function gets. `undefined`
   * leaves the request to round robin; so does a throw, which is logged once. It
   * is called for each request, and must return at once. Refused with a policy
   * that hashes nothing. Default: the policy's own.
   *
   * @example
   * ```ts
   * import { createProxy } from "../mod.ts";
   *
   * const proxy = createProxy({
   *   backends: ["http://127.0.0.1:3000", "http://127.0.0.1:3001"],
   *   policy: "uri_hash",
   *   key: (request) => new URL(request.url).searchParams.get("room") ?? undefined,
   *   log: () => {},
   * });
   * await proxy.stop();
   * ```
   */
  readonly key?: KeyFunction | undefined;
  /**
   * Edits what a backend is sent: called once for each attempt, with the fields
   * as they are about to be sent. May return a `Response`, or a promise of one;
   * the client is answered with that, and the attempt's backend is neither
   * counted nor judged.
   *
   * `Content-Length`, `Transfer-Encoding`, `Connection` and the other fields that
   * frame a message or concern one connection are ignored. `Host` may be set.
   *
   * A throw, a rejection or a `Host` that is none costs the request a 500; so
   * does a hook that takes longer than `timeoutMs`. A client that leaves and
   * `stop()` end it sooner, see `context.signal`. Default: none.
   *
   * @example
   * ```ts
   * import { createProxy } from "../mod.ts";
   *
   * const proxy = createProxy({
   *   backends: [(request) => new Response(request.headers.get("x-plan"))],
   *   onRequest(headers, { request }) {
   *     if (!request.headers.has("authorization")) {
   *       return new Response("Log in first\n", { status: 401 });
   *     }
   *     headers.delete("authorization");
   *     headers.set("x-plan", "free");
   *     return undefined;
   *   },
   * });
   * const refused = await proxy.fetch(new Request("http://sluice.test/"));
   * console.log(refused.status, await refused.text()); // 401 Log in first
   * await proxy.stop();
   * ```
   */
  readonly onRequest?: OnRequest | undefined;
  /**
   * Edits the answer of a backend, or replaces it: called with the `Response`
   * that the client would get, whose fields can be changed. Return nothing to
   * send that, or another `Response`; its body may be made of the first one's,
   * with `pipeThrough()` for example. A body that you neither return nor begin to
   * read before you return is given up. Bodies come as the backend sent them,
   * perhaps compressed: delete `Accept-Encoding` in `onRequest` if you want to
   * read them.
   *
   * The rules for fields hold after it: what frames a message is ignored, and a
   * body other than the backend's goes out without a length. Not called for
   * WebSockets (101) nor for Sluice's own answers (see `onError`).
   *
   * A throw, a rejection or a hook that takes longer than `timeoutMs` costs the
   * request a 500, for which the backend is not blamed. While it is set, each
   * answer is relayed in pieces, which costs throughput. Default: none.
   *
   * @example
   * ```ts
   * import { createProxy } from "../mod.ts";
   *
   * const proxy = createProxy({
   *   backends: [() => new Response("hello")],
   *   onResponse(response) {
   *     response.headers.set("x-served-by", "sluice");
   *   },
   * });
   * const response = await proxy.fetch(new Request("http://sluice.test/"));
   * console.log(response.headers.get("x-served-by"), await response.text());
   * await proxy.stop();
   * ```
   */
  readonly onResponse?: OnResponse | undefined;
  /**
   * Replaces Sluice's own answers (4xx and 5xx), both to a request that it
   * refuses and to one that no backend has answered. May return a `Response`, or
   * a promise of one; otherwise, and when it fails or takes longer than
   * `timeoutMs`, the answer is Sluice's. Its body is read whole, up to 1 MB.
   * `Connection` and `X-Request-Id` are Sluice's in any case; `Proxy-Status`,
   * `Cache-Control`, `Retry-After` and `Allow` are added where they are missing.
   * Default: none.
   *
   * @example
   * ```ts
   * import { createProxy } from "../mod.ts";
   *
   * const proxy = createProxy({
   *   backends: [() => {
   *     throw new Error("out of order");
   *   }],
   *   onError: ({ status, type }) => Response.json({ error: type }, { status }),
   *   log: () => {},
   * });
   * const response = await proxy.fetch(new Request("http://sluice.test/"));
   * console.log(response.status, await response.json());
   * await proxy.stop();
   * ```
   */
  readonly onError?: OnError | undefined;
  /**
   * Told of each request after the end of its answer's body, whether or not
   * `accessLog` is on: with what a line of the JSON access log has. What it
   * throws is logged once. Default: none.
   *
   * @example
   * ```ts
   * import { createProxy } from "../mod.ts";
   *
   * const proxy = createProxy({
   *   backends: [() => new Response("hello")],
   *   onSettled: ({ status, bytes }) => console.log(status, bytes), // 200 5
   * });
   * const response = await proxy.fetch(new Request("http://sluice.test/"));
   * await response.text();
   * await proxy.stop();
   * ```
   */
  readonly onSettled?: ((record: RequestRecord) => void) | undefined;
  /** Health probes; `false` for none. Default: on, with its defaults. */
  readonly health?: false | HealthOptions | undefined;
  /** Ejection after bad outcomes; `false` for none. Default: on. */
  readonly eject?: false | EjectOptions | undefined;
  /**
   * Milliseconds over which a backend that comes back gets its share, from
   * 10 % upwards; at most 1 h. Default: off.
   */
  readonly slowStartMs?: number | undefined;
  /**
   * Further attempts after the first, 0 to 10, each on a backend not tried yet.
   *
   * @default {2}
   */
  readonly retries?: number | undefined;
  /**
   * Retries as a share of the requests of the last 10 s, 0 to 1; 100 retries in
   * the same 10 s are granted besides.
   *
   * @default {0.2}
   */
  readonly retryBudget?: number | undefined;
  /**
   * Milliseconds to connect to a backend, TLS handshake included, up to 1 h, for
   * each connection that Sluice opens itself. Past it nothing was sent, and the
   * request goes to another backend.
   *
   * @default {3_000}
   */
  readonly connectTimeoutMs?: number | undefined;
  /**
   * Milliseconds from the last byte sent to a backend to its response header,
   * up to 24 h. Past it the answer is 504 (RFC 9110 §15.6.5). It does not run
   * while the client still sends its body, and the answer's body is not timed.
   *
   * @default {60_000}
   */
  readonly timeoutMs?: number | undefined;
  /**
   * Milliseconds for a client to send the next piece of its body (past it the
   * answer is 408, RFC 9110 §15.5.9), or to take the next piece of an answer
   * (past it the answer is cut), up to 24 h; `false` for no limit.
   *
   * @default {60_000}
   */
  readonly clientTimeoutMs?: number | false | undefined;
  /**
   * Carry a broken download or event stream on from another backend, where that
   * is provably the same.
   *
   * @default {false}
   */
  readonly resume?: boolean | undefined;
  /**
   * Milliseconds for a backend to send the next piece of a body that has begun,
   * up to 24 h. Default: off.
   */
  readonly idleTimeoutMs?: number | undefined;
  /** Bytes of a request body; more is answered with 413. Default: off. */
  readonly maxBodyBytes?: number | undefined;
  /**
   * Bytes of a WebSocket message, either way, 1 KB to 64 MB. A larger one closes
   * the connection with 1009 (RFC 6455 §7.4.1).
   *
   * @default {16_777_216}
   */
  readonly maxMessageBytes?: number | undefined;
  /** Requests at once; more are answered with 503. Default: off. */
  readonly maxInFlight?: number | undefined;
  /**
   * The `Host` that backends are sent: the client's (`preserve`), their own
   * (`backend`), or the client's for `http:` and their own for `https:`
   * (`auto`).
   *
   * @default {"auto"}
   */
  readonly hostHeader?: "auto" | "preserve" | "backend" | undefined;
  /**
   * Addresses and CIDRs (also `loopback`, `private`) whose forwarding fields
   * are believed and appended to. Default: none.
   */
  readonly trustedProxies?: readonly string[] | undefined;
  /**
   * Send `Via`, and answer 508 to a request that has been here before.
   *
   * @default {true}
   */
  readonly via?: boolean | undefined;
  /**
   * Keep a usable `X-Request-Id` or make one.
   *
   * @default {false}
   */
  readonly requestId?: boolean | undefined;
  /**
   * Keep the trace of `traceparent` or begin one; each attempt is a span.
   *
   * @default {false}
   */
  readonly trace?: boolean | undefined;
  /**
   * One line a request, as JSON or in the combined log format.
   *
   * @default {false}
   */
  readonly accessLog?: false | "json" | "combined" | undefined;
  /**
   * Keep the query in log lines.
   *
   * @default {true}
   */
  readonly logQuery?: boolean | undefined;
  /** Takes each line of the access log. Default: standard output. */
  readonly logAccess?: ((line: string) => void) | undefined;
  /** TLS towards `https:` backends. Default: the runtime's own. */
  readonly backendTls?: BackendTlsOptions | undefined;
  /** How a request is sent. Default: the global `fetch`; tests pass a fake. */
  readonly fetch?: typeof globalThis.fetch | undefined;
  /**
   * Takes each line of the log: a verdict that changed, an ejection, a warning.
   * Default: standard error, with `sluice: ` in front.
   */
  readonly log?: ((line: string) => void) | undefined;
  /** Numbers from 0 up to 1, as `Math.random`, which is the default. */
  readonly random?: (() => number) | undefined;
  /**
   * What the cookies of `sticky:NAME` are signed with: the same text in all
   * replicas, at least 16 characters. Default: random, for this proxy alone.
   */
  readonly stickySecret?: string | undefined;
  /** How names with `resolve` are looked up. Default: as the system does. */
  readonly lookup?: Lookup | undefined;
  /** Time and timers. Default: the machine's; tests pass one that they move. */
  readonly clock?: Clock | undefined;
}

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
   * Milliseconds between "not ready" and the end of listening, up to 1 h.
   *
   * @default {0}
   */
  readonly drainDelayMs?: number | undefined;
  /**
   * Milliseconds that running requests may still take, up to 1 h.
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

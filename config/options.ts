/**
 * The options of the proxy and of its server, as types alone.
 *
 * They stand apart from the code that uses them so that `config/` can build
 * them from text and everything else can take them, without either importing
 * the other. Absent and `undefined` both mean "the default". Defaults and bounds
 * of what is a setting too come from the table of settings; a test holds what is
 * said of them here to that.
 *
 * @module
 */

import type { BackendFunction } from "../balancer.ts";
import type { Clock } from "../base/clock.ts";
import type { RateLimitOptions } from "./rate_limit.ts";

export type {
  RateLimitContext,
  RateLimitKey,
  RateLimitOptions,
} from "./rate_limit.ts";
export type { BackendContext, BackendFunction } from "../balancer.ts";

/** What a look-up has found. */
export interface LookupResult {
  /** IPv4 and IPv6 addresses. */
  readonly addresses: readonly string[];
  /** Milliseconds for which that holds, if it is known. Default: 10 s. */
  readonly ttlMs?: number | undefined;
}

/** Looks a host name up, or rejects. */
export type Lookup = (host: string) => Promise<LookupResult>;

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

/** How backends are probed. */
export interface HealthOptions {
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
   * Milliseconds that a probe may take, 1 ms to 24 h. Must be under `intervalMs`.
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
   * Milliseconds of the first ejection, 1 ms to 5 m; each further one doubles it,
   * up to 5 m.
   *
   * @default {10_000}
   */
  readonly timeMs?: number | undefined;
}

/** TLS towards `https:` backends, as PEM text. */
export interface BackendTlsOptions {
  /** Certificates of a private authority, trusted in addition to the usual ones. */
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
   * `cookie:NAME` or `sticky:NAME`.
   *
   * @default {"round_robin"}
   */
  readonly policy?: string | undefined;
  /** Health probes; `false` for none. Default: on, with its defaults. */
  readonly health?: false | HealthOptions | undefined;
  /** Ejection after bad outcomes; `false` for none. Default: on. */
  readonly eject?: false | EjectOptions | undefined;
  /**
   * Milliseconds over which a backend that comes back gets its share, from
   * 10 % upwards, 1 ms to 1 h; `false` for its full share at once.
   *
   * @default {false}
   */
  readonly slowStartMs?: number | false | undefined;
  /**
   * Further attempts after the first, 0 to 10, each on a backend not tried yet.
   *
   * @default {2}
   */
  readonly retries?: number | undefined;
  /**
   * Retries as a share of the requests of the last 10 s, 0 to 1; in addition 100
   * retries in the same 10 s.
   *
   * @default {0.2}
   */
  readonly retryBudget?: number | undefined;
  /**
   * How requests are sent: over sockets, by an HTTP/1.1 client of Sluice's own
   * (`socket`), by the runtime's `fetch`, or by `fetch` unless it would change
   * what is said (`auto`). The option `fetch` goes before all of them.
   *
   * @default {"fetch"}
   */
  readonly transport?: "auto" | "fetch" | "socket" | undefined;
  /**
   * Milliseconds to connect to a backend, TLS handshake included, 1 ms to 1 h, for
   * each connection that Sluice opens itself. Past it nothing was sent, and the
   * request goes to another backend.
   *
   * @default {3_000}
   */
  readonly connectTimeoutMs?: number | undefined;
  /**
   * Milliseconds from the last byte sent to a backend to its response header,
   * 1 ms to 24 h. Past it the answer is 504 (RFC 9110 §15.6.5). It does not run
   * while the client still sends its body, and the answer's body is not timed.
   *
   * @default {60_000}
   */
  readonly timeoutMs?: number | undefined;
  /**
   * Milliseconds for a client to send the next piece of its body (past it the
   * answer is 408, RFC 9110 §15.5.9), or to take the next piece of an answer
   * (past it the answer is cut), 1 ms to 24 h; `false` for no limit.
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
   * 1 ms to 24 h; `false` for no limit.
   *
   * @default {false}
   */
  readonly idleTimeoutMs?: number | false | undefined;
  /**
   * Bytes of a request body, 1 B to 1024 GB; more is answered with 413. `false`
   * for no limit.
   *
   * @default {false}
   */
  readonly maxBodyBytes?: number | false | undefined;
  /**
   * Bytes of a WebSocket message, either way, 1 KB to 64 MB. A larger one closes
   * the connection with 1009 (RFC 6455 §7.4.1).
   *
   * @default {16_777_216}
   */
  readonly maxMessageBytes?: number | undefined;
  /**
   * Concurrent requests, 1 to 1,000,000; above it, 503. A number counts all that
   * are under way. `"auto"` counts those that wait for the header of their answer,
   * and learns from how long they wait how many the backends can take: see
   * "Overload" in the README. `false` for no limit.
   *
   * @default {false}
   */
  readonly maxInFlight?: number | "auto" | false | undefined;
  /**
   * How often one client may ask; `false` for no limit.
   *
   * @default {false}
   */
  readonly rateLimit?: false | RateLimitOptions | undefined;
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

/** Options of the server in front of a proxy. */
export interface ServeOptions {
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
   * probes, judges and tells them. The proxy then takes no `fetch`, `clock` or
   * `random`, and no backend that is a function: those cannot be handed over.
   *
   * @default {1}
   */
  readonly workers?: number | "auto" | undefined;
}

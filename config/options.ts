/**
 * The options of the proxy and of its server: types only.
 *
 * They are separate from the code that uses them, so that `config/` can build
 * them and other code can take them without importing each other. Absent and
 * `undefined` both mean the default. Defaults and bounds of options that
 * correspond to a setting come from the table of settings; a test compares them
 * with the comments here.
 *
 * @module
 */

import type { Policy } from "../balancer.ts";
import type { RequestRecord } from "../observe/log.ts";
import type {
  KeyFunction,
  OnError,
  OnRequest,
  OnResponse,
} from "../proxy/hook_types.ts";
import type {
  BackendInit,
  BackendTlsOptions,
  EjectOptions,
  HealthOptions,
  PolicyName,
} from "./backend_options.ts";
import type { Clock } from "../base/clock.ts";
import type { RateLimitOptions } from "./rate_limit.ts";

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
export type {
  BackendFunctionOptions,
  BackendInit,
  BackendOptions,
  BackendTlsOptions,
  EjectOptions,
  HealthCheck,
  HealthOptions,
  PolicyName,
} from "./backend_options.ts";
export type {
  AdminOptions,
  Connection,
  ServeOptions,
  TlsOptions,
} from "./serve_options.ts";
export type {
  RateLimitContext,
  RateLimitKey,
  RateLimitOptions,
} from "./rate_limit.ts";

/** The result of a look-up. */
export interface LookupResult {
  /** IPv4 and IPv6 addresses. */
  readonly addresses: readonly string[];
  /** Milliseconds for which the result is valid, if known. Default: 10 s. */
  readonly ttlMs?: number | undefined;
}

/** Looks up a host name; rejects if it cannot. */
export type Lookup = (host: string) => Promise<LookupResult>;

/** Options of a proxy. Only `backends` is required. */
export interface ProxyOptions {
  /** The backends: at least one, without duplicates. */
  readonly backends: readonly BackendInit[];
  /**
   * How a backend is picked: `round_robin` (smooth, weighted), `least_conn`,
   * `random`, `p2c`, `ewma`, `ip_hash`, `uri_hash`, `header:NAME`,
   * `cookie:NAME` or `sticky:NAME`; or a function, which may use all properties
   * of a {@linkcode Backend}. If the function throws or picks a backend that is
   * not accepted, that is logged once and round robin decides.
   *
   * @default {"round_robin"}
   *
   * @example The backend with the lowest known latency
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
   * What to hash, for `ip_hash`, `uri_hash`, `header:NAME` and `cookie:NAME`,
   * in place of what their names say; also passed to a policy function. Round
   * robin decides if it returns `undefined` or throws; a throw is logged once.
   * Called for each request; must be synchronous. Refused with a policy that
   * hashes nothing. Default: the policy's own.
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
   * Edits the request to a backend: called for each attempt with the header
   * fields that are about to be sent. If it returns a `Response` or a promise
   * of one, the client gets that, and the attempt's backend is neither counted
   * nor judged.
   *
   * `Content-Length`, `Transfer-Encoding`, `Connection` and other fields for
   * framing or for one connection are ignored. `Host` can be set.
   *
   * The response is a 500 if it throws, rejects, sets an invalid `Host`, or
   * takes longer than `timeoutMs`. A client that disconnects and `stop()` end
   * it earlier, see `context.signal`. Default: none.
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
   * Edits or replaces the response of a backend: called with the `Response` for
   * the client, whose header fields can be changed. Return nothing to send it,
   * or return another `Response`, whose body may be derived from the first
   * one's, for example with `pipeThrough()`. A body that is neither returned
   * nor being read when you return is cancelled. Bodies are as the backend sent
   * them, perhaps compressed: delete `Accept-Encoding` in `onRequest` to get
   * plain ones.
   *
   * The rules for header fields apply afterwards: framing fields are ignored,
   * and a body other than the backend's is sent without a length. Not called
   * for WebSockets (101) or for Sluice's own responses (see `onError`).
   *
   * The response is a 500 if it throws, rejects or takes longer than
   * `timeoutMs`; this is no failure of the backend. While it is set, each body is
   * relayed chunk by chunk, which costs throughput. Default: none.
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
   * Replaces Sluice's own error responses (4xx and 5xx), to a request that it
   * refuses and to one that no backend answered. May return a `Response` or a
   * promise of one. If it returns nothing, fails or takes longer than
   * `timeoutMs`, Sluice's response is sent. Its body is buffered, up to 1 MB.
   * `Connection` and `X-Request-Id` are always Sluice's; `Proxy-Status`,
   * `Cache-Control`, `Retry-After` and `Allow` are added if absent. Default:
   * none.
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
   * Called with the record of each request after its response body has ended,
   * whether or not `accessLog` is on. The record has the fields of a JSON
   * access log line. A throw is logged once. Default: none.
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
  /** Health probes; `false`: none. Default: on. */
  readonly health?: false | HealthOptions | undefined;
  /** Ejection after bad outcomes; `false`: none. Default: on. */
  readonly eject?: false | EjectOptions | undefined;
  /**
   * Milliseconds over which a backend that comes back ramps up to its full
   * share, from 10 %, 1 ms to 1 h; `false`: its full share at once.
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
   * Maximum retries as a share of the requests of the last 10 s, 0 to 1, plus
   * 100 retries in the same 10 s.
   *
   * @default {0.2}
   */
  readonly retryBudget?: number | undefined;
  /**
   * How requests are sent: `fetch`, the runtime's; `socket`, Sluice's own
   * HTTP/1.1 client; `auto`, `fetch` unless it would change the message. The
   * option `fetch` takes precedence.
   *
   * @default {"auto"}
   */
  readonly transport?: "auto" | "fetch" | "socket" | undefined;
  /**
   * Milliseconds to connect to a backend, TLS handshake included, 1 ms to 1 h,
   * for connections that Sluice opens itself. After a timeout nothing was sent,
   * and the request goes to another backend.
   *
   * @default {3_000}
   */
  readonly connectTimeoutMs?: number | undefined;
  /**
   * Milliseconds from the last byte sent to a backend to its response header, 1
   * ms to 24 h; then 504 (RFC 9110 §15.6.5). The time in which the client sends
   * its body does not count, and the response body is not timed.
   *
   * @default {60_000}
   */
  readonly timeoutMs?: number | undefined;
  /**
   * Milliseconds for a client to send the next chunk of its body (then 408, RFC
   * 9110 §15.5.9), or to take the next chunk of a response (then the response
   * is cut), 1 ms to 24 h; `false`: no limit.
   *
   * @default {60_000}
   */
  readonly clientTimeoutMs?: number | false | undefined;
  /**
   * Continue an interrupted download or event stream from another backend, if
   * that provably serves the same content.
   *
   * @default {false}
   */
  readonly resume?: boolean | undefined;
  /**
   * Milliseconds for a backend to send the next chunk of a response body, 1 ms
   * to 24 h; `false`: no limit.
   *
   * @default {false}
   */
  readonly idleTimeoutMs?: number | false | undefined;
  /**
   * Maximum bytes of a request body, 1 B to 1024 GB; above it, 413. `false`: no
   * limit.
   *
   * @default {false}
   */
  readonly maxBodyBytes?: number | false | undefined;
  /**
   * Maximum bytes of a WebSocket message, either way, 1 KB to 64 MB. A larger
   * one closes the connection with 1009 (RFC 6455 §7.4.1).
   *
   * @default {16_777_216}
   */
  readonly maxMessageBytes?: number | undefined;
  /**
   * Maximum concurrent requests, 1 to 1,000,000; above it, 503. A number counts
   * all requests in flight. `"auto"` counts those that wait for a response
   * header, and learns the limit from how long they wait: see
   * `docs/failure.md`. `false`: no limit.
   *
   * @default {false}
   */
  readonly maxInFlight?: number | "auto" | false | undefined;
  /**
   * The rate limit per client; `false`: none.
   *
   * @default {false}
   */
  readonly rateLimit?: false | RateLimitOptions | undefined;
  /**
   * The `Host` sent to backends: the client's (`preserve`), the backend's own
   * (`backend`), or the client's for `http:` and the backend's for `https:`
   * (`auto`).
   *
   * @default {"auto"}
   */
  readonly hostHeader?: "auto" | "preserve" | "backend" | undefined;
  /**
   * Addresses and CIDRs (also `loopback`, `private`) of proxies whose
   * forwarding fields are trusted and extended. Default: none.
   */
  readonly trustedProxies?: readonly string[] | undefined;
  /**
   * Send `Via`, and answer 508 to a request that loops.
   *
   * @default {true}
   */
  readonly via?: boolean | undefined;
  /**
   * Keep a valid `X-Request-Id`, or generate one.
   *
   * @default {false}
   */
  readonly requestId?: boolean | undefined;
  /**
   * Keep the trace of `traceparent`, or start one; each attempt is a span.
   *
   * @default {false}
   */
  readonly trace?: boolean | undefined;
  /**
   * One line per request, as JSON or in the combined log format.
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
  /** Sends a request. Default: the global `fetch`; tests pass a fake. */
  readonly fetch?: typeof globalThis.fetch | undefined;
  /**
   * Takes each log line: a changed verdict, an ejection, a warning. Default:
   * standard error, prefixed with `sluice: `.
   */
  readonly log?: ((line: string) => void) | undefined;
  /** Returns numbers in [0, 1). Default: `Math.random`. */
  readonly random?: (() => number) | undefined;
  /**
   * Key that signs the cookies of `sticky:NAME`: at least 16 characters, the
   * same in all replicas. Default: random, for this proxy alone.
   */
  readonly stickySecret?: string | undefined;
  /** Looks up names with `resolve`. Default: the system's resolver. */
  readonly lookup?: Lookup | undefined;
  /** Time and timers. Default: the machine's; tests pass a fake. */
  readonly clock?: Clock | undefined;
}

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

/** What a look-up has found. */
export interface LookupResult {
  /** IPv4 and IPv6 addresses. */
  readonly addresses: readonly string[];
  /** Milliseconds for which that holds, if it is known. Default: 10 s. */
  readonly ttlMs?: number | undefined;
}

/** Looks a host name up, or rejects. */
export type Lookup = (host: string) => Promise<LookupResult>;

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
   * @default {"auto"}
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

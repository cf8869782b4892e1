/**
 * The options of backends, their health and their policy: types only.
 *
 * @module
 */

import type { Backend, BackendFunction } from "../balancer.ts";

/** One backend as an object: its URL and its share of the requests. */
export interface BackendOptions {
  /**
   * `http://host:port` or `https://host:port`, with an optional base path that
   * is put in front of each request's path; or `unix:/path.sock`. No
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
   * Whether it is used only while no other backend is available.
   *
   * @default {false}
   */
  readonly backup?: boolean | undefined;
  /**
   * Maximum concurrent requests on this backend, 1 or more. Default: no limit.
   */
  readonly maxConns?: number | undefined;
  /**
   * Look the host name up repeatedly, and keep one backend per address. Not for
   * addresses, not for `unix:`.
   *
   * @default {false}
   */
  readonly resolve?: boolean | undefined;
  /**
   * Name in logs, metrics, the admin API and the dashboard: 1 to 64 visible
   * ASCII characters other than quotes, commas and slashes; unique in the pool.
   * With `resolve`, the address of each backend is appended:
   * `web@10.0.0.5:3000`. Default: its URL.
   */
  readonly name?: string | undefined;
}

/** A function as a backend, with its share of the requests. */
export interface BackendFunctionOptions {
  /** Answers the requests. */
  readonly answer: BackendFunction;
  /**
   * Name in logs, metrics, the admin API and the dashboard, as for a backend
   * with a URL. Default: `function:`, the function's own name and a number.
   */
  readonly name?: string | undefined;
  /**
   * Share of the requests relative to the other backends' weights.
   *
   * @default {1}
   */
  readonly weight?: number | undefined;
  /**
   * Whether it is used only while no other backend is available, for example as
   * a maintenance page.
   *
   * @default {false}
   */
  readonly backup?: boolean | undefined;
  /**
   * Maximum concurrent requests on this backend, 1 or more. Default: no limit.
   */
  readonly maxConns?: number | undefined;
}

/** A backend: a URL, an object with settings, or a function. */
export type BackendInit =
  | string
  | BackendOptions
  | BackendFunction
  | BackendFunctionOptions;

/**
 * Checks the health of one backend. `true` is a pass; `false`, or the reason in
 * a few words, is a failure, and so is a throw or a rejection. `signal` aborts
 * when the probe times out.
 */
export type HealthCheck = (
  backend: Backend,
  signal: AbortSignal,
) => boolean | string | Promise<boolean | string>;

/** How backends are probed. */
export interface HealthOptions {
  /**
   * Replaces the HTTP probe: called for each backend that is not a function,
   * every `intervalMs`, for at most `timeoutMs`. Cannot be combined with
   * `path`, `host`, `status`, `headers` or `method`, which it would ignore.
   * Default: none.
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
   * Header fields that probes send in addition, such as a key. No `Host` (see
   * `host`), and no field for framing or for one connection. Default: none.
   */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /**
   * The method of probes.
   *
   * @default {"GET"}
   */
  readonly method?: "GET" | "HEAD" | "OPTIONS" | undefined;
  /**
   * Path and optional query to request, appended to the backend's base path.
   * Begins with `/`. While it is unset, every status under 500 counts as up.
   *
   * @default {"/health"}
   */
  readonly path?: string | undefined;
  /**
   * `Host` of the probes, for backends that check it: a name or an address,
   * with an optional port. Default: the backend's own.
   */
  readonly host?: string | undefined;
  /**
   * Status codes that pass, as a list of codes and ranges: `200-399,404`.
   *
   * @default {"200-399"}
   */
  readonly status?: string | undefined;
  /**
   * Milliseconds between two probes of a backend, 10 ms to 24 h.
   *
   * @default {5_000}
   */
  readonly intervalMs?: number | undefined;
  /**
   * Timeout of a probe in milliseconds, 1 ms to 24 h. Must be under
   * `intervalMs`.
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

/** When bad outcomes eject a backend for a while. */
export interface EjectOptions {
  /**
   * Bad outcomes in a row that eject a backend, 1 to 1000.
   *
   * @default {3}
   */
  readonly after?: number | undefined;
  /**
   * Duration of the first ejection in milliseconds, 1 ms to 5 m. Each further
   * one doubles it, up to 5 m.
   *
   * @default {10_000}
   */
  readonly timeMs?: number | undefined;
}

/** TLS towards `https:` backends, as PEM text. */
export interface BackendTlsOptions {
  /**
   * Certificates of a private authority, trusted in addition to the default.
   */
  readonly ca?: string | undefined;
  /** The client certificate, with its chain. Requires `key`. */
  readonly cert?: string | undefined;
  /** The client certificate's private key. Requires `cert`. */
  readonly key?: string | undefined;
}

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

/**
 * The options of backends, their health and their policy, as types alone.
 *
 * @module
 */

import type { Backend, BackendFunction } from "../balancer.ts";

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

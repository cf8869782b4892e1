/**
 * The options of the rate limit.
 *
 * @module
 */

/** What a {@linkcode RateLimitKey} is passed with a request. */
export interface RateLimitContext {
  /** The client's address as reported by trusted proxies, if known. */
  readonly clientAddress: string | undefined;
}

/**
 * Returns the key under which a request counts; `undefined`: no limit for it.
 */
export type RateLimitKey = (
  request: Request,
  context: RateLimitContext,
) => string | undefined;

/**
 * The rate limit per client: a burst of `requests`, refilled evenly over
 * `perMs`. Above it, the response is 429 with `Retry-After`.
 *
 * @example Requests are counted by API key, if there is one
 * ```ts
 * import { createProxy } from "../mod.ts";
 *
 * const proxy = createProxy({
 *   backends: [() => new Response("hello")],
 *   rateLimit: {
 *     requests: 1_000,
 *     perMs: 60_000,
 *     key: (request, { clientAddress }) =>
 *       request.headers.get("x-api-key") ?? clientAddress,
 *   },
 * });
 * await proxy.stop();
 * ```
 */
export interface RateLimitOptions {
  /** Requests per `perMs`, and size of a burst: whole, 1 to 1,000,000. */
  readonly requests: number;
  /** Length of the period in milliseconds, 1 to 24 h. */
  readonly perMs: number;
  /**
   * Groups requests that share one limit. `undefined`: the request is not
   * limited. If it throws, the response is a 500. Default: the client's address as
   * reported by trusted proxies, for IPv6 its first 64 bits. Requests made in
   * code have no address and are not limited.
   */
  readonly key?: RateLimitKey | undefined;
}

/**
 * The option that limits how often one client may ask.
 *
 * @module
 */

/** What a {@linkcode RateLimitKey} is told of a request. */
export interface RateLimitContext {
  /** The client's address as trusted proxies say it, as far as it is known. */
  readonly clientAddress: string | undefined;
}

/** Says whose requests are counted together; `undefined` for not at all. */
export type RateLimitKey = (
  request: Request,
  context: RateLimitContext,
) => string | undefined;

/**
 * How often one client may ask: so many requests at once, and then as many again
 * spread over `perMs`. More are answered with 429 and `Retry-After`.
 *
 * ```ts ignore
 * createProxy({
 *   backends,
 *   rateLimit: {
 *     requests: 1_000,
 *     perMs: 60_000,
 *     key: (request, { clientAddress }) =>
 *       request.headers.get("x-api-key") ?? clientAddress,
 *   },
 * });
 * ```
 */
export interface RateLimitOptions {
  /** Requests, a whole number from 1 to 1,000,000: also those at once. */
  readonly requests: number;
  /** Milliseconds in which they may be made, 1 to 24 h. */
  readonly perMs: number;
  /**
   * Whose requests are counted together: `undefined` for not at all, and 500 if
   * it throws. Default: the client's address as trusted proxies say it, of IPv6
   * its first 64 bits; requests that were made in code have none.
   */
  readonly key?: RateLimitKey | undefined;
}

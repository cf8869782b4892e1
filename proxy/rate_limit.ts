/**
 * The rate limit for one request: which bucket it takes a token from, and the
 * 429 if there is none.
 *
 * @module
 */

import type { Arrival } from "./arrival.ts";
import { hashAddress, hashText } from "./client_key.ts";
import type { Refusal } from "./guard.ts";
import { KeyedHash } from "./keyed_hash.ts";
import type { Read } from "./fields.ts";
import { type Rate, RATE_TABLE_BYTES, RateTable } from "./rate_table.ts";

/** Returns the key of a request; `undefined`: not limited. */
type KeyOf = (
  request: Request,
  context: { readonly clientAddress: string | undefined },
) => string | undefined;

/** The part of a request that is needed here. */
export type Arriving = Pick<Arrival, "request" | "fields" | "peer" | "at">;

/** Options for {@linkcode RateLimiter}, already checked. */
export interface RateLimiterOptions extends Rate {
  /** The key of a request. Default: its client's address. */
  key?: KeyOf | undefined;
  /** The client's address as reported by trusted proxies, or `-`. */
  clientAddress: (headers: Read, peer: string | undefined) => string;
  /** The buckets, if workers share them. */
  shared?: SharedRates | undefined;
  /** Takes a line for the log. */
  log: (line: string) => void;
}

/** Buckets shared by several workers. */
export interface SharedRates {
  /** The shared memory, of {@linkcode RATE_TABLE_BYTES}. */
  memory: ArrayBufferLike;
  /** Milliseconds between the shared clock and this worker's. */
  offsetMs: number;
}

/** The custom key function has failed. */
const FAILED: Refusal = { status: 500, type: "proxy_internal_error" };

/** Initializes the memory of {@linkcode SharedRates}. */
export function seedRates(memory: ArrayBufferLike): void {
  // Through a copy: `getRandomValues` does not accept shared memory.
  new Uint32Array(memory, 0, 2).set(crypto.getRandomValues(new Uint32Array(2)));
}

/** Refuses requests whose key has no token left. */
export class RateLimiter {
  readonly #options: RateLimiterOptions;
  readonly #table: RateTable;
  readonly #hash: KeyedHash;
  readonly #offsetMs: number;
  #refused = 0;
  #logged = false;

  /** Makes a limiter; it holds no resources that must be released. */
  constructor(options: RateLimiterOptions) {
    const { shared } = options;
    this.#options = options;
    const memory = shared?.memory ?? new ArrayBuffer(RATE_TABLE_BYTES);
    if (shared === undefined) seedRates(memory);
    this.#table = new RateTable(options, memory);
    this.#hash = new KeyedHash(this.#table.seed);
    this.#offsetMs = shared?.offsetMs ?? 0;
  }

  /** Number of refused requests. */
  get refused(): number {
    return this.#refused;
  }

  /**
   * Takes a token for a request, or returns the refusal if there is none.
   */
  refusal(
    { request, fields, peer, at }: Arriving,
  ): Refusal | undefined {
    const { clientAddress, key } = this.#options;
    // Not `request.headers`: on Deno that costs more than all the rest here.
    const client = clientAddress(fields, peer ?? undefined);
    if (key === undefined) {
      // Made in code: there is no client to limit.
      if (client === "-") return undefined;
      hashAddress(this.#hash, client);
    } else {
      const text = this.#keyOf(key, request, client);
      if (typeof text !== "string") return text;
      hashText(this.#hash, text);
    }
    const ms = this.#table.take(this.#hash, at + this.#offsetMs);
    if (ms === 0) return undefined;
    this.#refused++;
    return {
      status: 429,
      type: "http_request_denied",
      fields: { "retry-after": String(Math.ceil(ms / 1000)) },
    };
  }

  /** Calls the custom key function; a throw costs the request a 500. */
  #keyOf(
    key: KeyOf,
    request: Request,
    client: string,
  ): string | Refusal | undefined {
    try {
      const clientAddress = client === "-" ? undefined : client;
      const text: unknown = key(request, { clientAddress });
      if (text === undefined || typeof text === "string") return text;
      throw new TypeError(`it gave ${typeof text}, not a string`);
    } catch (error) {
      // Once: a client may be able to trigger this at will.
      if (!this.#logged) {
        this.#options.log(`rateLimit.key has failed: ${String(error)}`);
      }
      this.#logged = true;
      return FAILED;
    }
  }
}

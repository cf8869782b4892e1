/**
 * The rate limit, as a request meets it: whose bucket it takes from, and the 429
 * where there is no token.
 *
 * @module
 */

import type { Arrival } from "./arrival.ts";
import { hashAddress, hashText } from "./client_key.ts";
import type { Refusal } from "./guard.ts";
import { KeyedHash } from "./keyed_hash.ts";
import type { Read } from "./fields.ts";
import { type Rate, RATE_TABLE_BYTES, RateTable } from "./rate_table.ts";

/** Says whose requests are counted together; `undefined` for not at all. */
type KeyOf = (
  request: Request,
  context: { readonly clientAddress: string | undefined },
) => string | undefined;

/** A request, as far as it matters here. */
export type Arriving = Pick<Arrival, "request" | "fields" | "peer" | "at">;

/** Options for {@linkcode RateLimiter}; the values are checked by its caller. */
export interface RateLimiterOptions extends Rate {
  /** Whose bucket a request takes from. Default: its client's. */
  key?: KeyOf | undefined;
  /** The client's address as trusted proxies say it, or `-`. */
  clientAddress: (headers: Read, peer: string | undefined) => string;
  /** Where the buckets are, when others have a part in them. */
  shared?: SharedRates | undefined;
  /** Takes a line for the log. */
  log: (line: string) => void;
}

/** Buckets that several workers have in common. */
export interface SharedRates {
  /** The memory that all see, of {@linkcode RATE_TABLE_BYTES}. */
  memory: ArrayBufferLike;
  /** Milliseconds between the common clock and this worker's. */
  offsetMs: number;
}

/** The key of a user's own could not be had. */
const FAILED: Refusal = { status: 500, type: "proxy_internal_error" };

/** Makes the memory that {@linkcode SharedRates} are in usable. */
export function seedRates(memory: ArrayBufferLike): void {
  // Not straight into it: `getRandomValues` takes no shared memory.
  new Uint32Array(memory, 0, 2).set(crypto.getRandomValues(new Uint32Array(2)));
}

/** Refuses requests of keys that ask too often. */
export class RateLimiter {
  readonly #options: RateLimiterOptions;
  readonly #table: RateTable;
  readonly #hash: KeyedHash;
  readonly #offsetMs: number;
  #refused = 0;
  #told = false;

  /** Makes a limiter that holds nothing that must be ended. */
  constructor(options: RateLimiterOptions) {
    const { shared } = options;
    this.#options = options;
    const memory = shared?.memory ?? new ArrayBuffer(RATE_TABLE_BYTES);
    if (shared === undefined) seedRates(memory);
    this.#table = new RateTable(options, memory);
    this.#hash = new KeyedHash(this.#table.seed);
    this.#offsetMs = shared?.offsetMs ?? 0;
  }

  /** How many requests it has refused. */
  get refused(): number {
    return this.#refused;
  }

  /**
   * What is wrong with a request, if it came too soon; otherwise a token is
   * spent on it.
   */
  refusal(
    { request, fields, peer, at }: Arriving,
  ): Refusal | undefined {
    const { clientAddress, key } = this.#options;
    // Not by `request.headers`: on Deno they cost more than all the rest here.
    const client = clientAddress(fields, peer ?? undefined);
    if (key === undefined) {
      // Made in code: there is no client that could ask too often.
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

  /** A key of the user's own; one that throws costs its own request a 500. */
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
      // Once: a client may be able to make it fail as often as it likes.
      if (!this.#told) {
        this.#options.log(`rateLimit.key has failed: ${String(error)}`);
      }
      this.#told = true;
      return FAILED;
    }
  }
}

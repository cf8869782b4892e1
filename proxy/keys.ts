/**
 * What the hashing policies hash of a request.
 *
 * @module
 */

import type { Read } from "./fields.ts";

/** What a key may be taken from. */
export interface KeyFacts {
  /** The client's address, or `-` where there is none. */
  client: string;
  /** Path and query. */
  target: string;
  /** The request's fields. */
  headers: Read;
}

/** Takes the key of a request; none leaves the choice to round robin. */
export type KeyOf = (facts: KeyFacts) => string | undefined;

/** How a policy of this name takes its key, if it hashes at all. */
export function keyOf(policy: string): KeyOf | undefined {
  const [kind, name = ""] = policy.split(/:(.*)/s);
  switch (kind) {
    case "ip_hash":
      return ({ client }) => client === "-" ? undefined : client;
    case "uri_hash":
      return ({ target }) => {
        const query = target.indexOf("?");
        return query < 0 ? target : target.slice(0, query);
      };
    case "header": {
      // Fields as a list of lines are found by their name in lower case only.
      const lower = name.toLowerCase();
      // An empty value tells nobody apart, so it is as good as none.
      return ({ headers }) => headers.get(lower) || undefined;
    }
    case "cookie":
      return ({ headers }) => cookieOf(headers, name) || undefined;
    default:
      return undefined;
  }
}

/**
 * The first cookie of this name. Names are compared letter by letter (RFC 6265
 * §5.4); of two with one name the first is the one of the longer path.
 */
export function cookieOf(headers: Read, name: string): string | undefined {
  const cookies = headers.get("cookie");
  if (cookies === null) return undefined;
  // Bun joins several `Cookie` lines with "; ", Deno those of HTTP/2 as well.
  for (const pair of cookies.split(";")) {
    const equals = pair.indexOf("=");
    if (equals >= 0 && pair.slice(0, equals).trim() === name) {
      return pair.slice(equals + 1).trim();
    }
  }
  return undefined;
}

/**
 * The keys that hash policies hash.
 *
 * @module
 */

import type { Read } from "./fields.ts";

/** What a key may be computed from. */
export interface KeyFacts {
  /** The client's address, or `-` if there is none. */
  client: string;
  /** Path and query. */
  target: string;
  /** The request's header fields. */
  headers: Read;
}

/** Computes the key of a request; `undefined`: round robin decides. */
export type KeyOf = (facts: KeyFacts) => string | undefined;

/** The key function of a policy, if it hashes. */
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
      // Fields as a list of lines are found by lower-case names only.
      const lower = name.toLowerCase();
      // An empty value does not identify anything, so it counts as absent.
      return ({ headers }) => headers.get(lower) || undefined;
    }
    case "cookie":
      return ({ headers }) => cookieOf(headers, name) || undefined;
    default:
      return undefined;
  }
}

/**
 * The first cookie with a name. Names are case-sensitive (RFC 6265 §5.4); of
 * two with the same name, the one with the longer path comes first.
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

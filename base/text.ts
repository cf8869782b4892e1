/**
 * Text for logs and messages, safe whatever a peer put into it.
 *
 * @module
 */

/**
 * Replaces control characters and Unicode line breaks by `?`, so that the text
 * can neither end a line nor control a terminal.
 */
export function plain(text: string): string {
  // deno-lint-ignore no-control-regex -- these are what it replaces
  return text.replace(/[\x00-\x1f\x7f-\x9f\u2028\u2029]/g, "?");
}

/** A host as written in a URL: IPv6 addresses in brackets (RFC 3986 §3.2.2). */
export function urlHost(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}

/** The message of a thrown value, which may be anything. */
export function messageOf(error: unknown): string {
  try {
    return String(error instanceof Error ? error.message : error);
  } catch {
    return "an error without a message";
  }
}

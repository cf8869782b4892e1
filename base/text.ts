/**
 * Texts as they are shown, whatever a peer has put into them.
 *
 * @module
 */

/**
 * A text in which nothing can end a line or move a terminal's cursor: controls
 * and the line breaks of Unicode become `?`.
 */
export function plain(text: string): string {
  // deno-lint-ignore no-control-regex -- they are what is looked for
  return text.replace(/[\x00-\x1f\x7f-\x9f\u2028\u2029]/g, "?");
}

/** A host as it stands in a URL: an IPv6 address in brackets (RFC 3986 §3.2.2). */
export function urlHost(host: string): string {
  return host.includes(":") ? `[${host}]` : host;
}

/** The message of a thrown value, which may be anything. */
export function messageOf(error: unknown): string {
  try {
    return String(error instanceof Error ? error.message : error);
  } catch {
    return "an error without words";
  }
}

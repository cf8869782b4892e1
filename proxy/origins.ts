/**
 * Origins as text: scheme and authority, extracted from a URL and compared
 * without a URL parser. A parser would normalize them, and the two runtimes'
 * parsers disagree on unusual hosts.
 *
 * @module
 */

/** Scheme and authority by which one side knows the proxy. */
export interface Origin {
  /** `http` or `https`. */
  readonly scheme: string;
  /** Host and optional port; `undefined` if none was sent. */
  readonly host: string | undefined;
}

/** An absolute URL in two parts. */
export interface SplitUrl {
  /** Its scheme and authority, normalized by {@linkcode originKey}. */
  readonly origin: string;
  /** The rest: empty, or a path, a query or a fragment. */
  readonly rest: string;
}

/**
 * Normalizes scheme and authority so that equal origins are equal strings:
 * lower case, without an empty or default port (RFC 3986 §6.2.3).
 */
export function originKey(scheme: string, authority: string): string {
  const plain = scheme.toLowerCase();
  let host = authority.toLowerCase();
  if (host.endsWith(":")) host = host.slice(0, -1);
  else if (plain === "http" && host.endsWith(":80")) host = host.slice(0, -3);
  else if (plain === "https" && host.endsWith(":443")) host = host.slice(0, -4);
  return `${plain}://${host}`;
}

/** An authority ends at a slash, or at `\`, which browsers read as one. */
const ABSOLUTE = /^(https?):\/\/([^/?#\\]*)/i;

/**
 * Splits an absolute `http:` or `https:` URL; `undefined` for anything else.
 */
export function splitUrl(url: string): SplitUrl | undefined {
  const match = ABSOLUTE.exec(url);
  if (match === null) return undefined;
  const rest = url.slice(match[0].length);
  return rest === "" || /^[/?#]/.test(rest)
    ? { origin: originKey(match[1]!, match[2]!), rest }
    : undefined;
}

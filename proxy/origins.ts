/**
 * Origins as text: scheme and authority, taken out of a URL and compared
 * without a URL parser, which would respell what is only to be compared and
 * which the two runtimes do not agree on for odd hosts.
 *
 * @module
 */

/** Scheme and authority under which one side of the proxy names it. */
export interface Origin {
  /** `http` or `https`. */
  readonly scheme: string;
  /** Host, with a port if one was named; none where none was named. */
  readonly host: string | undefined;
}

/** An absolute URL, cut in two. */
export interface SplitUrl {
  /** Its scheme and authority, as {@linkcode originKey} spells them. */
  readonly origin: string;
  /** What follows: empty, or a path, a query or a fragment. */
  readonly rest: string;
}

/**
 * Scheme and authority in the one spelling in which equal origins are equal
 * texts: lower case, and without a port that is empty or the scheme's own
 * (RFC 3986 §6.2.3).
 */
export function originKey(scheme: string, authority: string): string {
  const plain = scheme.toLowerCase();
  let host = authority.toLowerCase();
  if (host.endsWith(":")) host = host.slice(0, -1);
  else if (plain === "http" && host.endsWith(":80")) host = host.slice(0, -3);
  else if (plain === "https" && host.endsWith(":443")) host = host.slice(0, -4);
  return `${plain}://${host}`;
}

/** An authority ends at a slash, also at the one that browsers read `\` as. */
const ABSOLUTE = /^(https?):\/\/([^/?#\\]*)/i;

/** Cuts an absolute `http:` or `https:` URL in two; none if it is no such. */
export function splitUrl(url: string): SplitUrl | undefined {
  const match = ABSOLUTE.exec(url);
  if (match === null) return undefined;
  const rest = url.slice(match[0].length);
  return rest === "" || /^[/?#]/.test(rest)
    ? { origin: originKey(match[1]!, match[2]!), rest }
    : undefined;
}

/**
 * Field names in their usual spelling.
 *
 * Names are case-insensitive (RFC 9110 §5.1), but both runtimes provide them in
 * lower case only, and some servers recognize `Content-Type` but not
 * `content-type`.
 *
 * @module
 */

/** Names with other capitals than the first letter of each word. */
const UNUSUAL = [
  "Content-MD5",
  "DASL",
  "DAV",
  "DNT",
  "DPoP",
  "ETag",
  "NEL",
  "SOAPAction",
  "SourceMap",
  "TE",
  "WWW-Authenticate",
  "X-ATT-DeviceId",
  "X-DNS-Prefetch-Control",
  "X-Real-IP",
  "X-UA-Compatible",
  "X-UIDH",
  "X-WebKit-CSP",
  "X-XSS-Protection",
];

/** Frequent names, which are precomputed. */
const USUAL = [
  "Accept",
  "Accept-Charset",
  "Accept-Encoding",
  "Accept-Language",
  "Authorization",
  "Cache-Control",
  "Content-Encoding",
  "Content-Language",
  "Content-Type",
  "Cookie",
  "Date",
  "Forwarded",
  "From",
  "If-Match",
  "If-Modified-Since",
  "If-None-Match",
  "If-Range",
  "If-Unmodified-Since",
  "Max-Forwards",
  "Origin",
  "Pragma",
  "Priority",
  "Range",
  "Referer",
  "Sec-Fetch-Dest",
  "Sec-Fetch-Mode",
  "Sec-Fetch-Site",
  "Sec-Fetch-User",
  "Upgrade-Insecure-Requests",
  "User-Agent",
  "Via",
  "X-Forwarded-For",
  "X-Forwarded-Host",
  "X-Forwarded-Port",
  "X-Forwarded-Proto",
  "X-Request-Id",
  "X-Requested-With",
];

/** The names above by lower-case form, followed by colon and space. */
const KNOWN: ReadonlyMap<string, string> = new Map(
  [...UNUSUAL, ...USUAL].map((name) => [name.toLowerCase(), `${name}: `]),
);

// Lower case only: fields for framing and connections are recognized by that.
const TOKEN = /^[!#$%&'*+.^_`|~0-9a-z-]+$/;

/**
 * The usual spelling of a lower-case name, followed by colon and space.
 *
 * @throws {TypeError} If it is not a lower-case name.
 */
export function labelOf(name: string): string {
  const known = KNOWN.get(name);
  if (known !== undefined) return known;
  if (!TOKEN.test(name)) {
    throw new TypeError(`Cannot send: "${name}" is no field name`);
  }
  let label = "";
  let from = 0;
  for (;;) {
    // Not cached: a client could fill a cache with made-up names.
    const dash = name.indexOf("-", from) + 1;
    const to = dash === 0 ? name.length : dash;
    label += name.charAt(from).toUpperCase() + name.slice(from + 1, to);
    if (dash === 0) return `${label}: `;
    from = dash;
  }
}

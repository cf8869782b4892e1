/**
 * Names of fields as they are usually written.
 *
 * A name means the same in any case (RFC 9110 §5.1), but both runtimes give names
 * in lower case only, and there are servers that know `Content-Type` and not
 * `content-type`.
 *
 * @module
 */

/** Names with more capitals than the first of each word. */
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

/** Names that are seen so often that they are not made anew. */
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

/** Each of them by its lower-case form, ready to be followed by a value. */
const KNOWN: ReadonlyMap<string, string> = new Map(
  [...UNUSUAL, ...USUAL].map((name) => [name.toLowerCase(), `${name}: `]),
);

// In lower case, since framing and connection fields are known by that.
const TOKEN = /^[!#$%&'*+.^_`|~0-9a-z-]+$/;

/**
 * A lower-case name as it is usually written, with colon and space behind it.
 *
 * @throws {TypeError} If it is no name in lower case.
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
    // Never kept: a client could fill any table of names that it has made up.
    const dash = name.indexOf("-", from) + 1;
    const to = dash === 0 ? name.length : dash;
    label += name.charAt(from).toUpperCase() + name.slice(from + 1, to);
    if (dash === 0) return `${label}: `;
    from = dash;
  }
}

/**
 * The declared length of a response, if it is trustworthy. `fetch` exposes the
 * fields as received, including those that it ignored.
 *
 * @module
 */

/** Statuses without a body (RFC 9110 §6.4.1); `Response` refuses one. */
const BODILESS: ReadonlySet<number> = new Set([204, 205, 304]);

/** Whether a response can have a body. */
export function hasBody(method: string, status: number): boolean {
  return method !== "HEAD" && !BODILESS.has(status);
}

/**
 * The declared length of a response. `NaN` if the end is marked by the last
 * chunk or by the close of the connection. `undefined` if the end cannot be
 * known; such a response must not be passed on.
 *
 * A length next to `chunked` has no meaning (RFC 9112 §6.3); using it would
 * truncate the response and make it look complete. Neither runtime decodes a
 * transfer coding other than `chunked` alone: the content would be wrong (§6.1
 * forbids servers to send one unasked).
 *
 * The arguments are field values as given by `Headers`, several lines as a
 * list.
 */
export function declaredLength(
  transferEncoding: string | null,
  contentLength: string | null,
): number | undefined {
  if (transferEncoding !== null) {
    return isChunked(transferEncoding) ? NaN : undefined;
  }
  return contentLength === null ? NaN : lengthOf(contentLength);
}

/** Maximum length of a body. */
const MAX_LENGTH = 1e15 - 1;

/**
 * The length in a value, like {@linkcode declaredLength}. `fetch` refuses
 * values that it cannot parse, except where it ignores them, as in a response
 * to HEAD.
 */
function lengthOf(value: string): number | undefined {
  const length = Number(value);
  if (length >= 0 && length <= MAX_LENGTH && String(length) === value) {
    return length;
  }
  // In another form or repeated, which is harmless if all are equal (RFC 9110
  // §8.6): `fetch` has used it, and detects the end.
  const [first = "", ...more] = value.split(",").map((each) => each.trim());
  return /^\d{1,15}$/.test(first) && more.every((each) => each === first)
    ? NaN
    : undefined;
}

/** The same for the fields of a response. */
export function lengthIn(headers: Headers): number | undefined {
  return declaredLength(
    headers.get("transfer-encoding"),
    headers.get("content-length"),
  );
}

/** In the usual case a comparison of lengths suffices. */
function isChunked(coding: string): boolean {
  return coding === "chunked" ||
    (coding.length === 7 && coding.toLowerCase() === "chunked");
}

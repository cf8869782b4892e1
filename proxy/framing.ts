/**
 * The declared length of a response, if it is trustworthy. `fetch` exposes the
 * fields as received, including those that it ignored.
 *
 * @module
 */

/** Statuses without a body (RFC 9110 §6.4.1); `Response` refuses one. */
export const BODILESS: ReadonlySet<number> = new Set([204, 205, 304]);

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

/** No body is longer. */
const MOST = 1e15 - 1;

/**
 * The length that a value says as {@linkcode declaredLength} gives it. `fetch` refuses what
 * cannot be read, except where it does not go by it, as in an answer to HEAD.
 */
function lengthOf(value: string): number | undefined {
  const length = Number(value);
  if (length >= 0 && length <= MOST && String(length) === value) return length;
  // Said otherwise or several times, which is harmless if it is said alike (RFC
  // 9110 §8.6): `fetch` has gone by it, and the end shows itself.
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

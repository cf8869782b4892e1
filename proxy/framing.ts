/**
 * The length that an answer declares, where it can be believed. `fetch` shows
 * the fields as they came, also those that it did not go by.
 *
 * @module
 */

/**
 * The declared length of an answer: `NaN` for one whose end shows itself, by its
 * last chunk or by the connection's close, and nothing for one whose end cannot
 * be known, which must not be passed on.
 *
 * A length beside chunks means nothing (RFC 9112 §6.3), and to go by it would
 * cut the answer there and have it look whole. Any transfer coding but `chunked`
 * alone is one that neither runtime takes off: the content would be wrong (§6.1
 * forbids a server to send it unasked).
 *
 * Each is a field's value as `Headers` gives it, several lines as a list.
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

/** The same, of an answer's fields. */
export function lengthIn(headers: Headers): number | undefined {
  return declaredLength(
    headers.get("transfer-encoding"),
    headers.get("content-length"),
  );
}

/** Told by its length alone in the usual case. */
function isChunked(coding: string): boolean {
  return coding === "chunked" ||
    (coding.length === 7 && coding.toLowerCase() === "chunked");
}

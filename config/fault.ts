/**
 * How a value is shown in a message: on one line, without control characters,
 * and without secrets.
 *
 * @module
 */

/** Replaces a secret in a message. */
export const HIDDEN = "***";

/** A value in quotes, on one line and without secrets. */
export function quote(text: string): string {
  return JSON.stringify(oneLine(masked(text)));
}

/** A text without line breaks and control characters, cut at 200 characters. */
export function oneLine(text: string): string {
  const flat = text.replace(/[\p{C}\p{Zl}\p{Zp}]+/gu, " ").trim();
  return flat.length > 200 ? `${flat.slice(0, 200)}…` : flat;
}

/**
 * A text without the secrets that a value may hold by mistake: a private key
 * instead of its path, or the credentials of a URL.
 */
export function masked(text: string): string {
  if (isPem(text)) return HIDDEN;
  const slashes = text.indexOf("//");
  if (slashes >= 0) return withoutCredentials(text, slashes + 2);
  // `user:password@host`, but not `me@home`.
  const colon = text.indexOf(":");
  return colon >= 0 && colon < text.indexOf("@")
    ? withoutCredentials(text, 0)
    : text;
}

/**
 * Whether a text is PEM. Container secrets are often put into a variable that
 * expects the path of a file.
 */
export function isPem(text: string): boolean {
  return text.includes("-----BEGIN ");
}

/** A text with its query hidden, which may hold a key; the `?` stays. */
export function withoutQuery(text: string): string {
  const query = text.indexOf("?");
  return query < 0 ? text : `${text.slice(0, query)}?${HIDDEN}`;
}

/**
 * Hides everything before the `@` in the authority that begins at `start`.
 *
 * A password with a `/`, `?` or `#` ends the authority early, and the rest of
 * it would be shown. In such a URL, the text after the colon is not a port, and
 * an `@` follows later: then everything up to that `@` is hidden.
 */
export function withoutCredentials(text: string, start: number): string {
  const rest = text.slice(start);
  const length = rest.search(/[/?#\\]/);
  const authority = length < 0 ? rest : rest.slice(0, length);
  let at = authority.lastIndexOf("@");
  if (at < 0 && /:(?!\d{0,5}$)/.test(authority.replace(/^\[[^\]]*\]/, ""))) {
    at = rest.lastIndexOf("@");
  }
  return at < 0 ? text : text.slice(0, start) + HIDDEN + rest.slice(at);
}

/**
 * How a value is shown in a message: one fault is one line, no terminal can be
 * steered by what a variable holds, and nothing secret is repeated.
 *
 * @module
 */

/** What stands in a message where a secret was. */
export const HIDDEN = "***";

/** A value in quotes, as {@linkcode oneLine} and without {@linkcode masked}. */
export function quote(text: string): string {
  return JSON.stringify(oneLine(masked(text)));
}

/** A text without line breaks, controls and invisible characters, cut at 200. */
export function oneLine(text: string): string {
  const flat = text.replace(/[\p{C}\p{Zl}\p{Zp}]+/gu, " ").trim();
  return flat.length > 200 ? `${flat.slice(0, 200)}…` : flat;
}

/**
 * A text without the secrets that a value may hold by mistake: a private key
 * where its path belongs, and the credentials of a URL.
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
 * Whether a text is PEM itself. Container secrets are often put into a variable
 * that wants the path of a file.
 */
export function isPem(text: string): boolean {
  return text.includes("-----BEGIN ");
}

/** A text up to its query, which may hold a key; the `?` stays. */
export function withoutQuery(text: string): string {
  const query = text.indexOf("?");
  return query < 0 ? text : `${text.slice(0, query)}?${HIDDEN}`;
}

/**
 * Hides what stands before an `@` in the authority that begins at `start`.
 *
 * A password with a `/`, `?` or `#` in it ends the authority early, and its rest
 * would be shown. Such a URL has something that is no port behind its colon, and
 * an `@` further on: then all up to that `@` is hidden.
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

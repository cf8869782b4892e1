/**
 * Checks the admin token.
 *
 * @module
 */

import { builtin } from "../base/builtin.ts";

/** Maximum length of a token. */
const MAX_LENGTH = 512;

/**
 * Makes a comparison whose duration reveals nothing about the token: both sides
 * are hashed first, so that neither length nor prefix matters. Longer texts are
 * not hashed.
 */
export function tokenCheck(token: string): (given: string) => boolean {
  const { timingSafeEqual } = builtin("node:crypto");
  const wanted = digest(token);
  return (given) =>
    given.length <= MAX_LENGTH && timingSafeEqual(digest(given), wanted);
}

function digest(text: string): Uint8Array {
  return builtin("node:crypto").createHash("sha256").update(text).digest();
}

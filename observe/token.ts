/**
 * Whether a caller knows the admin token.
 *
 * @module
 */

import { builtin } from "../base/builtin.ts";

/** Characters of the longest token. */
const LONGEST = 512;

/**
 * Makes a comparison whose time tells nothing of the token: both sides are
 * hashed first, so that neither its length nor its beginning shows. What is
 * longer than any token is not worth a hash.
 */
export function tokenCheck(token: string): (given: string) => boolean {
  const { timingSafeEqual } = builtin("node:crypto");
  const wanted = digest(token);
  return (given) =>
    given.length <= LONGEST && timingSafeEqual(digest(given), wanted);
}

function digest(text: string): Uint8Array {
  return builtin("node:crypto").createHash("sha256").update(text).digest();
}

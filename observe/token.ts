/**
 * Whether a caller knows the admin token.
 *
 * @module
 */

import { createHash, timingSafeEqual } from "node:crypto";

/**
 * Makes a comparison whose time tells nothing of the token: both sides are
 * hashed first, so that neither its length nor its beginning shows.
 */
export function tokenCheck(token: string): (given: string) => boolean {
  const wanted = digest(token);
  return (given) => timingSafeEqual(digest(given), wanted);
}

function digest(text: string): Uint8Array {
  return createHash("sha256").update(text).digest();
}

/**
 * The key of one client: an IPv4 address, or a /64 of IPv6. That is the
 * smallest block that a site gets (RFC 6177), so any host can use 2^64
 * addresses of it.
 *
 * @module
 */

import type { KeyedHash } from "./keyed_hash.ts";

/** Distinguishes the three kinds of keys in the hash. */
const V4 = 4;
const V6 = 6;
const TEXT = 7;

/** The eight groups of the address that is being read. */
const groups = new Uint16Array(8);

/** Hashes a client's address; anything else is hashed as text. */
export function hashAddress(hash: KeyedHash, address: string): void {
  hash.begin();
  const v4 = readV4(address, 0, address.length);
  if (v4 !== undefined) {
    hash.word(V4);
    hash.word(v4);
  } else if (!readV6(address)) {
    hash.word(TEXT);
    hash.text(address);
  } else if (isMapped()) {
    hash.word(V4);
    hash.word(groups[6]! << 16 | groups[7]!);
  } else {
    hash.word(V6);
    hash.word(groups[0]! << 16 | groups[1]!);
    hash.word(groups[2]! << 16 | groups[3]!);
  }
  hash.end();
}

/** Hashes a custom key. */
export function hashText(hash: KeyedHash, text: string): void {
  hash.begin();
  hash.word(TEXT);
  hash.text(text);
  hash.end();
}

/** Whether the groups are `::ffff:0:0/96` (RFC 4291 §2.5.5.2). */
function isMapped(): boolean {
  return groups[5] === 0xffff && groups[0] === 0 && groups[1] === 0 &&
    groups[2] === 0 && groups[3] === 0 && groups[4] === 0;
}

/** The 32 bits of a dotted address in a range of the text. */
function readV4(text: string, from: number, to: number): number | undefined {
  let bits = 0;
  let dots = 0;
  let part = -1;
  for (let i = from; i < to; i++) {
    const code = text.charCodeAt(i);
    if (code === 0x2e) {
      if (part < 0 || ++dots > 3) return undefined;
      bits = bits << 8 | part;
      part = -1;
    } else if (code >= 0x30 && code <= 0x39) {
      part = (part < 0 ? 0 : part * 10) + code - 0x30;
      if (part > 255) return undefined;
    } else return undefined;
  }
  return dots === 3 && part >= 0 ? bits << 8 | part : undefined;
}

/** Reads an IPv6 address into {@linkcode groups}; returns whether it is one. */
function readV6(text: string): boolean {
  let count = 0;
  // Number of groups before `::`.
  let gap = -1;
  let i = 0;
  // A zone (RFC 4007 §11) is the scope of an address, not part of it.
  const zone = text.indexOf("%");
  const end = zone < 0 ? text.length : zone;
  if (text.startsWith("::")) {
    gap = 0;
    i = 2;
  }
  while (i < end) {
    if (count === 8) return false;
    let group = 0;
    const start = i;
    for (; i < end; i++) {
      const digit = hexOf(text.charCodeAt(i));
      if (digit < 0) break;
      group = group << 4 | digit;
    }
    if (i === start || i - start > 4) return false;
    if (text.charCodeAt(i) === 0x2e) {
      const v4 = readV4(text, start, end);
      if (v4 === undefined || count > 6) return false;
      groups[count++] = v4 >>> 16;
      groups[count++] = v4 & 0xffff;
      break;
    }
    groups[count++] = group;
    if (i === end) break;
    if (text.charCodeAt(i++) !== 0x3a) return false;
    if (text.charCodeAt(i) === 0x3a) {
      if (gap >= 0) return false;
      gap = count;
      i++;
    } else if (i === end) return false;
  }
  if (gap < 0) return count === 8;
  if (count === 8) return false;
  groups.copyWithin(8 - count + gap, gap, count);
  groups.fill(0, gap, 8 - count + gap);
  return true;
}

function hexOf(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30;
  const letter = code | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1;
}

/**
 * What to do about a port that cannot be had.
 *
 * @module
 */

/** What each runtime says, and what to do then. */
const ADVICE: readonly (readonly [reason: RegExp, advice: string])[] = [
  // Bun says this of a host that is not this machine's, too.
  [
    /in use\?/i,
    "choose another port, or stop what uses this one; the host must be an address of this machine",
  ],
  [/in use/i, "choose another port, or stop what uses this one"],
  [
    /permission|EACCES/i,
    "choose a port from 1024, or grant CAP_NET_BIND_SERVICE",
  ],
  [
    /cannot assign|not available|EADDRNOTAVAIL/i,
    "set the host to an address of this machine",
  ],
  [/NotCapable|net access/i, "add the address and port to --allow-net"],
];

/** The reason, and behind it what to do, where that is known. */
export function withAdvice(reason: string): string {
  const [, advice] = ADVICE.find(([words]) => words.test(reason)) ?? [];
  return advice === undefined ? reason : `${reason}: ${advice}`;
}

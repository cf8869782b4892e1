/**
 * Client addresses: the peer of a request, its canonical form, and a cache of
 * which addresses are trusted.
 *
 * @module
 */

/** Whether an address is in a list. */
export type AddressMatcher = (address: string) => boolean;

/** Length of the longest address: IPv6 with a dotted tail (RFC 4291 §2.2). */
export const MAX_ADDRESS_LENGTH = 45;

/**
 * An address without brackets, port or zone, for comparing and logging. An IPv4
 * address that an IPv6 socket reports in mapped form becomes the IPv4 address.
 */
export function plainAddress(text: string): string {
  const bracketed = /^\[([^\]]*)\](?::\d+)?$/.exec(text);
  let address = bracketed !== null ? bracketed[1]! : text;
  const zone = address.indexOf("%");
  if (zone >= 0) address = address.slice(0, zone);
  // `1.2.3.4:5678`, as some proxies write it; IPv6 addresses have more colons.
  if (/^[\d.]+:\d+$/.test(address)) {
    address = address.slice(0, address.indexOf(":"));
  }
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
  return mapped !== null ? mapped[1]! : address;
}

/** The part of a runtime that {@linkcode peerOf} needs. */
export interface PeerSource {
  /**
   * The address of a request's peer. `null` if the request came from this
   * runtime's server, which no longer knows it. `undefined` if there is none,
   * as with a Unix domain socket or a connection that is not a server's.
   */
  peerOf(request: Request, connection: unknown): string | null | undefined;
}

/**
 * The peer's address in canonical form, from the server or from the caller.
 *
 * `undefined`: there is none, since the request was made in code or came over a
 * Unix domain socket. `null`: there was one, but the client has disconnected. A
 * client that sends a request and a reset at once is gone before the handler
 * runs: Bun then knows no address, and Deno reports `0.0.0.0`. Forwarding such
 * a request would let anyone act without an address.
 */
export function peerOf(
  source: PeerSource,
  request: Request,
  connection: unknown,
): string | null | undefined {
  if (connection === undefined || connection === null) return undefined;
  let address = source.peerOf(request, connection);
  if (address === undefined) {
    address = (connection as { clientAddress?: string | null }).clientAddress;
    // `-` means none in logs; a proxy in front of this one may pass it on.
    if (address === "" || address === "-") return undefined;
  }
  if (typeof address !== "string") return address;
  const plain = address.startsWith("::") ? plainAddress(address) : address;
  return plain === "0.0.0.0" || plain === "::" ? null : plain;
}

/** Number of cached addresses. */
const CACHE_SIZE = 1_000;

/**
 * Caches the results of `matches`: the few proxies in front of a site send
 * every request. Bounded, since a list of addresses may be made up.
 */
export function cachedMatcher(matches: AddressMatcher): AddressMatcher {
  const known = new Map<string, boolean>();
  return (address) => {
    let inside = known.get(address);
    if (inside === undefined) {
      inside = matches(address);
      // Too long to be an address: not cached.
      if (address.length > MAX_ADDRESS_LENGTH) return inside;
      if (known.size >= CACHE_SIZE) known.clear();
      // On Bun a slice keeps the whole field in memory: 900 addresses from
      // fields of 64 KB took 59 MB. A string joined anew does not.
      known.set(address.split("").join(""), inside);
    }
    return inside;
  };
}

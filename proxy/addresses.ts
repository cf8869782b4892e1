/**
 * Client addresses: whose a request is, their plain form, and the memory of who
 * is trusted.
 *
 * @module
 */

/** Says whether an address is in a list. */
export type AddressMatcher = (address: string) => boolean;

/** The longest text of an address: v6 with a dotted tail (RFC 4291 §2.2). */
export const LONGEST_ADDRESS = 45;

/**
 * An address without brackets, port or zone: what is compared and logged. A v4
 * address that a v6 socket reports in its mapped form is the v4 address.
 */
export function plainAddress(text: string): string {
  const bracketed = /^\[([^\]]*)\](?::\d+)?$/.exec(text);
  let address = bracketed !== null ? bracketed[1]! : text;
  const zone = address.indexOf("%");
  if (zone >= 0) address = address.slice(0, zone);
  // `1.2.3.4:5678`, as some proxies write it; a v6 address has more colons.
  if (/^[\d.]+:\d+$/.test(address)) {
    address = address.slice(0, address.indexOf(":"));
  }
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address);
  return mapped !== null ? mapped[1]! : address;
}

/** What {@linkcode peerOf} asks a runtime. */
export interface PeerSource {
  /**
   * Address of a request's peer: `null` if the request came from this runtime's
   * server, which cannot tell it any more, and `undefined` if there is none to
   * tell, as with a Unix domain socket or a connection that is no server's.
   */
  peerOf(request: Request, connection: unknown): string | null | undefined;
}

/**
 * The peer's address in its plain form, from a server or from the caller.
 *
 * `undefined`: there is none, since the request was made in code or came over a
 * Unix domain socket. `null`: there was one, and the client has left meanwhile.
 * A client that sends a whole request and a reset at once is gone before a
 * handler sees the request; Bun knows no address of it then, and Deno says
 * `0.0.0.0`. To forward it would let anyone act without an address.
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
    // The log's word for none, which a proxy in front of this one may hand on.
    if (address === "" || address === "-") return undefined;
  }
  if (typeof address !== "string") return address;
  const plain = address.startsWith("::") ? plainAddress(address) : address;
  return plain === "0.0.0.0" || plain === "::" ? null : plain;
}

/** How many addresses are remembered. */
const REMEMBERED = 1_000;

/**
 * Remembers what `matches` says: a site has few proxies in front of it, and each
 * comes back with every request. Bounded, since a list may be made up.
 */
export function remembered(matches: AddressMatcher): AddressMatcher {
  const known = new Map<string, boolean>();
  return (address) => {
    let inside = known.get(address);
    if (inside === undefined) {
      inside = matches(address);
      // What cannot be an address is not worth a place.
      if (address.length > LONGEST_ADDRESS) return inside;
      if (known.size >= REMEMBERED) known.clear();
      // On Bun a piece of a long field keeps all of that in memory: 900 addresses
      // out of fields of 64 KB took 59 MB. What is put together anew does not.
      known.set(address.split("").join(""), inside);
    }
    return inside;
  };
}

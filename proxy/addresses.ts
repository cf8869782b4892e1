/**
 * Client addresses: their plain form, and the memory of who is trusted.
 *
 * @module
 */

/** Says whether an address is in a list. */
export type AddressMatcher = (address: string) => boolean;

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
      if (known.size >= REMEMBERED) known.clear();
      known.set(address, inside);
    }
    return inside;
  };
}

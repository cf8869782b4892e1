/**
 * IP addresses and CIDR blocks as numbers that can be compared.
 *
 * Parsed here because `URL` of both runtimes rewrites its input (`010.1`
 * becomes `8.0.0.1`), and a setting is never changed silently.
 *
 * @module
 */

/**
 * A CIDR block: the addresses whose first `bits` of 128 equal those of `base`.
 */
export interface Cidr {
  /** An address of the block, see {@linkcode parseAddress}. */
  readonly base: bigint;
  /** Prefix length, 0 to 128. */
  readonly bits: number;
}

/**
 * Parses an IPv4 or IPv6 address (no brackets, no zone) to 128 bits, or returns
 * `undefined`. IPv4 becomes IPv4-mapped IPv6 (RFC 4291 §2.5.5.2), so `10.0.0.1`
 * and `::ffff:10.0.0.1` are equal, as on a dual-stack socket.
 */
export function parseAddress(text: string): bigint | undefined {
  // Clients behind a trusted proxy can send any text here, of any length.
  if (text.length > MAX_LENGTH) return undefined;
  if (!text.includes(":")) {
    const v4 = parseV4(text);
    return v4 === undefined ? undefined : 0xffff00000000n + BigInt(v4);
  }
  return parseV6(text);
}

/** Parses `address` or `address/bits`, or returns `undefined`. */
export function parseCidr(text: string): Cidr | undefined {
  const [address = "", length, more] = text.split("/");
  const base = parseAddress(address);
  if (base === undefined || more !== undefined) return undefined;
  if (length === undefined) return { base, bits: 128 };
  const width = address.includes(":") ? 128 : 32;
  if (!/^\d{1,3}$/.test(length) || Number(length) > width) return undefined;
  return { base, bits: 128 - width + Number(length) };
}

/** Whether the block contains the address. */
export function holds(cidr: Cidr, address: bigint): boolean {
  return (cidr.base ^ address) >> BigInt(128 - cidr.bits) === 0n;
}

/** Whether the address is a loopback address: 127.0.0.0/8 or ::1. */
export function isLoopback(address: bigint): boolean {
  return address === 1n || holds({ base: 0xffff7f000000n, bits: 104 }, address);
}

/** Whether the address means all addresses of this machine: 0.0.0.0 or ::. */
export function isWildcard(address: bigint): boolean {
  return address === 0n || address === 0xffff00000000n;
}

/** Length of the longest spelling: eight groups, the last two dotted. */
const MAX_LENGTH = "0000:0000:0000:0000:0000:0000:255.255.255.255".length;

// No leading zeros: some parsers read them as octal, others do not.
const V4 =
  /^(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})$/;

function parseV4(text: string): number | undefined {
  const bytes = V4.exec(text)?.slice(1).map(Number);
  if (bytes === undefined || bytes.some((byte) => byte > 255)) return undefined;
  return bytes.reduce((all, byte) => all * 256 + byte, 0);
}

function parseV6(text: string): bigint | undefined {
  // A dotted tail (`::ffff:10.0.0.1`) is another spelling of two groups.
  const dotted = /^(.*:)([\d.]+\.[\d.]+)$/.exec(text);
  if (dotted) {
    const v4 = parseV4(dotted[2]!);
    if (v4 === undefined) return undefined;
    const high = Math.floor(v4 / 0x10000).toString(16);
    text = `${dotted[1]}${high}:${(v4 % 0x10000).toString(16)}`;
  }
  const [head, tail, more] = text.split("::").map((half) =>
    half === "" ? [] : half.split(":")
  );
  if (head === undefined || more !== undefined) return undefined;
  const missing = 8 - head.length - (tail?.length ?? 0);
  if (tail === undefined ? missing !== 0 : missing < 1) return undefined;
  const groups = [...head, ...Array(missing).fill("0"), ...(tail ?? [])];
  if (!groups.every((group) => /^[0-9a-f]{1,4}$/i.test(group))) {
    return undefined;
  }
  return BigInt(`0x${groups.map((group) => group.padStart(4, "0")).join("")}`);
}

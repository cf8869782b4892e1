import assert from "node:assert/strict"; // built in to both runtimes
import { parseAddress } from "../config/address.ts";
import { seeded } from "../testing/random.ts";
import { hashAddress } from "./client_key.ts";
import { KeyedHash } from "./keyed_hash.ts";

const hash = new KeyedHash([7, 8]);

function keyOf(address: string): string {
  hashAddress(hash, address);
  return `${hash.low} ${hash.high}`;
}

Deno.test("hashAddress() gives the addresses of one client the same key", () => {
  for (
    const [one, ...others] of [
      // However it is written, RFC 4291 §2.2.
      ["2001:db8:0:1::", "2001:DB8:0:1:0:0:0:0", "2001:0db8:0000:0001::"],
      // All of a /64.
      ["2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff"],
      ["::1", "::2", "0:0:0:0:ffff::"],
      // The zone is this machine's name for a network.
      ["fe80::1", "fe80::1%eth0", "fe80::2%1"],
      // A mapped address is that of IPv4, in each of its spellings.
      [
        "10.1.2.3",
        "::ffff:10.1.2.3",
        "::FFFF:0a01:0203",
        "0:0:0:0:0:ffff:a01:203",
      ],
    ]
  ) {
    for (const other of others) assert.equal(keyOf(other), keyOf(one!), other);
  }
});

Deno.test("hashAddress() gives two clients different keys", () => {
  const addresses = [
    "10.1.2.3",
    "10.1.2.4",
    "3.2.1.10",
    "::ffff:10.1.2.5",
    "2001:db8:0:1::",
    "2001:db8:0:2::",
    "2001:db8:1:1::",
    "2001:db9:0:1::",
    "::1",
    // Not a mapped one: it is all but one bit of it.
    "::fffe:10.1.2.3",
    "::1:ffff:0:0:0",
    // What is no address is a text.
    "unknown",
    "_hidden",
    "",
    "10.1.2",
    "10.1.2.3.4",
    "10.1.2.256",
    "1::2::3",
    "1:2:3:4:5:6:7",
    "1:2:3:4:5:6:7:8:9",
    "12345::",
    ":",
    ":::",
    "1:2:3:4:5:6:7:8::",
    "fe80::1%eth0",
    "fe80::1:2%",
    "%eth0",
  ];
  const keys = new Map(addresses.map((address) => [keyOf(address), address]));
  // `::1` and `::fffe:10.1.2.3` are of one /64, and so are the two of `fe80::`.
  assert.equal(keys.size, addresses.length - 2);
});

Deno.test("hashAddress() reads what the settings' parser reads, and nothing else", () => {
  const random = seeded(1);
  const pick = <T>(list: readonly T[]) =>
    list[Math.floor(random() * list.length)]!;
  const parts = ["0", "1", "ffff", "ab", "10.0.0.1", "", "", "g", "12345"];
  let addresses = 0;
  for (let i = 0; i < 20_000; i++) {
    const count = 1 + Math.floor(random() * 9);
    const text = Array.from({ length: count }, () => pick(parts)).join(":");
    const bits = text.includes(":") ? parseAddress(text) : undefined;
    if (bits === undefined) continue;
    addresses++;
    // In full, without any gap: the same /64, or the same IPv4 address.
    const full = bits.toString(16).padStart(32, "0").replace(
      /.{4}(?=.)/g,
      "$&:",
    );
    assert.equal(keyOf(text), keyOf(full), text);
  }
  assert.ok(addresses > 500, String(addresses));
});

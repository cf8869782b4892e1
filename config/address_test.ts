import assert from "node:assert/strict";
import {
  holds,
  isLoopback,
  isWildcard,
  parseAddress,
  parseCidr,
} from "./address.ts";

Deno.test("parseAddress() reads every spelling as one number", () => {
  const same = [
    ["10.0.0.1", "::ffff:10.0.0.1", "::FFFF:a00:1", "0:0:0:0:0:ffff:0a00:0001"],
    ["::1", "0::1", "0:0:0:0:0:0:0:1", "::0.0.0.1"],
    ["fe80::", "fe80:0:0:0:0:0:0:0", "FE80::0"],
    ["1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"],
  ];
  for (const spellings of same) {
    const [first, ...rest] = spellings.map(parseAddress);
    assert.notEqual(first, undefined, spellings[0]);
    for (const other of rest) assert.equal(other, first, spellings[0]);
  }
});

Deno.test("parseAddress() refuses anything but an address", () => {
  const wrong = ["", "1.2.3", "1.2.3.4.5", "256.0.0.1", "01.2.3.4", "1.2.3.4 "];
  wrong.push(":", ":::", "1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9");
  wrong.push(
    "1:2:3:4:5:6:7:8::",
    "12345::",
    "g::",
    "::1%1",
    "[::1]",
    "::1.2.3",
  );
  for (const text of wrong) assert.equal(parseAddress(text), undefined, text);
});

Deno.test("holds() compares the leading bits", () => {
  const cases: [cidr: string, address: string, inside: boolean][] = [
    ["10.0.0.0/8", "10.255.0.1", true],
    ["10.0.0.0/8", "11.0.0.1", false],
    ["10.1.2.3/8", "10.9.9.9", true],
    ["10.0.0.1", "10.0.0.1", true],
    ["10.0.0.1", "10.0.0.2", false],
    ["10.0.0.0/8", "::ffff:10.0.0.1", true],
    ["::ffff:10.0.0.0/104", "10.0.0.1", true],
    ["0.0.0.0/0", "::1", false],
    ["::/0", "10.0.0.1", true],
    ["fc00::/7", "fd12::1", true],
  ];
  for (const [cidr, address, inside] of cases) {
    const held = holds(parseCidr(cidr)!, parseAddress(address)!);
    assert.equal(held, inside, `${address} in ${cidr}`);
  }
});

Deno.test("isLoopback() and isWildcard() know both families", () => {
  const yes = (test: (address: bigint) => boolean, ...texts: string[]) =>
    texts.map((text) => test(parseAddress(text)!));
  assert.deepEqual(yes(isLoopback, "127.0.0.1", "127.9.9.9", "::1"), [
    true,
    true,
    true,
  ]);
  assert.deepEqual(yes(isLoopback, "128.0.0.1", "::2", "::"), [
    false,
    false,
    false,
  ]);
  assert.deepEqual(yes(isWildcard, "0.0.0.0", "::", "0.0.0.1"), [
    true,
    true,
    false,
  ]);
});

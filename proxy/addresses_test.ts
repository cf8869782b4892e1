import assert from "node:assert/strict";
import { plainAddress, remembered } from "./addresses.ts";

const PLAIN: [text: string, plain: string][] = [
  ["192.0.2.1", "192.0.2.1"],
  ["192.0.2.1:8080", "192.0.2.1"],
  ["2001:db8::1", "2001:db8::1"],
  ["[2001:db8::1]", "2001:db8::1"],
  ["[2001:db8::1]:8080", "2001:db8::1"],
  ["::1", "::1"],
  ["::ffff:192.0.2.1", "192.0.2.1"],
  ["::FFFF:192.0.2.1", "192.0.2.1"],
  ["[::ffff:192.0.2.1]:80", "192.0.2.1"],
  ["fe80::1%eth0", "fe80::1"],
  ["unknown", "unknown"],
  ["_hidden", "_hidden"],
  ["", ""],
];

Deno.test("plainAddress() leaves port, brackets, zone and mapping away", () => {
  for (const [text, plain] of PLAIN) assert.equal(plainAddress(text), plain);
});

Deno.test("remembered() asks once for each address", () => {
  const asked: string[] = [];
  const matches = remembered((address) => {
    asked.push(address);
    return address === "a";
  });
  assert.deepEqual(["a", "b", "a", "b"].map(matches), [
    true,
    false,
    true,
    false,
  ]);
  assert.deepEqual(asked, ["a", "b"]);
});

Deno.test("remembered() does not grow with what is made up", () => {
  let asked = 0;
  const matches = remembered(() => {
    asked++;
    return true;
  });
  for (let i = 0; i < 5_000; i++) matches(`${i}`);
  assert.equal(asked, 5_000);
  // The first one was forgotten long ago; asked for again, it is known again.
  matches("0");
  matches("0");
  assert.equal(asked, 5_001);
});

import assert from "node:assert/strict";
import { isNamed } from "./listener.ts";

Deno.test("isNamed() accepts addresses, localhost and the names, but no similar name", () => {
  const names = ["127.0.0.1", "sluice.internal", "fe80::1"];
  const cases: [host: string, taken: boolean][] = [
    ["127.0.0.1", true],
    ["10.0.0.1:9090", true],
    ["[::1]", true],
    ["[::ffff:10.0.0.1]:1", true],
    ["localhost", true],
    ["LocalHost:65535", true],
    ["Sluice.Internal:80", true],
    ["sluice.internal.", false],
    ["evil.sluice.internal", false],
    ["999.0.0.1", false],
    ["127.0.0.01", false],
    ["127.1", false],
    ["2130706433", false],
    ["[127.0.0.1]", false],
    ["[evil]", false],
    ["::1", false],
    ["localhost:", false],
    ["localhost:x", false],
    ["localhost:123456", false],
    ["a, localhost", false],
    ["", false],
  ];
  for (const [host, taken] of cases) {
    assert.equal(isNamed(host, names), taken, host);
  }
});
